//! Images and registries that must be refused: with one clear sentence, and without a trace in the store.

use image::Digest;
use image::manifest::{OCI_INDEX, OCI_MANIFEST};
use image::registry::Patience;
use image::{Platform, Store, StoreOptions};
use serde_json::json;
use std::time::Duration;

use crate::fake_registry::{FakeRegistry, Response};
use crate::sample::{Blob, Layer, Packing, Sample, gzip, hello};
use crate::world::{World, chain};

/// Pushes a sound image with one more, damaged layer, and checks the refusal.
async fn check_damaged(layer: Layer, blob_on_the_way: &[u8], sentence: &str) {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    world.pull(&registry.push("good", "v1", &hello())).await.unwrap();
    let sample = Sample::new(vec![Layer::new("fine", b"fine", Packing::Gzip), layer.clone()]);
    let reference = registry.push("app", "v1", &sample);
    registry.push_blob(
        "app",
        &Blob {
            digest: layer.blob.digest,
            bytes: blob_on_the_way.into(),
        },
    );
    world.check_refused(&reference, sentence).await;
}

#[tokio::test]
async fn a_layer_with_a_flipped_bit() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let layer = Layer::new("a", &[7; 5000], packing);
        let mut bytes = layer.blob.bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let sentence = format!("layer {} is damaged: the content has digest", layer.blob.digest);
        check_damaged(layer, &bytes, &sentence).await;
    }
}

#[tokio::test]
async fn a_layer_that_is_shorter_or_longer_than_it_says() {
    let layer = Layer::large("a", 100_000);
    let bytes = &layer.blob.bytes;
    let sentence = format!("ended after 50000 of {} bytes", bytes.len());
    check_damaged(layer.clone(), &bytes[..50_000], &sentence).await;
    let longer = [bytes.as_slice(), b"more"].concat();
    // Either the download or, if it was quicker, nobody minds what comes behind the last byte.
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &Sample::new(vec![layer.clone()]));
    registry.push_blob(
        "app",
        &Blob {
            digest: layer.blob.digest,
            bytes: longer,
        },
    );
    if let Err(error) = world.pull(&reference).await {
        assert!(chain(&error).contains("sends more than"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_download_that_always_breaks() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let layer = Layer::large("big", 200_000);
    let reference = registry.push("app", "v1", &Sample::new(vec![layer.clone()]));
    let path = format!("/blobs/{}", layer.blob.digest);
    registry.on(move |request| {
        let mut response = Response::new(206, layer.blob.bytes.clone());
        response.cut_after = Some(0);
        request.path.ends_with(&path).then_some(response)
    });
    world.check_refused(&reference, "cannot talk to registry").await;
}

#[tokio::test]
async fn a_registry_that_falls_silent() {
    let directory = tempfile::tempdir().unwrap();
    let patience = Patience {
        read_timeout: Duration::from_millis(100),
        retries_max: 0,
        ..Patience::default()
    };
    let store = Store::open(
        directory.path(),
        StoreOptions {
            patience,
            ..StoreOptions::default()
        },
    )
    .unwrap();
    let registry = FakeRegistry::start().await;
    let layer = Layer::large("big", 200_000);
    let reference = registry.push("app", "v1", &Sample::new(vec![layer.clone()]));
    let path = format!("/blobs/{}", layer.blob.digest);
    registry.on(move |request| {
        let mut response = Response::new(200, layer.blob.bytes.clone());
        (response.cut_after, response.stalls) = (Some(100_000), true);
        request.path.ends_with(&path).then_some(response)
    });
    let source = image::Source::parse(&reference).unwrap();
    let error = store
        .pull(&source, &image::PullOptions::default(), &image::Progress::silent())
        .await
        .unwrap_err();
    assert!(chain(&error).contains("cannot talk to registry"), "{}", chain(&error));
    assert!(store.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_layer_that_is_another_than_the_configuration_says() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let rootfs = json!({"type": "layers", "diff_ids": [Digest::of(b"another").to_string()]});
    let config = json!({"os": "linux", "architecture": Platform::host().architecture, "rootfs": rootfs});
    let sample = Sample::with_config(vec![Layer::new("a", b"a", Packing::Gzip)], &config);
    world
        .check_refused(
            &registry.push("app", "v1", &sample),
            "is not the one that the image's configuration names",
        )
        .await;
}

/// A layer of one entry, by the path as it stands in the archive.
fn with_path(path: &[u8]) -> Layer {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_size(path.len() as u64);
    long.set_cksum();
    builder.append(&long, path).unwrap();
    builder.append(&header, &b""[..]).unwrap();
    let tar = builder.into_inner().unwrap();
    let mut layer = Layer::new("none", b"", Packing::Gzip);
    (layer.blob, layer.tar) = (Blob::new(gzip(&tar)), tar);
    layer
}

#[tokio::test]
async fn a_layer_whose_paths_are_hostile() {
    for (path, sentence) in [
        (b"a/../../etc/passwd".to_vec(), "has a \"..\" component"),
        (vec![b'n'; 256], "has a component longer than 255 bytes"),
        (b"d/".repeat(257), "has more than 256 components"),
        (
            [
                &b"long/".repeat(250)[..],
                &[b'n'; 200].map(|_| b'/'),
                &b"d/".repeat(3000),
            ]
            .concat(),
            "is longer than 4095 bytes",
        ),
    ] {
        let (world, registry) = (World::new(), FakeRegistry::start().await);
        world.pull(&registry.push("good", "v1", &hello())).await.unwrap();
        let sample = Sample::new(vec![with_path(&path)]);
        world
            .check_refused(&registry.push("app", "v1", &sample), sentence)
            .await;
    }
}

#[tokio::test]
async fn a_layer_that_lies_elsewhere() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let mut sample = hello();
    let manifest = String::from_utf8(sample.manifest.bytes).unwrap();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"urls\":[\"http://elsewhere.invalid/layer\"],\"a\":\"";
    sample.manifest = Blob::new(manifest.replacen(&sample.layers[0].media_type, foreign, 1));
    let reference = registry.push("app", "v1", &sample);
    world.check_refused(&reference, "foreign").await;
    assert!(registry.requests("/blobs/").is_empty());
}

#[tokio::test]
async fn a_layer_that_is_no_archive() {
    for (tar, blob, sentence) in [
        (b"nonsense".to_vec(), gzip(b"nonsense"), "cannot be used"),
        (b"BZh9".to_vec(), b"BZh9".to_vec(), "bzip2"),
    ] {
        let (world, registry) = (World::new(), FakeRegistry::start().await);
        let mut layer = Layer::new("a", b"a", Packing::Gzip);
        (layer.tar, layer.blob) = (tar, Blob::new(blob));
        world
            .check_refused(&registry.push("app", "v1", &Sample::new(vec![layer])), sentence)
            .await;
    }
}

#[tokio::test]
async fn an_image_that_is_not_there() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    registry.push("app", "v1", &hello());
    world
        .check_refused(&format!("{}/app:v2", registry.address), "app:v2 is not in the registry")
        .await;
    let refused = format!("{}/app:v1", "127.0.0.1:1");
    world
        .check_refused(&refused, "cannot talk to registry 127.0.0.1:1")
        .await;
}

#[tokio::test]
async fn an_image_that_lacks_a_blob() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let sample = hello();
    let reference = registry.push_manifest("app", "v1", &sample.manifest);
    world.check_refused(&reference, "lacks a part of the image").await;
    registry.push_blob("app", &sample.config);
    world.check_refused(&reference, "lacks a part of the image").await;
}

