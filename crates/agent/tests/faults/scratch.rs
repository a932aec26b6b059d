//! Disks for tasks to write to.

use std::path::Path;
use std::process::Command;

use agent::template::ScratchDisk;

/// Where the second process makes its disk.
const DIRECTORY: &str = "MOTE_TEST_SCRATCH";

fn disk(directory: &Path) -> ScratchDisk {
    ScratchDisk::new(directory.join("scratch"), 64, None)
}

/// The second process of the test below; in the first one there is nothing to do.
#[test]
fn a_disk_in_a_process_of_its_own() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let directory = Path::new(&directory);
        disk(directory).copy_to(&directory.join("copy")).unwrap();
    }
}

#[track_caller]
fn check_whole(path: &Path, why: &str) {
    let checked = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(path).output().unwrap();
    assert!(
        checked.status.success(),
        "{why}: {}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_disk_that_cannot_be_made_leaves_nothing_and_is_made_the_next_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let (scratch, copy) = (path.join("scratch"), path.join("copy"));
    let (base, part) = (scratch.join("template-v1-64.ext4"), scratch.join("template.part"));
    let paths: [&Path; 5] = [&path, &scratch, &part, &base, &copy];
    let hits = super::strike(
        "scratch::a_disk_in_a_process_of_its_own",
        DIRECTORY,
        &paths,
        |fault, output| {
            if output.status.success() {
                check_whole(&copy, fault);
                std::fs::remove_file(&copy).unwrap();
            }
            assert_eq!(
                names(&path).iter().filter(|name| *name != "scratch").count(),
                0,
                "{fault}"
            );
            let left = names(&scratch);
            // Where it cannot even be removed it is left, and replaced by the next one.
            let is_left = |name: &String| name != "template-v1-64.ext4" && !fault.contains("unlink");
            assert!(!left.iter().any(is_left), "{fault}: {left:?}");
            disk(&path).copy_to(&copy).unwrap();
            check_whole(&copy, fault);
            assert_eq!(names(&scratch), ["template-v1-64.ext4"], "{fault}");
            std::fs::remove_file(&copy).unwrap();
            std::fs::remove_dir_all(&scratch).unwrap();
        },
    );
    assert!(hits >= 10, "only {hits} faults hit");
}
