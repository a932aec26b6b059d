//! Images from layouts and archives, as paths and as streams.

use std::path::Path;

use image::Reference;
use image::manifest::OCI_INDEX;
use serde_json::{Value, json};

use crate::sample::{Layer, Packing, Sample, gzip, hello, tar};
use crate::world::World;

/// The files of an OCI layout with these images under these names.
fn layout(images: &[(&Sample, &str)]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut entries = Vec::new();
    for (sample, name) in images {
        let mut entry: Value = sample.entry("linux", &image::Platform::host().architecture);
        if !name.is_empty() {
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        entries.push(entry);
        files.extend(
            sample
                .blobs()
                .into_iter()
                .map(|blob| (format!("blobs/sha256/{}", blob.digest.hex()), blob.bytes)),
        );
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    files.push(("index.json".into(), index.to_string().into_bytes()));
    files
}

/// What `docker save` writes for these images with these tags.
fn docker_archive(images: &[(&Sample, &[&str])]) -> Vec<u8> {
    let mut files = Vec::new();
    let mut items = Vec::new();
    for (sample, tags) in images {
        let config = format!("{}.json", sample.config.digest.hex());
        files.push((config.clone(), sample.config.bytes.clone()));
        let layers = sample
            .layers
            .iter()
            .map(|layer| format!("{}/layer.tar", layer.blob.digest.hex()))
            .collect::<Vec<_>>();
        files.extend(
            sample
                .layers
                .iter()
                .zip(&layers)
                .map(|(layer, path)| (path.clone(), layer.blob.bytes.clone())),
        );
        items.push(json!({"Config": config, "RepoTags": tags, "Layers": layers}));
    }
    files.push(("manifest.json".into(), json!(items).to_string().into_bytes()));
    pack(&files)
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect::<Vec<_>>())
}

fn unpack(files: &[(String, Vec<u8>)], directory: &Path) {
    for (path, bytes) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn a_layout_is_pulled_from_its_directory_and_from_its_archive() {
    let directory = tempfile::tempdir().unwrap();
    let files = layout(&[(&hello(), "v1"), (&Sample::new(vec![]), "localhost/empty:v1")]);
    unpack(&files, directory.path());
    let archive = directory.path().join("archive.tar");
    std::fs::write(&archive, pack(&files)).unwrap();
    for source in [
        format!("oci:{}", directory.path().display()),
        format!("oci-archive:{}", archive.display()),
    ] {
        let world = World::new();
        world
            .check_refused(&source, "there are several images, name one: v1, localhost/empty:v1")
            .await;
        world
            .check_refused(&format!("{source}:v2"), r#"there is no image "v2"; there are: v1"#)
            .await;
        let image = world.pull(&format!("{source}:v1")).await.unwrap();
        assert_eq!((image.record.digest, image.names), (hello().manifest.digest, vec![]));
        let image = world.pull(&format!("{source}:localhost/empty:v1")).await.unwrap();
        assert_eq!(image.names, ["localhost/empty:v1"]);
    }
}

#[tokio::test]
async fn a_layout_is_loaded_from_a_stream_compressed_or_not() {
    let archive = pack(&layout(&[(&hello(), "docker.io/library/hello:v1")]));
    for stream in [
        archive.clone(),
        gzip(&archive),
        zstd::encode_all(archive.as_slice(), 1).unwrap(),
    ] {
        let world = World::new();
        let images = world.load(&stream).await.unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].names, ["docker.io/library/hello:v1"]);
        assert_eq!(images[0].record.digest, hello().manifest.digest);
        assert_eq!(world.store.snapshot(&images[0]).await.unwrap().parts.len(), 4);
    }
}

#[tokio::test]
async fn a_name_can_be_given_to_one_image_but_not_to_two() {
    let mut world = World::new();
    world.options.name = Some(Reference::parse("mine").unwrap());
    let image = world.load(&pack(&layout(&[(&hello(), "v1")]))).await.unwrap();
    assert_eq!(image[0].names, ["docker.io/library/mine:latest"]);
    let two = pack(&layout(&[(&hello(), "v1"), (&Sample::new(vec![]), "v2")]));
    world.check_load_refused(&two, "cannot all have one name").await;
}

#[tokio::test]
async fn what_docker_saves_is_loaded_with_all_its_images() {
    let base = Layer::new("base", b"base", Packing::Plain);
    let one = Sample::new(vec![base.clone(), Layer::new("one", b"one", Packing::Plain)]);
    let two = Sample::new(vec![base, Layer::new("two", b"two", Packing::Gzip)]);
    let archive = docker_archive(&[(&one, &["one:1", "localhost:5000/one:2"]), (&two, &[])]);
    let world = World::new();
    let mut images = world.load(&archive).await.unwrap();
    images.sort_by_key(|image| image.names.len());
    assert_eq!(images[1].names, ["docker.io/library/one:1", "localhost:5000/one:2"]);
    assert_eq!(images[1].record.config_digest, one.config.digest);
    assert_eq!(images[0].names, [""; 0]);
    assert_eq!(images[0].record.layers[0], images[1].record.layers[0]);
    // The same archive always makes the same image.
    let digests = |world: &World| {
        world
            .store
            .list()
            .unwrap()
            .iter()
            .map(|image| image.record.digest)
            .collect::<Vec<_>>()
    };
    let again = World::new();
    again.load(&archive).await.unwrap();
    assert_eq!(digests(&again), digests(&world));
}

#[tokio::test]
async fn damaged_archives_leave_no_trace() {
    let world = World::new();
    world
        .load(&pack(&layout(&[(&hello(), "good/image:v1")])))
        .await
        .unwrap();
    let archive = pack(&layout(&[(&Sample::new(vec![Layer::large("a", 50_000)]), "b/c:d")]));
    world
        .check_load_refused(&archive[..20_000], "the image archive is damaged or incomplete")
        .await;
    world
        .check_load_refused(&gzip(&archive)[..20_000], "cannot decompress the image archive")
        .await;
    world.check_load_refused(b"", "the archive holds no image").await;
    world
        .check_load_refused(&[7; 5000], "the image archive is damaged or incomplete")
        .await;
    world
        .check_load_refused(&tar(&[("etc/passwd", b"root")]), "the archive holds no image")
        .await;
    let mut flipped = archive.clone();
    flipped[5000] ^= 1;
    world.check_load_refused(&flipped, "is damaged").await;
}

#[tokio::test]
async fn one_bad_image_keeps_the_others_out() {
    let (good, mut bad) = (hello(), Sample::new(vec![Layer::new("b", b"b", Packing::Plain)]));
    bad.layers[0].blob.bytes[0] ^= 1;
    let world = World::new();
    world
        .check_load_refused(
            &docker_archive(&[(&good, &["good:1"]), (&bad, &["bad:1"])]),
            "is damaged",
        )
        .await;
    world
        .check_load_refused(&pack(&layout(&[(&good, "good:1"), (&bad, "bad:1")])), "is damaged")
        .await;
}

#[tokio::test]
async fn a_layout_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new();
    world
        .check_refused(
            &format!("oci:{}", directory.path().display()),
            "oci-layout: No such file",
        )
        .await;
    world
        .check_refused("oci-archive:/nonexistent.tar", "cannot open /nonexistent.tar")
        .await;
    world
        .check_refused("docker-archive:/dev/null", "not a regular file")
        .await;
}