#[tokio::test]
async fn an_image_for_another_host() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let other = Sample::for_architecture(vec![], "s390x");
    let sentence = format!("the image is for linux/s390x; this host runs {}", Platform::host());
    world
        .check_refused(&registry.push("app", "v1", &other), &sentence)
        .await;
    let entries = [other.entry("linux", "s390x"), other.entry("windows", "amd64")];
    let index = Blob::new(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string());
    let sentence = format!(
        "no image for {}; there are: linux/s390x, windows/amd64",
        Platform::host()
    );
    world
        .check_refused(&registry.push_manifest("app", "v1", &index), &sentence)
        .await;
}

#[tokio::test]
async fn an_image_of_the_first_schema() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let manifest = Blob::new(json!({"schemaVersion": 1, "name": "a", "fsLayers": []}).to_string());
    world
        .check_refused(&registry.push_manifest("app", "v1", &manifest), "schema 1")
        .await;
}

#[tokio::test]
async fn a_pinned_image_that_is_another() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let pinned = Digest::of(b"pinned");
    registry.push("app", "v1", &hello());
    registry.set(&format!("/v2/app/manifests/{pinned}"), &hello().manifest.bytes);
    world
        .check_refused(
            &format!("{}/app@{pinned}", registry.address),
            "the image is damaged: the content has digest",
        )
        .await;
}

#[tokio::test]
async fn indexes_without_an_end() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let mut blob = hello().manifest;
    for _ in 0..5 {
        let mut entry = blob.descriptor(OCI_MANIFEST);
        entry["mediaType"] = OCI_INDEX.into();
        blob = Blob::new(json!({"schemaVersion": 2, "manifests": [entry]}).to_string());
        registry.push_manifest("app", "v1", &blob);
    }
    world
        .check_refused(&format!("{}/app:v1", registry.address), "nested more than 3 deep")
        .await;
}

#[tokio::test]
async fn a_manifest_and_a_configuration_without_an_end() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &hello());
    let endless = |part: &'static str| {
        move |request: &crate::fake_registry::Request| {
            let mut response = Response::new(200, vec![b' '; 64 << 10]);
            response.endless = true;
            request.path.contains(part).then_some(response)
        }
    };
    registry.on(endless("/manifests/"));
    world
        .check_refused(&reference, "sends more than the 4194304 bytes that a manifest may have")
        .await;
    registry.on(endless("/blobs/"));
    world
        .check_refused(&reference, "bytes that an image configuration may have")
        .await;
}

#[tokio::test]
async fn a_registry_that_is_out_of_order() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &hello());
    registry.on(|_| {
        Some(Response::new(
            503,
            r#"{"errors":[{"code":"UNAVAILABLE","message":"try\u001b later"}]}"#,
        ))
    });
    world
        .check_refused(&reference, r#"answers 503: "try\u{1b} later""#)
        .await;
    registry.on(|_| Some(Response::new(403, "")));
    world.check_refused(&reference, "access to it is denied").await;
}

#[tokio::test]
async fn layers_and_diff_ids_that_do_not_pair() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let rootfs = json!({"type": "layers", "diff_ids": []});
    let config = json!({"os": "linux", "architecture": Platform::host().architecture, "rootfs": rootfs});
    let sample = Sample::with_config(vec![Layer::new("a", b"a", Packing::Gzip)], &config);
    world
        .check_refused(
            &registry.push("app", "v1", &sample),
            "has 1 layers and its configuration 0",
        )
        .await;
}
