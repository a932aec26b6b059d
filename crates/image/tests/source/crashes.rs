//! What a process that dies leaves behind, and what the next one makes of it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use image::{Progress, PullOptions, Source, Store, StoreError};

use crate::fake_registry::{FakeRegistry, Response};
use crate::sample::{Layer, Packing, Sample, hello};
use crate::world::{World, chain, files, store_options};

/// Tells a second process of this test binary which image to pull into which store.
pub const REFERENCE: &str = "MOTE_TEST_PULL_REFERENCE";
pub const STORE: &str = "MOTE_TEST_PULL_STORE";

/// The same for the disk that fills up.
const SMALL_DISK_REFERENCE: &str = "MOTE_TEST_SMALL_DISK_REFERENCE";
const SMALL_DISK: &str = "MOTE_TEST_SMALL_DISK";

/// The second process of the test below; in the first one there is nothing to do.
#[tokio::test]
async fn a_pull_in_a_process_of_its_own() {
    let (Ok(reference), Ok(store)) = (std::env::var(REFERENCE), std::env::var(STORE)) else {
        return;
    };
    let store = Store::open(store.as_ref(), store_options()).unwrap();
    let source = Source::parse(&reference).unwrap();
    let progress = Progress::new(|event| println!("{event:?}"));
    store.pull(&source, &PullOptions::default(), &progress).await.unwrap();
}

/// Starts it, to pull the image into the store at `store`.
fn pull_beside(reference: &str, store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "crashes::a_pull_in_a_process_of_its_own"])
        .env(REFERENCE, reference)
        .env(STORE, store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_killed_leaves_nothing_that_counts() {
    let registry = FakeRegistry::start().await;
    let (whole, half) = (Layer::new("a", b"a", Packing::Gzip), Layer::large("big", 4 << 20));
    let reference = registry.push("app", "v1", &Sample::new(vec![whole, half.clone()]));
    let path = format!("/blobs/{}", half.blob.digest);
    registry.on(move |request| {
        let mut response = Response::new(200, half.blob.bytes.clone());
        (response.cut_after, response.stalls) = (Some(2 << 20), true);
        request.path.ends_with(&path).then_some(response)
    });
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), store_options()).unwrap());
    let before = files(directory.path());
    let mut child = pull_beside(&reference, directory.path());
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().contains("LayerProgress")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(files(directory.path()), before);
    let store = Store::open(directory.path(), store_options()).unwrap();
    assert_eq!(files(directory.path()), before);
    registry.on(|_| None);
    let source = Source::parse(&reference).unwrap();
    store
        .pull(&source, &PullOptions::default(), &Progress::silent())
        .await
        .unwrap();
}

