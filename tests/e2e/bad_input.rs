//! Bad input gets one clear sentence and exit code 125, and nothing half-written stays.

use std::process::Command;

use tests::command::ran;
use tests::host::{Host, image_archive, listing};

use crate::fixture::{IDLE, agent_without_device, host, installed};

/// A refusal of `mote` with these arguments that holds every one of `words`.
#[track_caller]
fn check(host: &Host, arguments: &[&str], words: &[&str]) {
    let before = listing(&host.store()).unwrap();
    let refusal = host.ran(arguments).refusal();
    assert!(words.iter().all(|word| refusal.contains(word)), "{refusal}");
    assert_eq!(listing(&host.store()).unwrap(), before);
}

/// A refusal of a container that could not be started; the first one built the snapshot, which may stay.
#[track_caller]
fn check_start(host: &Host, words: &[&str]) {
    host.load("busybox").unwrap();
    let run = ["run", "--rm", "busybox", "true"];
    let _ = host.ran(&run).refusal();
    check(host, &run, words);
}

#[test]
fn an_unknown_image() {
    check(
        host(),
        &["run", "--pull", "never", "no-such-image", "true"],
        &["no-such-image"],
    );
}

#[test]
fn a_name_that_is_no_reference() {
    check(host(), &["run", "Not:A:Name", "true"], &["Not:A:Name"]);
}

#[test]
fn sizes_that_are_none() {
    for (option, value) in [
        ("--cpu", "0"),
        ("--cpu", "lots"),
        ("--memory", "0"),
        ("--memory", "12q"),
    ] {
        let ran = host().ran(&["run", option, value, "busybox", "true"]).ended_with(125);
        assert!(ran.stderr.contains(value), "{ran}");
    }
}

#[test]
fn a_truncated_archive() {
    let directory = tempfile::tempdir().unwrap();
    let whole = std::fs::read(image_archive("busybox").unwrap()).unwrap();
    for len in [0, 100, whole.len() / 2, whole.len() * 9 / 10] {
        let path = directory.path().join(format!("cut-{len}.tar"));
        std::fs::write(&path, &whole[..len]).unwrap();
        check(host(), &["load", path.to_str().unwrap()], &["archive"]);
    }
}

#[test]
fn an_archive_that_is_not_there() {
    check(host(), &["load", "/no/such/file.tar"], &["/no/such/file.tar"]);
}

#[test]
fn a_corrupt_layer_in_an_archive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("corrupt.tar");
    let mut bytes = std::fs::read(image_archive("busybox").unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    let host = Host::start(&IDLE).unwrap();
    check(&host, &["load", path.to_str().unwrap()], &["sha256:"]);
}

#[test]
fn an_image_of_another_architecture() {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    let archive = image_archive("busybox").unwrap();
    let script =
        "set -e; skopeo copy --quiet oci-archive:$1 oci:$2:other; umoci config --image $2:other --architecture arm64";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(archive).arg(&layout);
    let _ = ran(&mut command, b"").unwrap().ended_with(0);
    check(host(), &["load", layout.to_str().unwrap()], &["arm64", "amd64"]);
}

#[test]
fn a_missing_kernel() {
    let host = Host::start(&["--kernel", "/no/such/vmlinux"]).unwrap();
    check_start(&host, &["/no/such/vmlinux"]);
}

#[test]
fn a_kernel_that_is_none() {
    let host = Host::start(&["--kernel", "/etc/passwd"]).unwrap();
    check_start(&host, &["/etc/passwd"]);
}

#[test]
fn a_host_without_kvm() {
    let host = Host::start_by(agent_without_device("kvm"), &["--no-network"]).unwrap();
    check_start(&host, &["/dev/kvm"]);
}

#[test]
fn a_full_disk() {
    let script = "d=$(mktemp -d); mount -t tmpfs -o size=3m small $d; while [ \"$1\" != --state ]; do set -- \"$@\" \"$1\"; shift; done; shift 2; exec \"$0\" \"$@\" --state $d/state";
    let mut agent = Command::new("unshare");
    agent
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(installed("bin/mote-agent"));
    let host = Host::start_by(agent, &IDLE).unwrap();
    let images = |host: &Host| host.ran(&["images"]).ended_with(0).text();
    let before = images(&host);
    let archive = image_archive("python").unwrap();
    let refusal = host.ran(&["load", archive.to_str().unwrap()]).refusal();
    assert!(refusal.contains("space"), "{refusal}");
    assert_eq!(images(&host), before);
}

#[test]
fn a_host_agent_that_is_not_there() {
    let mut command = Command::new(installed("bin/mote"));
    command.args(["--host", "unix:///no/such.sock", "images"]);
    let refusal = ran(&mut command, b"").unwrap().refusal();
    assert!(refusal.contains("/no/such.sock"), "{refusal}");
}
