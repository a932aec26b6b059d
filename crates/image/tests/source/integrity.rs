//! What somebody has changed in the store is not given to a guest, and is whole again after the next pull.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use image::StoreError;

use crate::fake_registry::FakeRegistry;
use crate::sample::{Layer, Packing, Sample};
use crate::world::{World, chain, files};

/// Flips a bit in the middle, as root can.
fn tamper(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The only file below `area` that is called `name`.
fn only(world: &World, area: &str, name: &str) -> PathBuf {
    let found = files(&world.path().join(area)).into_iter().map(|(path, _)| path);
    let found: Vec<_> = found.filter(|path| path.ends_with(name)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

async fn check(area: &str, name: &str) {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let sample = Sample::new(vec![Layer::new("file", &[7; 10_000], Packing::Gzip)]);
    let reference = registry.push("app", "v1", &sample);
    let image = world.pull(&reference).await.unwrap();
    let parts = world.store.snapshot(&image).await.unwrap().parts.clone();
    let contents = || -> Vec<_> { parts.iter().map(|part| fs::read(&part.path).unwrap()).collect() };
    let before = contents();
    tamper(&only(&world, area, name));
    if name == "index" {
        // It is read where a snapshot is built.
        fs::remove_dir_all(parts[0].path.parent().unwrap()).unwrap();
    }
    let refused = world.store.snapshot(&image).await.unwrap_err();
    let is_told = match name {
        "index" => chain(&refused).contains("layer index is damaged"),
        _ => matches!(refused, StoreError::Changed { .. }),
    };
    assert!(is_told, "{}", chain(&refused));
    let again = world.pull(&reference).await.unwrap();
    assert_eq!(world.store.snapshot(&again).await.unwrap().parts, parts);
    assert_eq!(contents(), before);
}

#[tokio::test]
async fn a_layers_data_is_checked_before_it_is_used() {
    check("layers", "data").await;
}

#[tokio::test]
async fn a_layers_index_is_checked_before_it_is_used() {
    check("layers", "index").await;
}

#[tokio::test]
async fn a_snapshots_metadata_is_checked_before_it_is_used() {
    check("snapshots", "metadata").await;
}

#[tokio::test]
async fn all_that_is_stored_is_its_owners_alone() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let sample = Sample::new(vec![Layer::new("file", &[7; 10_000], Packing::Gzip)]);
    let image = world.pull(&registry.push("app", "v1", &sample)).await.unwrap();
    drop(world.store.snapshot(&image).await.unwrap());
    for (path, _) in files(world.path()) {
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        // In the lock is nothing.
        assert!(
            mode & 0o077 == 0 || path.ends_with("lock"),
            "{} has {mode:o}",
            path.display()
        );
        let is_shared = ["data", "index", "metadata", "seal.json"]
            .iter()
            .any(|name| path.ends_with(name));
        assert!(!is_shared || mode == 0o400, "{} has {mode:o}", path.display());
    }
}
