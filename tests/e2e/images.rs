//! Images from archives and layouts, and the store.

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Progress, PullOptions, Store, StoreOptions};
use tests::command::ran;
use tests::host::{Host, image_archive, listing};

use crate::fixture::{IDLE, host};

#[test]
fn an_image_is_listed_with_its_digest() {
    let text = host().ran(&["images", "--format", "json"]).ended_with(0).text();
    let images: serde_json::Value = serde_json::from_str(&text).unwrap();
    let busybox = images
        .as_array()
        .unwrap()
        .iter()
        .find(|image| image["names"][0] == "docker.io/library/busybox:latest");
    let busybox = busybox.unwrap_or_else(|| panic!("{text}"));
    assert!(busybox["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(busybox["platform"], "linux/amd64");
}

#[test]
fn every_form_of_archive_runs() {
    let directory = tempfile::tempdir().unwrap();
    let archive = image_archive("busybox").unwrap();
    let from = format!("oci-archive:{}", archive.display());
    let layout = format!("oci:{}/layout", directory.path().display());
    let docker = format!("docker-archive:{}/docker.tar", directory.path().display());
    for to in [&format!("{layout}:test"), &format!("{docker}:example.com/busybox:1")] {
        let _ = ran(Command::new("skopeo").args(["copy", "--quiet", &from, to]), b"")
            .unwrap()
            .ended_with(0);
    }
    for image in [&from, &layout, &docker] {
        let ran = host().run(&[], image, &["echo", "hello"]).ended_with(0);
        assert_eq!(ran.text(), "hello\n", "{image}");
    }
}

#[test]
fn an_archive_is_loaded_from_standard_input() {
    let host = Host::start(&IDLE).unwrap();
    let archive = std::fs::read(image_archive("busybox").unwrap()).unwrap();
    let loaded = ran(&mut host.mote(&["load"]), &archive).unwrap().ended_with(0);
    assert!(loaded.text().contains("busybox"), "{loaded}");
}

#[test]
fn removing_the_last_image_frees_the_layers() {
    let host = Host::start(&IDLE).unwrap();
    let load_and_remove = || {
        host.load("busybox").unwrap();
        let full = listing(&host.store()).unwrap();
        let _ = host.ran(&["rmi", "busybox"]).ended_with(0);
        (full, listing(&host.store()).unwrap())
    };
    let (first_full, first_empty) = load_and_remove();
    assert!(first_empty.len() < first_full.len(), "{first_empty:?}");
    assert_eq!(load_and_remove(), (first_full, first_empty));
}

/// The files of the snapshot of an archive's only image, in the order in which they are one disk.
pub fn snapshot_parts(store: &Path, archive: &Path) -> Vec<PathBuf> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(store, StoreOptions::default()).unwrap();
        let archive = tokio::fs::File::open(archive).await.unwrap();
        let images = store
            .load(archive, &PullOptions::default(), &Progress::silent())
            .await
            .unwrap();
        let snapshot = store.snapshot(&images[0]).await.unwrap();
        snapshot.parts.iter().map(|part| part.path.clone()).collect()
    })
}

#[test]
fn linux_mounts_the_snapshot_with_the_tree_that_umoci_unpacks() {
    for name in ["busybox", "nginx", "python"] {
        let directory = tempfile::tempdir().unwrap();
        let archive = image_archive(name).unwrap();
        let mut command = Command::new("bash");
        command
            .args(["-c", include_str!("same_tree.sh"), "same_tree"])
            .arg(&archive);
        command.args(snapshot_parts(directory.path(), &archive));
        let _ = ran(&mut command, b"").unwrap().ended_with(0);
    }
}