/// Kills pulls at points that are spread over all that a pull does, and looks at what the next one makes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_killed_anywhere_is_made_whole_by_the_next() {
    let registry = FakeRegistry::start().await;
    let layers = ["a", "b", "c", "d"].map(|name| Layer::large(name, 1 << 20));
    let reference = registry.push("app", "v1", &Sample::new(layers.to_vec()));
    let source = Source::parse(&reference).unwrap();
    let whole = World::new();
    let expected = whole.pull(&reference).await.unwrap();
    drop(whole.store.snapshot(&expected).await.unwrap());
    let content = |root: &Path| -> Vec<_> {
        let inside = |(path, len): (std::path::PathBuf, u64)| (path.strip_prefix(root).unwrap().to_owned(), len);
        files(root)
            .into_iter()
            .map(inside)
            // When it was stored, and where on the disk, are in these.
            .filter(|(path, _)| !path.starts_with("images") && !path.ends_with("seal.json"))
            .collect()
    };
    // A pull tells of some twenty steps; the generator is Knuth's, its seed any number.
    let mut state = 20_261_123_u64;
    for _ in 0..12 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let steps = usize::try_from((state >> 33) % 22).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut child = pull_beside(&reference, directory.path());
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = output.map(Result::unwrap).filter(|line| line.contains('{')).take(steps);
        assert!(told.count() <= steps);
        // It may be done by now.
        let _ = child.kill();
        child.wait().unwrap();
        let store = Store::open(directory.path(), store_options()).unwrap();
        let image = store
            .pull(&source, &PullOptions::default(), &Progress::silent())
            .await
            .unwrap();
        assert_eq!(image.record.digest, expected.record.digest);
        assert_eq!(image.record.layers, expected.record.layers);
        drop(store.snapshot(&image).await.unwrap());
        assert_eq!(
            content(directory.path()),
            content(whole.path()),
            "killed after {steps} steps"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_nobody_waits_for_ends_and_leaves_nothing() {
    let registry = FakeRegistry::start().await;
    let layer = Layer::large("big", 4 << 20);
    let reference = registry.push("app", "v1", &Sample::new(vec![layer.clone()]));
    let path = format!("/blobs/{}", layer.blob.digest);
    registry.on(move |request| {
        let mut response = Response::new(200, layer.blob.bytes.clone());
        (response.cut_after, response.stalls) = (Some(2 << 20), true);
        request.path.ends_with(&path).then_some(response)
    });
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), store_options()).unwrap();
    let before = files(directory.path());
    {
        let source = Source::parse(&reference).unwrap();
        let (options, progress) = (PullOptions::default(), Progress::silent());
        let pull = store.pull(&source, &options, &progress);
        tokio::select! {
            result = pull => panic!("{result:?}"),
            () = registry.stalled() => {}
        }
    }
    drop(store);
    // The store's lock is free when the last thread that works for it has ended.
    let lock = File::open(directory.path().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(files(directory.path()), before);
}

/// In a mount namespace of its own, so that the disk that fills up is nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_is_told_in_one_sentence() {
    let registry = FakeRegistry::start().await;
    let reference = registry.push("app", "v1", &Sample::new(vec![Layer::large("big", 8 << 20)]));
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" && exec \"$2\" --exact crashes::a_pull_onto_a_small_disk";
    let status = tokio::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([directory.path(), &std::env::current_exe().unwrap()])
        .env(SMALL_DISK_REFERENCE, &reference)
        .env(SMALL_DISK, directory.path())
        .stdout(Stdio::null())
        .status();
    assert!(
        status
            .await
            .expect("unshare (package util-linux; run `make setup`) runs")
            .success()
    );
    assert_eq!(registry.requests("/blobs/").len(), 2);
}

/// The second process of the test above; in the first one there is nothing to do.
#[tokio::test]
async fn a_pull_onto_a_small_disk() {
    let (Ok(reference), Ok(disk)) = (std::env::var(SMALL_DISK_REFERENCE), std::env::var(SMALL_DISK)) else {
        return;
    };
    let store = Store::open(disk.as_ref(), store_options()).unwrap();
    let before = files(disk.as_ref());
    let source = Source::parse(&reference).unwrap();
    let error = store
        .pull(&source, &PullOptions::default(), &Progress::silent())
        .await
        .unwrap_err();
    assert_eq!(
        chain(&error),
        format!("no space is left for images on the disk of {disk}")
    );
    assert_eq!(files(disk.as_ref()), before);
}

#[tokio::test]
async fn an_image_outlives_its_process() {
    let registry = FakeRegistry::start().await;
    let reference = registry.push("app", "v1", &hello());
    let directory = tempfile::tempdir().unwrap();
    let source = Source::parse(&reference).unwrap();
    let store = Store::open(directory.path(), store_options()).unwrap();
    let image = store
        .pull(&source, &PullOptions::default(), &Progress::silent())
        .await
        .unwrap();
    drop(store.snapshot(&image).await.unwrap());
    drop(store);
    let before = files(directory.path());
    let store = Store::open(directory.path(), store_options()).unwrap();
    assert_eq!(files(directory.path()), before);
    assert_eq!(store.resolve(&reference).unwrap(), image);
}

#[test]
fn a_store_has_one_process_at_a_time() {
    let world = World::new();
    assert!(matches!(
        Store::open(world.path(), store_options()),
        Err(StoreError::InUse { .. })
    ));
}
