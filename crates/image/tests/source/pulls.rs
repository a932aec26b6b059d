//! What a pull does when all goes well, or well in the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::manifest::OCI_INDEX;
use image::{Event, Platform};
use serde_json::json;

use crate::fake_registry::{FakeRegistry, Response};
use crate::sample::{Blob, Layer, Packing, Sample, hello};
use crate::world::World;

#[tokio::test]
async fn an_image_is_stored_with_all_that_is_known_of_it() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let sample = hello();
    let reference = registry.push("team/app", "v1", &sample);
    let image = world.pull(&reference).await.unwrap();
    assert_eq!(image.names, std::slice::from_ref(&reference));
    assert_eq!(image.record.digest, sample.manifest.digest);
    assert_eq!(image.record.platform, Platform::host());
    assert_eq!(image.record.process.cmd, ["/hello"]);
    assert_eq!(image.record.created, "2026-01-02T03:04:05Z");
    assert_eq!(image.record.layers.len(), 3);
    assert_eq!(world.store.list().unwrap(), std::slice::from_ref(&image));
    assert_eq!(world.store.resolve(&reference).unwrap(), image);
    assert_eq!(world.store.blob(sample.manifest.digest).unwrap(), sample.manifest.bytes);
    assert_eq!(world.store.blob(sample.config.digest).unwrap(), sample.config.bytes);
    let done = world
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::LayerDone { .. }))
        .count();
    assert_eq!(done, 3);
}

#[tokio::test]
async fn a_snapshot_is_the_metadata_and_the_layers() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let image = world.pull(&registry.push("app", "v1", &hello())).await.unwrap();
    let snapshot = world.store.snapshot(&image).await.unwrap();
    assert_eq!(snapshot.parts.len(), 4);
    for part in &snapshot.parts {
        assert_eq!(part.path.metadata().unwrap().len(), part.len_bytes);
        assert_eq!(part.len_bytes % 4096, 0);
    }
    assert_eq!(world.store.snapshot(&image).await.unwrap().parts, snapshot.parts);
    // While somebody holds it, its files stay.
    world.store.remove(&image.names[0]).unwrap();
    assert!(snapshot.parts.iter().all(|part| part.path.exists()));
    let parts = snapshot.parts.clone();
    drop(snapshot);
    assert!(
        world
            .store
            .prune(|image| image.names.is_empty())
            .unwrap()
            .images
            .is_empty()
    );
    world.store.remove("app").unwrap_err();
    drop(world.store.list().unwrap());
    // Another image's way out sweeps what was held.
    let other = world
        .pull(&registry.push("other", "v1", &Sample::new(vec![])))
        .await
        .unwrap();
    world.store.remove(&other.names[0]).unwrap();
    assert!(parts.iter().all(|part| !part.path.exists()));
}

#[tokio::test]
async fn layers_are_fetched_once_for_all_images() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let base = Layer::new("base", b"base", Packing::Gzip);
    let one = Sample::new(vec![base.clone(), Layer::new("one", b"one", Packing::Gzip)]);
    let two = Sample::new(vec![
        base.clone(),
        base.clone(),
        Layer::new("two", b"two", Packing::Gzip),
    ]);
    world.pull(&registry.push("app", "one", &one)).await.unwrap();
    world.events();
    let image = world.pull(&registry.push("app", "two", &two)).await.unwrap();
    assert_eq!(image.record.layers.len(), 3);
    assert!(world.events().contains(&Event::LayerExists {
        digest: base.blob.digest
    }));
    assert_eq!(registry.requests(&base.blob.digest.to_string()).len(), 1);
    world.store.remove(&format!("{}/app:two", registry.address)).unwrap();
    assert_eq!(world.names().len(), 1);
    assert!(
        world
            .path()
            .join("layers")
            .join(image.record.layers[0].diff_id.hex())
            .exists()
    );
    assert!(
        !world
            .path()
            .join("layers")
            .join(image.record.layers[2].diff_id.hex())
            .exists()
    );
}

#[tokio::test]
async fn pulls_at_the_same_time_share_a_download() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let layer = Layer::large("big", 3 << 20);
    let one = registry.push("app", "one", &Sample::new(vec![layer.clone()]));
    let two = registry.push(
        "app",
        "two",
        &Sample::new(vec![layer.clone(), Layer::new("a", b"a", Packing::Gzip)]),
    );
    let (one, two) = tokio::join!(world.pull(&one), world.pull(&two));
    assert_eq!(one.unwrap().record.layers[0], two.unwrap().record.layers[0]);
    assert_eq!(registry.requests(&layer.blob.digest.to_string()).len(), 1);
}

