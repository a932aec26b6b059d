//! Loads the kernel modules that the initramfs carries, in the order of their names, with the options that the kernel's command line has for them.

use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const DIRECTORY: &str = "/modules";

/// Loads every module that fits this CPU.
pub fn load_all() -> Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let command_line = std::fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(DIRECTORY)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .context("cannot list the modules")?;
    paths.sort();
    for path in paths.iter().filter(|path| fits(path, &cpu)) {
        load(path, &options(path, &command_line))
            .with_context(|| format!("cannot load the module {}", path.display()))?;
    }
    Ok(())
}

/// Each vendor's half of KVM wants that vendor's virtualization.
fn fits(module: &Path, cpu: &str) -> bool {
    let has = |wanted: &str| cpu.split_whitespace().any(|flag| flag == wanted);
    let name = module.to_string_lossy();
    if name.ends_with("kvm-amd.ko") {
        has("svm")
    } else if name.ends_with("kvm-intel.ko") {
        has("vmx")
    } else {
        true
    }
}

/// What the command line has for a module, as `MODULE.OPTION=VALUE` (kernel-parameters.rst): the kernel gives it to modules that are built in, and
/// leaves the others to who loads them.
fn options(module: &Path, command_line: &str) -> String {
    let stem = module
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .replace('-', "_");
    // Before the name is its place in the order.
    let name = stem.split_once('_').map_or(&*stem, |(_, name)| name);
    let words = command_line.split_whitespace();
    let own: Vec<&str> = words
        .filter_map(|word| word.strip_prefix(name)?.strip_prefix('.'))
        .collect();
    own.join(" ")
}

fn load(path: &Path, options: &str) -> Result<()> {
    let file = File::open(path)?;
    rustix::system::finit_module(&file, &CString::new(options)?, 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendor_gets_its_own_half_of_kvm() {
        let check =
            |module: &str, cpu: &str, fit: bool| assert_eq!(fits(Path::new(module), cpu), fit, "{module} on {cpu}");
        check("/modules/15-kvm-amd.ko", "flags : fpu svm npt", true);
        check("/modules/15-kvm-amd.ko", "flags : fpu vmx svm_lock", false);
        check("/modules/16-kvm-intel.ko", "flags : fpu vmx", true);
        check("/modules/16-kvm-intel.ko", "flags : fpu svm", false);
        check("/modules/10-overlay.ko", "", true);
    }

    #[test]
    fn a_module_gets_its_options() {
        let check = |module: &str, expected: &str| {
            let line = "console=ttyS0 kvm.nx_huge_pages=never kvm_amd.nested=0 kvm.halt_poll_ns=0\n";
            assert_eq!(options(Path::new(module), line), expected, "{module}");
        };
        check("/modules/14-kvm.ko", "nx_huge_pages=never halt_poll_ns=0");
        check("/modules/15-kvm-amd.ko", "nested=0");
        check("/modules/10-overlay.ko", "");
    }
}
