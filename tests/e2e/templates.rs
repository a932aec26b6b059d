//! Templates: made when first needed, kept, shared, never changed, and replaced when they are of no use any more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::host::{Host, listing};
use tests::patience::until;

use crate::fixture::{agent, installed};

const NO_POOL: [&str; 2] = ["--pool", "0"];

/// A host agent without a pool that has run one task.
fn used_host(options: &[&str]) -> Host {
    let host = Host::start(&[&NO_POOL, options].concat()).unwrap();
    host.load("busybox").unwrap();
    assert_eq!(origin(&host), "clone");
    host
}

/// Where the microVM of a task came from that said what it was to say.
#[track_caller]
fn origin(host: &Host) -> String {
    let (said, origin) = host.run_and_tell_origin(&[], "busybox", &["echo", "hello"]);
    assert_eq!(said, "hello\n");
    origin
}

/// What is in the directory of templates.
fn directories(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(host.templates()).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The one template, and its directory. One that was replaced goes with its last clone, of which a moment may be left.
#[track_caller]
fn only(host: &Host) -> (Value, PathBuf) {
    let (template, directory) = until("there is one template", || {
        match (&host.template_list()[..], &directories(host)[..]) {
            ([template], [directory]) => Some((template.clone(), directory.clone())),
            _ => None,
        }
    });
    assert_eq!(template["state"], "ready");
    (template, directory)
}

/// What tells one template from another of the same key.
fn identity(template: &Value) -> (String, u64) {
    (
        template["key"].as_str().unwrap().to_owned(),
        template["created_unix_ms"].as_u64().unwrap(),
    )
}

/// Kills a host agent whose template a successor may use, and starts that successor.
fn succeed(host: Host, options: &[&str], meanwhile: impl FnOnce(&Path)) -> Host {
    let directory = only(&host).1;
    // Its checksums are written after it is given out.
    until("the template is sealed", || {
        directory.join("manifest").exists().then_some(())
    });
    let base = host.kill().unwrap();
    meanwhile(&directory);
    Host::start_in(base, agent(), &[&NO_POOL, options].concat()).unwrap()
}

#[test]
fn tasks_that_start_at_once_on_a_fresh_host_share_one_template() {
    let host = Host::start(&NO_POOL).unwrap();
    host.load("busybox").unwrap();
    assert_eq!(host.template_list().len(), 0);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| host.run(&[], "busybox", &["true"]).ended_with(0));
        }
    });
    let (template, _) = only(&host);
    assert_eq!((&template["clones"], &template["fallbacks"]), (&5.into(), &0.into()));
}

#[test]
fn a_person_makes_lists_and_removes_templates() {
    let host = Host::start(&NO_POOL).unwrap();
    host.load("busybox").unwrap();
    let build = |options: &[&str]| {
        let key = host
            .ran(&[&["template", "build"], options].concat())
            .ended_with(0)
            .text();
        let template = only(&host).0;
        assert_eq!(key.trim(), template["key"]);
        identity(&template)
    };
    let first = build(&[]);
    assert_eq!(build(&[]), first);
    assert_eq!(origin(&host), "clone");
    let second = build(&["--force"]);
    assert_eq!(second.0, first.0);
    assert_ne!(second.1, first.1);
    assert_eq!(
        host.ran(&["template", "ls", "-q"]).ended_with(0).text().trim(),
        second.0
    );
    let table = host.ran(&["template", "ls"]).ended_with(0).text();
    assert!(table.contains(&second.0[..8]), "{table}");
    let _ = host.ran(&["template", "rm", &second.0[..6]]).ended_with(0);
    until("its files go", || directories(&host).is_empty().then_some(()));
    assert!(host.template_list().is_empty());
    let refusal = host.ran(&["template", "rm", &second.0]).refusal();
    assert!(refusal.contains(&second.0), "{refusal}");
    assert_eq!(origin(&host), "clone");
}

#[test]
fn a_template_outlives_the_host_agent_that_was_killed() {
    let host = used_host(&[]);
    let before = identity(&only(&host).0);
    let host = succeed(host, &[], |_| ());
    assert_eq!(origin(&host), "clone");
    assert_eq!(identity(&only(&host).0), before);
}