#[tokio::test]
async fn the_hosts_image_is_taken_from_an_index() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let (mine, other) = (hello(), Sample::for_architecture(vec![], "s390x"));
    let entries = [
        other.entry("linux", "s390x"),
        mine.entry("linux", &Platform::host().architecture),
    ];
    let index = Blob::new(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string());
    registry.push("app", "mine", &mine);
    let reference = registry.push_manifest("app", "v1", &index);
    assert_eq!(
        world.pull(&reference).await.unwrap().record.digest,
        mine.manifest.digest
    );
    // By the index's digest it is found again, too.
    let by_digest = format!("{}/app@{}", registry.address, index.digest);
    let image = world.pull(&by_digest).await.unwrap();
    assert_eq!(image.names, [reference, by_digest.clone()]);
    assert_eq!(world.store.resolve(&by_digest).unwrap(), image);
}

#[tokio::test]
async fn a_tag_that_moved_leaves_its_old_image_nameless() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let old = world.pull(&registry.push("app", "v1", &hello())).await.unwrap();
    let new = world
        .pull(&registry.push("app", "v1", &Sample::new(vec![])))
        .await
        .unwrap();
    assert_eq!(world.names(), [new.names, vec![]]);
    let pruned = world.store.prune(|image| image.names.is_empty()).unwrap().images;
    assert_eq!(
        pruned.into_iter().map(|image| image.record.digest).collect::<Vec<_>>(),
        [old.record.digest]
    );
    assert_eq!(world.names().len(), 1);
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_broke() {
    for takes_ranges in [true, false] {
        let (world, registry) = (World::new(), FakeRegistry::start().await);
        let layer = Layer::large("big", 1 << 20);
        let reference = registry.push("app", "v1", &Sample::new(vec![layer.clone()]));
        let (path, bytes) = (format!("/blobs/{}", layer.blob.digest), layer.blob.bytes.clone());
        let seen = AtomicUsize::new(0);
        registry.on(move |request| {
            let is_first = request.path.ends_with(&path) && seen.fetch_add(1, Ordering::Relaxed) == 0;
            let mut response = Response::new(200, bytes.clone());
            response.cut_after = is_first.then_some(300_000);
            (is_first || request.path.ends_with(&path) && !takes_ranges).then_some(response)
        });
        world.pull(&reference).await.unwrap();
        let requests = registry.requests(&layer.blob.digest.to_string());
        assert_eq!(requests.len(), 2);
        assert!(requests[1].headers["range"].starts_with("bytes="), "{requests:?}");
    }
}

#[tokio::test]
async fn a_busy_registry_is_asked_again() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &hello());
    let seen = AtomicUsize::new(0);
    registry.on(move |request| {
        let is_manifest = request.path.contains("/manifests/");
        (is_manifest && seen.fetch_add(1, Ordering::Relaxed) == 0)
            .then(|| Response::new(429, "").header("Retry-After", "0"))
    });
    world.pull(&reference).await.unwrap();
    assert_eq!(registry.requests("/manifests/").len(), 2);
}

#[tokio::test]
async fn progress_tells_what_a_bar_needs() {
    let (world, registry) = (World::new(), FakeRegistry::start().await);
    let layer = Layer::large("big", 2 << 20);
    world
        .pull(&registry.push("app", "v1", &Sample::new(vec![layer.clone()])))
        .await
        .unwrap();
    let digest = layer.blob.digest;
    let total_bytes = layer.blob.bytes.len() as u64;
    let events = world.events();
    assert!(matches!(&events[0], Event::Resolved { layers, .. } if layers[0].size_bytes == total_bytes));
    assert_eq!(events[1], Event::LayerStarted { digest, total_bytes });
    let received: BTreeSet<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::LayerProgress { received_bytes, .. } => Some(*received_bytes),
            _ => None,
        })
        .collect();
    assert!(received.len() >= 4, "{received:?}");
    assert_eq!(received.last(), Some(&total_bytes));
    assert_eq!(events.last(), Some(&Event::LayerDone { digest }));
}
