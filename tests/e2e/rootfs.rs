//! A small image is memory that the host shares with its guests, a large one is a disk.

use std::process::Command;

use tests::command::ran;
use tests::host::{Host, image_archive};

use crate::fixture::{host, sh};

/// More than fits into the window of the pmem device.
const LARGE_MIB: u64 = (protocol::vmm::PMEM_WINDOW_BYTES >> 20) + 8;

/// The sizes of the standing pmem window's and disk's contents as a container sees them, in sectors.
const SIZES: &str = "cat /sys/block/pmem0/size /sys/block/vda/size";

/// What a container of `image` says to that: whether there is a disk.
#[track_caller]
fn has_disk(host: &Host, image: &str) -> bool {
    let text = host.run(&[], image, &["sh", "-c", SIZES]).ended_with(0).text();
    let sectors: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sectors.len(), 2, "{text}");
    sectors[1] > LARGE_MIB << 10
}

#[test]
fn a_small_image_is_mapped() {
    assert!(!has_disk(host(), "busybox"));
    // Files of the host's page cache: the VMM maps them, and so does any other.
    let mut task = tests::running::Running::start(host(), "mapped", &[], "busybox", &["sh", "-c", "echo ready; cat"]);
    assert_eq!(task.line(), "ready");
    let store = host().store().display().to_string();
    let processes = tests::leftovers::processes(&host().runtime()).unwrap();
    let maps = processes
        .iter()
        .map(|process| std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default());
    assert!(maps.into_iter().any(|maps| maps.contains(&store)));
    let _ = task.end().ended_with(0);
}

#[test]
fn an_image_that_is_too_large_to_be_mapped_is_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let script = "set -e; skopeo copy --quiet oci-archive:$1 oci:$2/layout:large; mkdir $2/tree; \
                  head -c 1M /dev/urandom > $2/tree/piece; for i in $(seq $3); do cat $2/tree/piece; printf %08d $i; done > $2/tree/large; \
                  umoci insert --image $2/layout:large --rootless $2/tree/large /large; sha256sum < $2/tree/large";
    let archive = image_archive("busybox").unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(archive)
        .arg(directory.path())
        .arg(LARGE_MIB.to_string());
    let sum = ran(&mut command, b"").unwrap().ended_with(0).text();
    let host = Host::start(&["--pool", "0"]).unwrap();
    let layout = directory.path().join("layout");
    let loaded = host
        .ran(&["load", "--name", "large", layout.to_str().unwrap()])
        .ended_with(0);
    assert!(has_disk(&host, "large"), "{loaded}");
    let text = host
        .run(&[], "large", &["sh", "-c", "sha256sum < /large"])
        .ended_with(0)
        .text();
    assert_eq!(text, sum);
    check_unwritable(&host, "large", "vda");
}

#[test]
fn many_writable_layers_are_apart() {
    let script =
        "test ! -e /file && echo mine > /file && cat /file && df -k / | awk 'END {print ($2 > 10 * 1024 * 1024)}'";
    for _ in 0..3 {
        assert_eq!(sh(script).ended_with(0).text(), "mine\n1\n");
    }
}

/// Tries to overwrite the start of the device that a guest has its root from, as its kernel can. On the host nothing of the image changes.
#[track_caller]
fn check_unwritable(host: &Host, image: &str, device: &str) {
    let digests = || {
        let script = "cd \"$0\" && find layers snapshots -type f | sort | xargs sha256sum";
        let mut command = Command::new("sh");
        ran(command.args(["-c", script]).arg(host.store()), b"")
            .unwrap()
            .ended_with(0)
            .text()
    };
    let before = digests();
    let script = format!(
        "mkdir -p /d && mount -t devtmpfs dev /d && test -b /d/{device} && echo tries && \
         dd if=/dev/zero of=/d/{device} bs=4096 count=64 conv=fsync,notrunc"
    );
    let options = ["--cap-add", "SYS_ADMIN", "--memory", "128"];
    let tried = host.run(&options, image, &["sh", "-c", &script]);
    assert!(tried.text().starts_with("tries"), "{tried}");
    assert_eq!(digests(), before, "{tried}");
    assert_eq!(host.run(&[], image, &["echo", "whole"]).ended_with(0).text(), "whole\n");
}

#[test]
fn a_guest_cannot_write_to_an_image_that_is_mapped() {
    check_unwritable(host(), "busybox", "pmem0");
}
