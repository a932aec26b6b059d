//! `cargo xtask build`: everything that runs, assembled as it would be installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{cargo, command, output, run};

/// The target of the binaries that run without a C library beside them: in the guest, in the machine, in a jail. And of the command line, which
/// starts for every task: half of its instructions were the dynamic linker's.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The same with a C library that does little before the program begins: for the program whose start every task waits for.
const QUICK_TARGET: &str = "x86_64-unknown-linux-musl";

/// Static and at a fixed address: the quickest to `exec`.
const STATIC_RUSTFLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// Binaries of a package, without a C library beside them.
struct Static {
    package: &'static str,
    binary: &'static str,
    /// The profile of the workspace's manifest.
    profile: &'static str,
    /// Whether it is built for [`QUICK_TARGET`], where the toolchain has that.
    is_quick: bool,
}

/// The static binaries. What runs in the guest and in front of it is optimized as a whole, which takes its time.
const STATIC: &[Static] = &[
    Static {
        package: "init",
        binary: "mote-init",
        profile: "static",
        is_quick: false,
    },
    Static {
        package: "vmm",
        binary: "mote-vmm",
        profile: "static",
        is_quick: true,
    },
    Static {
        package: "benches",
        binary: "mote-bench-marker",
        profile: "release",
        is_quick: false,
    },
    Static {
        package: "benches",
        binary: "mote-bench-worker",
        profile: "release",
        is_quick: false,
    },
    Static {
        package: "cli",
        binary: "mote",
        profile: "release",
        is_quick: false,
    },
    Static {
        package: "machine",
        binary: "mote-machine-init",
        profile: "release",
        is_quick: false,
    },
    Static {
        package: "machine",
        binary: "mote-machine-supervisor",
        profile: "release",
        is_quick: false,
    },
    Static {
        package: "tests",
        binary: "kernel-check",
        profile: "release",
        is_quick: false,
    },
];

/// The packages whose binaries use the host's C library.
const DYNAMIC: &[(&str, &str)] = &[("agent", "mote-agent"), ("benches", "mote-bench")];

/// Where the parts are, below the root of the checkout.
pub struct Tree {
    /// `bin/` and `share/mote/`, as an installation has them.
    pub prefix: PathBuf,
    /// Whether the build replaced a file. A machine that runs still sees the old one, and cannot open it any more.
    pub replaced: bool,
}

impl Tree {
    /// The tree of this checkout.
    pub fn of(root: &Path) -> Self {
        Self {
            prefix: root.join("target/mote"),
            replaced: false,
        }
    }

    /// A binary.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.prefix.join("bin").join(name)
    }

    /// A file that is no program.
    pub fn share(&self, name: &str) -> PathBuf {
        self.prefix.join("share/mote").join(name)
    }
}

/// Builds what is not built, and assembles it.
pub fn build(root: &Path) -> Result<Tree> {
    let mut tree = Tree::of(root);
    fs::create_dir_all(tree.prefix.join("bin")).context("cannot make target/mote/bin")?;
    fs::create_dir_all(tree.prefix.join("share/mote")).context("cannot make target/mote/share/mote")?;

    let kernel = output(&mut command(root, "guest-kernel/build.sh"))?;
    tree.replaced |= install(Path::new(kernel.trim()), &tree.share("vmlinux"))?;

    let target = target_directory(root)?;
    let quick = quick_target(root)?;
    for (profile, is_quick) in [("static", false), ("static", true), ("release", false)] {
        let triple = if is_quick { quick } else { STATIC_TARGET };
        let is_selected = |program: &&Static| program.profile == profile && program.is_quick == is_quick;
        let programs: Vec<_> = STATIC.iter().filter(is_selected).collect();
        build_static(root, profile, triple, &programs)?;
        for Static { binary, .. } in programs {
            let built = target.join(triple).join(profile).join(binary);
            tree.replaced |= install_program(&built, &tree.bin(binary))?;
        }
    }
    let dynamic = DYNAMIC
        .iter()
        .flat_map(|(package, binary)| ["--package", package, "--bin", binary]);
    run(cargo(root)
        .args(["build", "--release", "--locked"])
        .args(dynamic)
        .env("CARGO_BUILD_RUSTFLAGS", nowhere(root)))?;
    for (_, binary) in DYNAMIC {
        tree.replaced |= install_program(&target.join("release").join(binary), &tree.bin(binary))?;
    }

    let initramfs = tree.share("initramfs.cpio.new");
    run(command(root, "rootfs/build-initramfs.sh")
        .arg(tree.bin("mote-init"))
        .arg(&initramfs))?;
    tree.replaced |= install(&initramfs, &tree.share("initramfs.cpio"))?;
    fs::remove_file(&initramfs).context("cannot remove the initramfs's first copy")?;
    Ok(tree)
}

