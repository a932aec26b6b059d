//! Containers whose file systems are on devices that were plugged late: the test plays the host agent of the real guest agent.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::guest::{CONTROL_PORT, Container, ExitStatus, ToGuest};
use protocol::vmm::{Device, ExitCode, GUEST_CID, Limits, Shape, standing};
use tests::command::ran;
use tests::host::image_archive;

use crate::fixture::installed;
use crate::guest_agent::{Session, container};
use crate::images::snapshot_parts;
use crate::vmm::{Vmm, boot, template};

/// Slots that are empty in the template.
const PMEM: u8 = 7;
const DISK: u8 = 9;
const SCRATCH: u8 = 14;

/// What each container runs.
const SCRIPT: &str = "head -c 4 /etc/passwd && echo written > /file && cat /file && hostname";

fn late(name: &str, process: u32, rootfs_slot: u8, scratch_slot: Option<u8>) -> Container {
    Container {
        rootfs_slot,
        scratch_slot,
        memory_bytes_max: None,
        ..container(name, process, SCRIPT)
    }
}

fn shape(directory: &Path, parts: &[PathBuf], scratch: PathBuf) -> Shape {
    let vsock = Device::Vsock {
        guest_cid: GUEST_CID,
        socket: directory.join("vsock"),
        host_ports: vec![CONTROL_PORT],
    };
    let parts = parts.to_vec();
    Shape {
        vcpus: 1,
        growth_mib: 0,
        slots: BTreeMap::from([
            (standing::VSOCK, vsock),
            (PMEM, Device::Pmem { parts: parts.clone() }),
            (DISK, Device::BlockConcatenation { parts }),
            (SCRATCH, Device::BlockFile { path: scratch }),
        ]),
        limits: Limits::default(),
    }
}

#[test]
fn containers_run_from_a_late_window_and_a_late_disk_and_write_to_a_late_scratch_disk() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let parts = snapshot_parts(&directory.join("store"), &image_archive("busybox").unwrap());
    let scratch = directory.join("scratch");
    let mut mke2fs = Command::new("mke2fs");
    let _ = ran(
        mke2fs
            .args(["-q", "-t", "ext4", "-O", "^has_journal"])
            .arg(&scratch)
            .arg("16M"),
        b"",
    )
    .unwrap()
    .ended_with(0);
    let template = template(directory, boot(installed("share/mote/initramfs.cpio").into(), ""));
    let listener = UnixListener::bind(directory.join(format!("vsock_{CONTROL_PORT}"))).unwrap();

    let vmm = Vmm::clone_of(template, shape(directory, &parts, scratch.clone()), directory);
    let mut session = Session::over(listener.accept().unwrap().0);
    let containers = [late("window", 1, PMEM, Some(SCRATCH)), late("disk", 2, DISK, None)];
    session.start(&containers, |_| ());
    for process in [1, 2] {
        assert_eq!(session.end_of(process), ExitStatus::Code(0));
        assert_eq!(session.text(process), "rootwritten\nguest\n");
    }
    session.send(&ToGuest::Shutdown);
    assert_eq!(vmm.wait().code(), Some(ExitCode::GuestShutdown.into()));
    // What was written to a disk that outlasts the microVM is on it.
    let written = std::fs::read(scratch).unwrap();
    assert!(written.windows(8).any(|bytes| bytes == b"written\n"));
}
