//! `cargo xtask reproduce`: builds a commit twice, in two places, and compares what would be installed, byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build::{Tree, metadata};
use crate::process::{cargo, command, output, run};

/// What is built twice.
#[derive(clap::Args)]
pub struct Reproduce {
    /// Build the guest kernel twice as well, which takes some ten minutes each time
    #[arg(long)]
    kernel: bool,
}

/// Names of other lengths: a path that is kept anywhere moves what comes after it.
const PLACES: [&str; 2] = ["one", "another/place"];

/// Builds the commit that is checked out, prints the digests, and fails where the two builds differ.
pub fn reproduce(root: &Path, reproduce: &Reproduce) -> Result<()> {
    let (pinned, present) = (pinned(root)?, version(root)?);
    if pinned != present {
        bail!(
            "releases are built with Rust {pinned}, as Cargo.toml says, and this is {present}: put that version on the PATH"
        );
    }
    let base = root.join("target/reproduce");
    remove(&base)?;
    // Both before the first build: what is committed meanwhile is another commit.
    for place in PLACES.map(|place| base.join(place)) {
        fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        run(command(root, "git").args(["clone", "--quiet", "."]).arg(&place))?;
    }
    let mut digests = PLACES
        .iter()
        .map(|place| built(&base.join(place), reproduce.kernel))
        .collect::<Result<Vec<_>>>()?
        .into_iter();
    let (one, other) = (digests.next().unwrap_or_default(), digests.next().unwrap_or_default());
    let different: Vec<_> = one.keys().filter(|name| one.get(*name) != other.get(*name)).collect();
    for (name, digest) in &one {
        let result = if different.contains(&name) { "differs" } else { "same" };
        println!("{digest}  {name:<24} {result}");
    }
    if !different.is_empty() || one.len() != other.len() {
        bail!(
            "two builds of one commit differ: compare {} with {}",
            PLACES[0],
            PLACES[1]
        );
    }
    remove(&base)
}

/// Builds the clone at `place`; the digests of what would be installed, by name.
fn built(place: &Path, is_kernel_built: bool) -> Result<BTreeMap<String, String>> {
    let mut build = cargo(place);
    build.args(["xtask", "build"]).env_remove("CARGO_TARGET_DIR");
    if is_kernel_built {
        build.env("MOTE_CACHE", place.join("target/cache"));
    }
    run(&mut build)?;
    let prefix = Tree::of(place).prefix;
    let names = files(&prefix)?;
    let digests = output(command(&prefix, "sha256sum").args(&names))?;
    let digests = digests.lines().filter_map(|line| line.split_once("  "));
    Ok(digests
        .map(|(digest, name)| (name.to_owned(), digest.to_owned()))
        .collect())
}

/// The files below `directory`, by their paths in it.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let found = output(command(directory, "find").args([".", "-type", "f", "-printf", "%P\n"]))?;
    Ok(found.lines().map(PathBuf::from).collect())
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// The version of Rust that releases are built with: `toolchain` in the workspace's metadata.
fn pinned(root: &Path) -> Result<String> {
    let toolchain = metadata(root)?["metadata"]["toolchain"].as_str().map(str::to_owned);
    toolchain.context("Cargo.toml pins no toolchain")
}

/// The version of Rust that is here.
fn version(root: &Path) -> Result<String> {
    let version = output(command(root, "rustc").arg("--version"))?;
    let number = version.split_whitespace().nth(1);
    Ok(number.context("rustc does not tell its version")?.to_owned())
}
