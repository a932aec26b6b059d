//! Containers whose file systems are on devices that were plugged late: the test plays the host agent of the real guest agent.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::frame;
use protocol::guest::{CONTROL_PORT, Container, ExitStatus, STREAM_PORT, Start, Stream, StreamHello, ToGuest, ToHost};
use protocol::usual;
use protocol::vmm::{Device, ExitCode, GUEST_CID, Shape, standing};
use tests::command::ran;
use tests::host::image_archive;

use crate::fixture::installed;
use crate::images::snapshot_parts;
use crate::vmm::{Vmm, boot, template};

/// Slots that are empty in the template.
const PMEM: u8 = 7;
const DISK: u8 = 9;
const SCRATCH: u8 = 14;

/// What each container runs.
const SCRIPT: &str = "head -c 4 /etc/passwd && echo written > /file && cat /file && hostname";

fn container(name: &str, rootfs_slot: u8, scratch_slot: Option<u8>) -> Container {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Container {
        name: name.to_owned(),
        rootfs_slot,
        scratch_slot,
        argv: owned(&["/bin/sh", "-c", SCRIPT]),
        env: owned(&["PATH=/bin"]),
        working_directory: "/".to_owned(),
        user: String::new(),
        terminal: None,
        stdin: false,
        capabilities: owned(&usual::CAPABILITIES),
        no_new_privileges: false,
        masked_paths: owned(&usual::MASKED_PATHS),
        read_only_paths: owned(&usual::READ_ONLY_PATHS),
        memory_bytes_max: None,
        pids_max: None,
    }
}

fn shape(directory: &Path, parts: &[PathBuf], scratch: PathBuf) -> Shape {
    let vsock = Device::Vsock {
        guest_cid: GUEST_CID,
        socket: directory.join("vsock"),
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
    }
}

fn start(containers: Vec<Container>) -> Start {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Start {
        hostname: "late".to_owned(),
        entropy: vec![7; 64],
        wall_clock_ns: u64::try_from(now.as_nanos()).unwrap(),
        vcpus: 1,
        waits_for_vcpus: true,
        growth_mib: 0,
        containers,
    }
}

/// Leads the guest to the end of all `containers`; how each ended.
fn lead(listener: &UnixListener, containers: Vec<Container>) -> BTreeMap<String, ExitStatus> {
    let count = containers.len();
    let (mut guest, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(guest.try_clone().unwrap());
    let mut ends = BTreeMap::new();
    let mut containers = Some(containers);
    while ends.len() < count {
        match frame::read::<ToHost>(&mut reader).unwrap().unwrap() {
            ToHost::Hello { .. } => {
                let start = Box::new(start(containers.take().unwrap()));
                frame::write(&mut guest, &ToGuest::Start(start)).unwrap();
            }
            ToHost::Prepared { container } => frame::write(&mut guest, &ToGuest::Release { container }).unwrap(),
            ToHost::Started { .. } => {}
            ToHost::Exited { container, status, .. } => drop(ends.insert(container, status)),
            failed @ (ToHost::StartFailed { .. } | ToHost::Failed { .. }) => panic!("{failed:?}"),
        }
    }
    frame::write(&mut guest, &ToGuest::Shutdown).unwrap();
    ends
}

/// Everything that came over the streams of `count` containers.
fn outputs(listener: &UnixListener, count: usize) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    // Standard output and standard error.
    for _ in 0..2 * count {
        let (mut stream, _) = listener.accept().unwrap();
        let hello: StreamHello = frame::read(&mut stream).unwrap().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        if hello.stream == Stream::Stderr {
            assert_eq!(text, "", "{hello:?}");
        } else {
            outputs.insert(hello.container, text);
        }
    }
    outputs
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
    let listener = |port: u32| UnixListener::bind(directory.join(format!("vsock_{port}"))).unwrap();
    let (control, streams) = (listener(CONTROL_PORT), listener(STREAM_PORT));

    let vmm = Vmm::clone_of(template, shape(directory, &parts, scratch.clone()), directory);
    let containers = vec![container("window", PMEM, Some(SCRATCH)), container("disk", DISK, None)];
    let ends = lead(&control, containers);
    assert!(ends.values().all(|end| *end == ExitStatus::Code(0)), "{ends:?}");
    let outputs = outputs(&streams, ends.len());
    assert!(
        outputs.len() == 2 && outputs.values().all(|text| text == "rootwritten\nlate\n"),
        "{outputs:?}"
    );
    assert_eq!(vmm.wait().code(), Some(ExitCode::GuestShutdown.into()));
    // What was written to a disk that outlasts the microVM is on it.
    let written = std::fs::read(scratch).unwrap();
    assert!(written.windows(8).any(|bytes| bytes == b"written\n"));
}
