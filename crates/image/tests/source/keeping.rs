//! What is kept for saving, what that frees, and what is saved.

use std::path::Path;

use image::{Store, StoreOptions};

use crate::fake_registry::FakeRegistry;
use crate::sample::{Layer, Packing, Sample, hello};
use crate::world::{World, files, store_options};

/// Bytes of the images as the store's own accounts have them, with what a prune of all would free.
fn usage(store: &Store) -> (u64, u64) {
    let usage = store.usage(|_| false).unwrap();
    (usage.bytes, usage.reclaimable_bytes)
}

fn saved(store: &Store, words: &[String]) -> Vec<u8> {
    let mut archive = Vec::new();
    store.saving(words).unwrap().write(&mut archive).unwrap();
    archive
}

#[tokio::test]
async fn what_is_saved_is_what_was_pulled() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let one = world.pull(&registry.push("app", "one", &hello())).await.unwrap();
    let other = Sample::new(vec![Layer::new("other", b"other", Packing::Zstd)]);
    let two = world.pull(&registry.push("app", "two", &other)).await.unwrap();
    let words = [one.names[0].clone(), two.names[0].clone()];
    let archive = saved(&world.store, &words);
    assert_eq!(archive, saved(&world.store, &words));
    let elsewhere = World::new();
    let mut loaded = elsewhere.load(&archive).await.unwrap();
    loaded.sort_by(|a, b| a.names.cmp(&b.names));
    let told = |image: &image::Image| (image.names.clone(), image.record.digest, image.record.layers.clone());
    assert_eq!([told(&loaded[0]), told(&loaded[1])], [told(&one), told(&two)]);
    assert_eq!(saved(&elsewhere.store, &words), archive);
}

#[tokio::test]
async fn a_layer_in_two_packings_is_kept_in_both() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    for (tag, packing) in [("gzip", Packing::Gzip), ("zstd", Packing::Zstd)] {
        let sample = Sample::new(vec![Layer::new("same", b"same", packing)]);
        let image = world.pull(&registry.push("app", tag, &sample)).await.unwrap();
        let blob = sample.layers[0].blob.digest;
        assert_eq!(
            std::fs::read(world.path().join("blobs").join(blob.hex())).unwrap(),
            sample.layers[0].blob.bytes
        );
        assert!(!saved(&world.store, &image.names).is_empty());
    }
    assert_eq!(std::fs::read_dir(world.path().join("layers")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_was_thrown_away_cannot_be_saved() {
    let registry = FakeRegistry::start().await;
    let world = World::with(StoreOptions {
        discards_blobs: true,
        ..store_options()
    });
    let image = world.pull(&registry.push("app", "v1", &hello())).await.unwrap();
    let refused = world.store.saving(&image.names).unwrap_err();
    assert!(refused.to_string().contains("cannot be saved"), "{refused}");
    // Manifest and configuration.
    assert_eq!(std::fs::read_dir(world.path().join("blobs")).unwrap().count(), 2);
}

#[tokio::test]
async fn a_store_that_begins_to_throw_away_frees_what_it_had() {
    let registry = FakeRegistry::start().await;
    let directory = tempfile::tempdir().unwrap();
    let reference = registry.push("app", "v1", &hello());
    let pull = async |options: StoreOptions| {
        let store = Store::open(directory.path(), options).unwrap();
        let source = image::Source::parse(&reference).unwrap();
        let progress = image::Progress::silent();
        store
            .pull(&source, &image::PullOptions::default(), &progress)
            .await
            .unwrap();
    };
    let blobs = || std::fs::read_dir(directory.path().join("blobs")).unwrap().count();
    pull(store_options()).await;
    assert_eq!(blobs(), 5);
    let throwing = || StoreOptions {
        discards_blobs: true,
        ..store_options()
    };
    pull(throwing()).await;
    assert_eq!(blobs(), 2);
    // The other way round, the next pull brings them back.
    pull(store_options()).await;
    assert_eq!(blobs(), 5);
}

#[tokio::test]
async fn a_prune_frees_exactly_what_was_told() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let base = Layer::large("base", 300_000);
    let one = Sample::new(vec![base.clone(), Layer::large("one", 100_000)]);
    let two = Sample::new(vec![base, Layer::large("two", 200_000)]);
    let empty = usage(&world.store);
    assert_eq!(empty, (0, 0));
    let one = world.pull(&registry.push("app", "one", &one)).await.unwrap();
    let two = world.pull(&registry.push("app", "two", &two)).await.unwrap();
    let snapshot = world.store.snapshot(&one).await.unwrap();
    let is_two = |image: &image::Image| image.record.digest == two.record.digest;
    let told = world.store.usage(|image| !is_two(image)).unwrap();
    let pruned = world.store.prune(is_two).unwrap();
    assert_eq!(pruned.images, [two]);
    assert_eq!(pruned.freed_bytes, told.reclaimable_bytes);
    assert_eq!(usage(&world.store).0, told.bytes - pruned.freed_bytes);
    // What is in use stays, and goes with its last user.
    let kept = snapshot.parts.clone();
    let pruned = world.store.prune(|_| true).unwrap();
    assert_eq!(pruned.images, [one]);
    assert!(kept.iter().all(|part| part.path.exists()));
    let left = usage(&world.store);
    assert!(left.0 > 0);
    assert_eq!(left.1, 0);
    drop(snapshot);
    let is_empty = || files(world.path()).iter().all(|(path, _)| is_fixed(world.path(), path));
    while !is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(usage(&world.store), (0, 0));
}

/// The store's own files and directories, which are always there.
fn is_fixed(root: &Path, path: &Path) -> bool {
    path.parent() == Some(root)
}

#[tokio::test]
async fn a_prune_leaves_a_running_pull_alone() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let (first, second) = (Layer::new("a", b"a", Packing::Gzip), Layer::large("big", 2 << 20));
    let reference = registry.push("app", "v1", &Sample::new(vec![first.clone(), second.clone()]));
    let path = format!("/blobs/{}", second.blob.digest);
    let bytes = second.blob.bytes.clone();
    let seen = std::sync::atomic::AtomicUsize::new(0);
    registry.on(move |request| {
        let is_first = request.path.ends_with(&path) && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let mut response = crate::fake_registry::Response::new(200, bytes.clone());
        response.cut_after = Some(1 << 20);
        is_first.then_some(response)
    });
    let diff_id = image::Digest::of(&first.tar);
    let pruning = async {
        let layer = world.path().join("layers").join(diff_id.hex());
        while !layer.exists() {
            tokio::task::yield_now().await;
        }
        world.store.prune(|_| true).unwrap()
    };
    let (pulled, pruned) = tokio::join!(world.pull(&reference), pruning);
    assert_eq!(pulled.unwrap().record.layers.len(), 2);
    assert_eq!(pruned.images, []);
}
