//! `cargo xtask sbom`: what the programs are made of, as a CycloneDX document (version 1.5, JSON).
//!
//! Cargo knows all of it: the packages that the installed programs are linked from, on this target, with their licences, what they need, and the
//! checksums that the lock file holds them to. The guest kernel is the one part that is no package.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process::{cargo, command, output};

/// The packages of the programs that are installed.
const PROGRAMS: [&str; 5] = ["agent", "cli", "init", "machine", "vmm"];

/// Where it is written, below the root of the checkout.
const FILE: &str = "target/sbom/mote.cdx.json";

/// Writes it and prints where.
pub fn sbom(root: &Path) -> Result<()> {
    let path = root.join(FILE);
    fs::create_dir_all(root.join("target/sbom")).context("cannot make target/sbom")?;
    let target = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let metadata = output(
        cargo(root)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(target),
    )?;
    let metadata = serde_json::from_str(&metadata).context("cargo metadata is not understood")?;
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let kernel = fs::read_to_string(root.join("guest-kernel/version")).context("cannot read guest-kernel/version")?;
    let compiler = output(command(root, "rustc").arg("--version"))?;
    let document = document(&metadata, &checksums(&lock), kernel.trim(), compiler.trim())?;
    let text = format!("{document:#}\n");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// The checksum of each package of a registry by name and version, from the lock file.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        let start = format!("{key} = \"");
        let line = package.lines().find_map(|line| line.strip_prefix(&start))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let packages = lock.split("[[package]]").skip(1);
    let known = packages.filter_map(|package| {
        let key = (value(package, "name")?, value(package, "version")?);
        Some((key, value(package, "checksum")?))
    });
    known.collect()
}

/// The packages that the programs are linked from, each by its id, with the ids of those it is linked with.
fn linked(metadata: &Value) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata resolves nothing")?;
    let edges = |node: &Value| -> BTreeSet<String> {
        let is_linked = |edge: &&Value| {
            let kinds = edge["dep_kinds"].as_array().into_iter().flatten();
            // Not what only tests use, or builds.
            kinds.into_iter().any(|kind| kind["kind"].is_null())
        };
        let edges = node["deps"].as_array().into_iter().flatten().filter(is_linked);
        edges
            .filter_map(|edge| Some(edge["pkg"].as_str()?.to_owned()))
            .collect()
    };
    let all: BTreeMap<&str, BTreeSet<String>> = nodes
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, edges(node))))
        .collect();
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?;
    let is_program = |package: &&Value| {
        package["source"].is_null() && package["name"].as_str().is_some_and(|name| PROGRAMS.contains(&name))
    };
    let ids = packages
        .iter()
        .filter(is_program)
        .filter_map(|package| package["id"].as_str());
    let mut pending: Vec<String> = ids.map(str::to_owned).collect();
    let mut linked = BTreeMap::new();
    while let Some(id) = pending.pop() {
        if let Entry::Vacant(new) = linked.entry(id) {
            let edges = all.get(new.key().as_str()).cloned().unwrap_or_default();
            pending.extend(edges.iter().cloned());
            new.insert(edges);
        }
    }
    Ok(linked)
}

/// The document. The same inputs always make the same bytes: it has no time and no serial number.
fn document(
    metadata: &Value,
    checksums: &BTreeMap<(String, String), String>,
    kernel: &str,
    compiler: &str,
) -> Result<Value> {
    let linked = linked(metadata)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?;
    let mut references = BTreeMap::new();
    let mut components = vec![];
    for package in packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| linked.contains_key(id)))
    {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("version"));
        let reference = format!("pkg:cargo/{name}@{version}");
        references.insert(text("id"), reference.clone());
        let kind = if PROGRAMS.contains(&name.as_str()) && package["source"].is_null() {
            "application"
        } else {
            "library"
        };
        let mut component = json!({
            "type": kind, "bom-ref": reference, "name": name, "version": version, "purl": reference,
            // Cargo still takes the slash that once stood for a choice.
            "licenses": [{"expression": text("license").replace('/', " OR ")}],
        });
        if let Some(checksum) = checksums.get(&(name, version)) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        components.push(component);
    }
    let kernel_reference = format!("pkg:deb/debian/linux@{kernel}");
    components.push(json!({
        "type": "operating-system", "bom-ref": kernel_reference, "name": "linux", "version": kernel, "purl": kernel_reference,
        "licenses": [{"expression": "GPL-2.0-only WITH Linux-syscall-note"}],
    }));
    let dependencies: Vec<Value> = linked
        .iter()
        .map(|(id, edges)| {
            let on: BTreeSet<_> = edges.iter().filter_map(|edge| references.get(edge)).collect();
            json!({"ref": references.get(id), "dependsOn": on})
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "mote", "name": "mote"},
            "tools": {"components": [{"type": "application", "name": "rustc", "version": compiler}]},
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_its_checksum_and_nothing_else() {
        let package = |id: &str, name: &str, source: Value| json!({"id": id, "name": name, "version": "1.0.0", "license": "MIT", "source": source});
        let edge = |id: &str, kind: Value| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("1", "vmm", Value::Null), package("2", "used", "registry".into()), package("3", "for-tests", "registry".into()),
            ],
            "resolve": {"nodes": [
                {"id": "1", "deps": [edge("2", Value::Null), edge("3", "dev".into())]}, {"id": "2", "deps": []}, {"id": "3", "deps": []},
            ]},
        });
        let lock = "version = 4\n\n[[package]]\nname = \"used\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n\n[[package]]\nname = \"vmm\"\nversion = \"1.0.0\"\n";
        let document = document(&metadata, &checksums(lock), "6.12", "rustc 1").unwrap();
        let components = document["components"].as_array().unwrap();
        let names: Vec<_> = components
            .iter()
            .map(|component| component["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["vmm", "used", "linux"]);
        assert_eq!(components[1]["hashes"][0]["content"], "abc");
        assert_eq!(components[0].get("hashes"), None);
        let on = json!({"ref": "pkg:cargo/vmm@1.0.0", "dependsOn": ["pkg:cargo/used@1.0.0"]});
        assert_eq!(document["dependencies"][0], on);
    }
}