#[test]
fn a_damaged_template_is_made_again() {
    let mut host = used_host(&[]);
    for (file, at) in [("guest/state", 100), ("guest/memory", 20 << 20)] {
        let before = identity(&only(&host).0);
        host = succeed(host, &[], |directory| flip(&directory.join(file), at));
        assert_eq!(origin(&host), "clone");
        let after = identity(&only(&host).0);
        assert_eq!(after.0, before.0);
        assert_ne!(after.1, before.1, "a damaged {file} was used");
    }
}

#[test]
fn a_template_that_is_changed_is_cloned_no_more() {
    for pool in ["0", "1"] {
        let host = Host::start(&["--pool", pool]).unwrap();
        host.load("busybox").unwrap();
        let _ = origin(&host);
        let (template, directory) = only(&host);
        flip(&directory.join("guest/memory"), 20 << 20);
        // Not one of the pool, which were made from it.
        assert_eq!(origin(&host), "clone");
        assert_ne!(identity(&only(&host).0), identity(&template));
    }
}

/// Changes one bit; root may, whatever the file's mode is.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn another_initramfs_makes_another_template_and_the_old_one_goes() {
    let directory = tempfile::tempdir().unwrap();
    let initramfs = directory.path().join("initramfs.cpio");
    fs::copy(installed("share/mote/initramfs.cpio"), &initramfs).unwrap();
    let options = ["--initramfs", initramfs.to_str().unwrap()];
    let host = used_host(&options);
    let first = identity(&only(&host).0);
    // While the host agent runs: a person asks for what is needed now.
    touch(&initramfs);
    let _ = host.ran(&["template", "build"]).ended_with(0);
    let second = identity(&only(&host).0);
    assert_ne!(second.0, first.0);
    // While it does not.
    let host = succeed(host, &options, |_| touch(&initramfs));
    assert_eq!(origin(&host), "clone");
    let third = identity(&only(&host).0);
    assert_ne!(third.0, second.0);
}

/// Replaces a file by one of the same contents.
fn touch(path: &Path) {
    let contents = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, contents).unwrap();
}

/// A digest over the pages of every file that are not all zeros.
fn contents(directory: &Path) -> BTreeMap<PathBuf, u64> {
    const PAGE: usize = 4096;
    let digest = |path: &Path| {
        let mut hasher = DefaultHasher::new();
        let mut pages = vec![0; 256 * PAGE];
        let file = File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        let mut at = 0;
        while let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
            at = data - data % PAGE as u64;
            let got = file.read_at(&mut pages, at).unwrap();
            for (page, number) in pages[..got].chunks(PAGE).zip(at / PAGE as u64..) {
                if page.iter().any(|byte| *byte != 0) {
                    (number, page).hash(&mut hasher);
                }
            }
            at += got as u64;
            if at >= len {
                break;
            }
        }
        hasher.finish()
    };
    listing(directory)
        .unwrap()
        .into_iter()
        .map(|(path, _)| (path.clone(), digest(&path)))
        .collect()
}

#[test]
fn a_template_never_changes_while_clones_run() {
    let host = Host::start(&NO_POOL).unwrap();
    host.load("busybox").unwrap();
    let _ = host.ran(&["template", "build"]).ended_with(0);
    let directory = only(&host).1;
    until("the template is sealed", || {
        directory.join("manifest").exists().then_some(())
    });
    let before = contents(&directory);
    // The memory, the rest of the guest, its scratch disk, and the checksums.
    assert_eq!(before.len(), 4, "{before:?}");
    let script = "dd if=/dev/zero of=/file bs=64k count=16 && dd if=/file of=/dev/null bs=1M";
    // The first ones, of which something is learned, and some more.
    for _ in 0..6 {
        let _ = host.run(&[], "busybox", &["sh", "-c", script]).ended_with(0);
    }
    let mut after = contents(&directory);
    // What is learned from the first clones is beside that.
    after.retain(|path, _| before.contains_key(path));
    assert_eq!(after, before);
}