/// [`QUICK_TARGET`], or [`STATIC_TARGET`] where the toolchain lacks its library: everything works, and tasks start some 0.2 million instructions
/// later.
fn quick_target(root: &Path) -> Result<&'static str> {
    let question = ["--print", "target-libdir", "--target", QUICK_TARGET];
    let library = output(command(root, "rustc").args(question))?;
    if Path::new(library.trim()).is_dir() {
        return Ok(QUICK_TARGET);
    }
    eprintln!("xtask: tasks would start quicker with the Rust target {QUICK_TARGET}");
    Ok(STATIC_TARGET)
}

/// Builds static binaries of one profile.
fn build_static(root: &Path, profile: &str, triple: &str, programs: &[&Static]) -> Result<()> {
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    let selected = programs
        .iter()
        .flat_map(|program| ["--package", program.package, "--bin", program.binary]);
    run(cargo(root)
        .args(["build", "--profile", profile, "--locked", "--target", triple])
        .args(selected)
        .env(variable, format!("{STATIC_RUSTFLAGS} {}", nowhere(root))))
}

/// Flags that keep the places of sources on this computer out of programs: they are the same wherever they are built.
fn nowhere(root: &Path) -> String {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| Path::new(&home).join(".cargo"), PathBuf::from);
    let remap = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    format!("{} {}", remap(root, "/mote"), remap(&cargo, "/cargo"))
}

/// What cargo knows of the workspace.
pub fn metadata(root: &Path) -> Result<serde_json::Value> {
    let metadata = output(cargo(root).args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    serde_json::from_str(&metadata).context("cargo metadata is not understood")
}

/// Cargo's target directory.
pub fn target_directory(root: &Path) -> Result<PathBuf> {
    let metadata = metadata(root)?;
    let directory = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(directory.into())
}

/// Installs a program without its debug information: the guest agent's memory is the guest's.
fn install_program(from: &Path, to: &Path) -> Result<bool> {
    let stripped = to.with_extension("stripped");
    run(std::process::Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .arg(&stripped)
        .arg(from))?;
    let replaced = install(&stripped, to)?;
    fs::remove_file(&stripped).with_context(|| format!("cannot remove {}", stripped.display()))?;
    Ok(replaced)
}

/// Copies `from` to `to` unless the same bytes are there; the old file, which may be running, is replaced and not written.
/// Says whether there was an old one.
fn install(from: &Path, to: &Path) -> Result<bool> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(false);
    }
    let existed = to.exists();
    let staged = to.with_extension("staged");
    fs::copy(from, &staged).with_context(|| format!("cannot copy {} to {}", from.display(), staged.display()))?;
    fs::rename(&staged, to).with_context(|| format!("cannot replace {}", to.display()))?;
    Ok(existed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_that_is_installed_is_built() {
        let makefile = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Makefile");
        let makefile = fs::read_to_string(makefile).unwrap();
        let (_, list) = makefile.split_once("$(addprefix target/mote/bin/,").unwrap();
        let (list, _) = list.split_once(')').unwrap();
        let built: Vec<_> = STATIC
            .iter()
            .map(|program| program.binary)
            .chain(DYNAMIC.iter().map(|(_, binary)| *binary))
            .collect();
        for program in list.split_whitespace() {
            assert!(built.contains(&program), "{program} is installed and not built");
        }
    }
}
