//! Pulls under strace, which tells what they do to files, and makes that fail: a power loss after every step, and disks that fail at any.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image::{Progress, PullOptions, Source, Store};

use crate::crashes::{REFERENCE, STORE};
use crate::fake_registry::FakeRegistry;
use crate::sample::{Layer, Sample, hello};
use crate::strace;
use crate::world::{World, chain, files, store_options};

/// Pulls in a process of its own under strace with these options. Answers what strace wrote, and whether the pull succeeded.
fn traced_pull(options: &[&str], reference: &str, store: &Path) -> (String, bool) {
    let options = ["-y", "-s", "0"].iter().chain(options).copied();
    let mut pull = strace::traced(options, "crashes::a_pull_in_a_process_of_its_own");
    pull.command.env(REFERENCE, reference).env(STORE, store);
    let (trace, output) = pull.run();
    (trace, output.status.success())
}

/// What would be lost in a power loss now: files whose contents, and directories whose entries, are not on the disk.
#[derive(Default)]
struct Unsynced {
    files: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
}

impl Unsynced {
    /// Takes over a line of strace. Nothing of an image may be published that is not on the disk, and no record or name before all that it stands for.
    fn step(&mut self, store: &Path, call: &str, paths: &[PathBuf]) {
        let tmp = store.join("tmp");
        match (call, paths) {
            ("openat", [.., path]) => {
                self.directories.insert(path.parent().unwrap().into());
                self.files.insert(path.clone());
            }
            ("write" | "pwrite64" | "ftruncate", [path, ..]) => drop(self.files.insert(path.clone())),
            ("mkdir", [path, ..]) => drop(self.directories.insert(path.parent().unwrap().into())),
            ("fsync" | "fdatasync", [path, ..]) => {
                self.files.remove(path);
                self.directories.remove(path);
            }
            ("rename" | "renameat", [.., from, to]) if from.starts_with(&tmp) => {
                let lost = |unsynced: &BTreeSet<PathBuf>| unsynced.iter().any(|path| path.starts_with(from));
                assert!(
                    !lost(&self.files) && !lost(&self.directories),
                    "{to:?} is published before it is synced"
                );
                if to.starts_with(store.join("images")) || to.ends_with("names.json") {
                    let unsynced: Vec<_> = self.directories.iter().filter(|path| **path != tmp).collect();
                    assert!(
                        unsynced.is_empty(),
                        "{to:?} is published before {unsynced:?} are synced"
                    );
                }
                self.directories.insert(to.parent().unwrap().into());
            }
            _ => {}
        }
    }
}

/// The call of a line, and the paths in its arguments that are below `store`.
fn parsed(line: &str, store: &Path) -> Option<(String, Vec<PathBuf>)> {
    let call = line.split_once(char::is_whitespace)?.1.trim_start();
    let (name, arguments) = call.split_once('(')?;
    let succeeded = !call.contains(" = -1 ");
    let is_reading = name == "openat" && !arguments.contains("O_CREAT");
    let words = arguments.split(['"', '<', '>']).map(PathBuf::from);
    let paths = words.filter(|word| word.starts_with(store)).collect::<Vec<_>>();
    let mut distinct = paths;
    distinct.dedup();
    (succeeded && !is_reading && !distinct.is_empty()).then(|| (name.to_owned(), distinct))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_that_a_power_loss_would_take() {
    let registry = FakeRegistry::start().await;
    let reference = registry.push("app", "v1", &hello());
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().canonicalize().unwrap();
    drop(Store::open(&store, store_options()).unwrap());
    let calls = "trace=openat,write,pwrite64,ftruncate,mkdir,fsync,fdatasync,rename,renameat";
    // Whole names, and interrupted lines joined: each call is one line once it is over.
    let (trace, succeeded) = traced_pull(&["-s", "4096", "-e", calls, "-e", "signal=none"], &reference, &store);
    assert!(succeeded);
    let mut unsynced = Unsynced::default();
    let mut renames = 0;
    let mut begun = BTreeMap::new();
    for line in trace.lines() {
        let (thread, rest) = line.split_once(char::is_whitespace).unwrap_or_default();
        let mut line = line.to_owned();
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread.to_owned(), start.to_owned());
            continue;
        }
        if let Some((_, end)) = rest.split_once("resumed>") {
            line = format!("{thread} {}{end}", begun.remove(thread).unwrap_or_default());
        }
        if let Some((call, paths)) = parsed(&line, &store) {
            renames += usize::from(call.starts_with("rename"));
            unsynced.step(&store, &call, &paths);
        }
    }
    // Three layers and their blobs, manifest, configuration, record, names.
    assert!(renames >= 10, "{renames}");
    unsynced.directories.remove(&store.join("tmp"));
    assert!(unsynced.directories.is_empty(), "{:?}", unsynced.directories);
}

/// What fails: a system call, and how.
const FAULTS: &[(&str, &str)] = &[
    ("openat", "error=EMFILE"),
    ("openat", "error=ENOMEM"),
    ("write", "error=ENOSPC"),
    ("write", "error=EIO"),
    ("pwrite64", "error=ENOSPC"),
    ("pwrite64", "error=EIO"),
    ("fsync", "error=EIO"),
    ("fsync", "delay_enter=100000"),
    ("rename", "error=EIO"),
    ("renameat", "error=ENOSPC"),
    ("mkdir", "error=ENOSPC"),
    ("ftruncate", "error=EIO"),
    ("mmap", "error=ENOMEM"),
];

/// Which of a thread's calls fail.
const TIMES: [&str; 3] = ["1", "2", "4+3"];

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_anywhere_loses_nothing_and_leaves_nothing() {
    let registry = FakeRegistry::start().await;
    let good = registry.push("good", "v1", &hello());
    let layers = ["a", "b"].map(|name| Layer::large(name, 100_000));
    let reference = registry.push("app", "v1", &Sample::new(layers.to_vec()));
    let source = Source::parse(&reference).unwrap();
    let mut failed = 0;
    for (at, (call, fault)) in FAULTS.iter().enumerate() {
        let world = World::new();
        let kept = world.pull(&good).await.unwrap();
        let path = world.path().to_owned();
        let before = files(&path);
        // The lock is the next process's.
        let directory = world.into_directory();
        let inject = format!("inject={call}:{fault}:when={}", TIMES[at % TIMES.len()]);
        let (_, succeeded) = traced_pull(&["-e", &inject], &reference, &path);
        failed += usize::from(!succeeded);
        let store = Store::open(&path, store_options()).unwrap();
        assert_eq!(store.resolve(&good).unwrap(), kept, "{inject}");
        drop(
            store
                .snapshot(&kept)
                .await
                .unwrap_or_else(|error| panic!("{inject}: {}", chain(&error))),
        );
        if !succeeded && store.list().unwrap().len() == 1 {
            let left = files(&path)
                .into_iter()
                .filter(|(path, _)| !path.starts_with(directory.path().join("snapshots")));
            let expected = before
                .iter()
                .filter(|(path, _)| !path.starts_with(directory.path().join("snapshots")));
            assert!(left.eq(expected.cloned()), "{inject}");
        }
        let image = store.pull(&source, &PullOptions::default(), &Progress::silent()).await;
        let image = image.unwrap_or_else(|error| panic!("{inject}: {}", chain(&error)));
        drop(store.snapshot(&image).await.unwrap());
    }
    assert!(failed >= FAULTS.len() / 2, "only {failed} pulls failed");
}
