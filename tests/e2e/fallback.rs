//! Where there is no clone to be had, a task boots in full: it works all the same, and it is told.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tests::host::Host;

use crate::fixture::{agent, installed};

/// So many clones that fail in a row tell against the template.
const CLONE_FAILURES_MAX: u64 = 3;

/// A host agent whose VMM fails for every configuration that holds `unwanted`, and its log.
fn host(directory: &TempDir, unwanted: &str) -> (Host, PathBuf) {
    let (vmm, log) = (directory.path().join("vmm"), directory.path().join("log"));
    let script = format!(
        // A shell makes calls that are on no list of a VMM's.
        "#!/bin/sh\n[ $1 = --birth-list ] && exit 1\nconfig=$(cat)\n\
         case $config in *'{unwanted}'*) echo 'mote-vmm: this host has a fault' >&2; exit 1;; esac\n\
         exec {} \"$@\" <<END\n$config\nEND\n",
        installed("bin/mote-vmm")
    );
    write_executable(&vmm, &script);
    let mut agent = agent();
    agent.stderr(File::create(&log).unwrap());
    let host = Host::start_by(agent, &["--pool", "0", "--vmm", vmm.to_str().unwrap()]).unwrap();
    host.load("busybox").unwrap();
    (host, log)
}

fn write_executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// Runs a task: it must say what it is to say, and come from a full boot.
#[track_caller]
fn check_boots(host: &Host) {
    let (said, origin) = host.run_and_tell_origin(&[], "busybox", &["echo", "hello"]);
    assert_eq!((said.as_str(), origin.as_str()), ("hello\n", "boot"));
}

/// The state and the number of fallbacks of the only template.
fn template(host: &Host) -> (String, u64) {
    let list = host.template_list();
    assert_eq!(list.len(), 1, "{list:?}");
    (
        list[0]["state"].as_str().unwrap().to_owned(),
        list[0]["fallbacks"].as_u64().unwrap(),
    )
}

#[test]
fn a_clone_that_fails_boots_and_is_counted_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let (host, log) = host(&directory, r#"{"origin":{"template""#);
    check_boots(&host);
    assert_eq!(template(&host), ("ready".to_owned(), 1));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("WARN") && log.contains("this host has a fault"), "{log}");
    let table = host.ran(&["template", "ls"]).ended_with(0).text();
    assert!(table.contains("FALLBACKS"), "{table}");
}

#[test]
fn input_and_output_survive_the_fallback() {
    let directory = tempfile::tempdir().unwrap();
    let (host, _) = host(&directory, r#"{"origin":{"template""#);
    let mut command = host.mote(&[
        "run",
        "--rm",
        "-i",
        "busybox",
        "sh",
        "-c",
        "wc -c; echo told >&2; exit 7",
    ]);
    let ran = tests::command::ran(&mut command, b"twelve bytes")
        .unwrap()
        .ended_with(7);
    assert_eq!((ran.text().trim(), ran.stderr.as_str()), ("12", "told\n"));
}

#[test]
fn a_template_whose_clones_always_fail_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let (host, _) = host(&directory, r#"{"origin":{"template""#);
    for _ in 0..=CLONE_FAILURES_MAX {
        check_boots(&host);
    }
    assert_eq!(template(&host).0, "failed");
    assert_eq!(fs::read_dir(host.templates()).unwrap().count(), 0);
}

#[test]
fn a_template_that_cannot_be_made_is_done_without() {
    let directory = tempfile::tempdir().unwrap();
    let (host, log) = host(&directory, r#""save":"/"#);
    for _ in 0..2 {
        check_boots(&host);
    }
    assert_eq!(template(&host), ("failed".to_owned(), 2));
    assert!(
        host.template_list()[0]["reason"]
            .as_str()
            .unwrap()
            .contains("this host has a fault")
    );
    assert!(fs::read_to_string(log).unwrap().contains("WARN"));
    let refusal = host.ran(&["template", "build"]).refusal();
    assert!(refusal.contains("this host has a fault"), "{refusal}");
}
