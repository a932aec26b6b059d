//! Who may depend on whom.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The crates of the house, each with those it may depend on. A crate that is not listed may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("agent", &["api", "image", "network", "protocol"]),
    ("api", &[]),
    ("benches", &["api", "image", "protocol"]),
    ("cli", &["api", "machine"]),
    ("devices", &[]),
    ("image", &[]),
    ("init", &["protocol"]),
    ("machine", &[]),
    ("network", &[]),
    ("protocol", &[]),
    ("tests", &["image", "protocol"]),
    ("vmm", &["devices", "protocol"]),
    ("xtask", &[]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Present where the dependency is a crate of this workspace.
    path: Option<String>,
}

/// The dependencies that the table does not allow.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    Ok(metadata.packages.iter().flat_map(broken).collect())
}

fn broken(package: &Package) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        return vec![format!(
            "the crate {} is not in the table of who may depend on whom",
            package.name
        )];
    };
    let own: BTreeSet<&str> = package
        .dependencies
        .iter()
        .filter(|dep| dep.path.is_some())
        .map(|dep| dep.name.as_str())
        .collect();
    own.iter()
        .filter(|dependency| !allowed.contains(dependency))
        .map(|dependency| format!("the crate {} may not depend on {dependency}", package.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, dependencies: &[(&str, bool)]) -> Vec<String> {
        let dependencies = dependencies
            .iter()
            .map(|(name, own)| Dependency {
                name: (*name).to_owned(),
                path: own.then(String::new),
            })
            .collect();
        broken(&Package {
            name: name.to_owned(),
            dependencies,
        })
    }

    #[test]
    fn an_upward_import_is_named() {
        assert_eq!(
            check("devices", &[("vmm", true)]),
            ["the crate devices may not depend on vmm"]
        );
        assert!(check("vmm", &[("devices", true), ("serde", false)]).is_empty());
        assert_eq!(check("helpers", &[]).len(), 1);
    }
}
