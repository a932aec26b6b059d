//! Each kind of device, plugged into an empty slot of a clone that was resumed, and used there.
//!
//! The VMM is driven without a host agent; the guest's first process is `kernel-check`, which binds what is plugged and tells what it found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use protocol::guest::CONTROL_PORT;
use protocol::vmm::{Device, ExitCode, GUEST_CID, Limits, Shape, standing};
use tempfile::TempDir;
use tests::command::ran;
use tests::patience::until;

use crate::fixture::installed;
use crate::vmm::{Vmm, boot, initramfs, template};

/// The context id of the guest at its late vsock device: another than a template's.
const LATE_CID: u32 = 77;

/// What a late memory device gives, in MiB: a block of Linux's.
const LATE_MEMORY_MIB: u32 = 128;

/// What the guest fills of it, in KiB.
const FILLED_KIB: u64 = 96 << 10;

/// The size of a writable disk, in bytes.
const DISK_LEN: u64 = 1 << 20;

/// What goes over each network interface and back, in bytes.
const TALK_LEN: usize = 8 << 20;

/// The slots of the late devices.
mod late {
    pub const VSOCK: u8 = 13;
    pub const RNG: u8 = 7;
    pub const FILE: u8 = 8;
    pub const CONCATENATION: u8 = 9;
    pub const COPY: u8 = 10;
    pub const PMEM: u8 = 11;
    pub const NETWORK: u8 = 12;
    pub const MEMORY: u8 = 14;
    pub const BALLOON: u8 = 15;
}

/// What the guest tells: values by slot and name.
type Facts = BTreeMap<(u8, String), String>;

/// The host's side of the interface in `slot`; its name and its addresses are made of the slot's number. Removed when dropped.
struct Tap {
    slot: u8,
    talk: Option<JoinHandle<()>>,
}

impl Tap {
    fn make(slot: u8) -> Self {
        let name = tap_name(slot);
        ip(&format!("tuntap add name {name} mode tap vnet_hdr"));
        let mut tap = Self { slot, talk: None };
        ip(&format!("address add 10.77.{slot}.1/24 dev {name}"));
        ip(&format!("link set {name} up"));
        let listener = TcpListener::bind((Ipv4Addr::new(10, 77, slot, 1), 7777)).unwrap();
        tap.talk = Some(thread::spawn(move || talk(&listener)));
        tap
    }

    fn check(mut self, facts: &Facts, address: &str) {
        check(facts, self.slot, "driver", "virtio_net");
        check(facts, self.slot, "address", address);
        check(facts, self.slot, "received", &TALK_LEN.to_string());
        self.talk.take().unwrap().join().unwrap();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        ip(&format!("link delete {}", tap_name(self.slot)));
    }
}

fn tap_name(slot: u8) -> String {
    format!("tap-{slot}")
}

fn ip(arguments: &str) {
    let _ = ran(Command::new("ip").args(arguments.split(' ')), b"")
        .unwrap()
        .ended_with(0);
}

/// Sends the guest something, and gets it back.
fn talk(listener: &TcpListener) {
    let mut guest = listener.accept().unwrap().0;
    let said: Vec<u8> = (0..=250).cycle().take(TALK_LEN).collect();
    guest.write_all(&said).unwrap();
    guest.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    guest.read_to_end(&mut heard).unwrap();
    assert!(heard == said, "what came back is not what was sent");
}

/// A clone with a device of each kind in a slot that its template knows nothing of.
struct Clone {
    vmm: Vmm,
    directory: TempDir,
    guest: BufReader<UnixStream>,
}

/// A file of `len` bytes that begins with `text`.
fn file(directory: &Path, name: &str, text: &str, len: u64) -> PathBuf {
    let path = directory.join(name);
    let mut file = File::create_new(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len(len).unwrap();
    path
}

/// The late device leads to the test.
fn vsock(directory: &Path, guest_cid: u32, name: &str) -> Device {
    let is_late = guest_cid == LATE_CID;
    Device::Vsock {
        guest_cid,
        socket: directory.join(name),
        host_ports: is_late.then_some(CONTROL_PORT).into_iter().collect(),
    }
}

fn shape(directory: &Path) -> Shape {
    let file = |name, text, len| file(directory, name, text, len);
    let network = |slot| Device::Network {
        tap: tap_name(slot),
        mac: [2, 0, 0, 0, 0, slot],
    };
    let slots = [
        (standing::VSOCK, vsock(directory, GUEST_CID, "standing")),
        (late::VSOCK, vsock(directory, LATE_CID, "late")),
        (late::RNG, Device::Rng),
        (
            late::FILE,
            Device::BlockFile {
                path: file("file", "raw file", DISK_LEN),
            },
        ),
        (
            late::CONCATENATION,
            Device::BlockConcatenation {
                parts: vec![file("one", "part one", 100), file("two", "part two", 4096)],
            },
        ),
        (
            late::COPY,
            Device::BlockCopyOnWrite {
                base: file("base", "the base", DISK_LEN),
                directory: directory.to_owned(),
            },
        ),
        (
            late::PMEM,
            Device::Pmem {
                parts: vec![file("three", "window 1", 4096), file("four", "window 2", 50_000)],
            },
        ),
        (standing::NETWORK, network(standing::NETWORK)),
        (late::NETWORK, network(late::NETWORK)),
        (late::MEMORY, Device::Memory { mib: LATE_MEMORY_MIB }),
        (late::BALLOON, Device::Balloon),
    ];
    Shape {
        vcpus: 1,
        growth_mib: 0,
        slots: slots.into(),
        limits: Limits::default(),
    }
}

impl Clone {
    fn start(shape: impl FnOnce(&Path) -> Shape) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let initramfs = initramfs(directory.path(), &installed("bin/kernel-check"));
        let template = template(directory.path(), boot(initramfs, "-- late-devices"));
        let listener = UnixListener::bind(directory.path().join(format!("late_{CONTROL_PORT}"))).unwrap();
        let vmm = Vmm::clone_of(template, shape(directory.path()), directory.path());
        let guest = BufReader::new(listener.accept().unwrap().0);
        Self { vmm, directory, guest }
    }

    /// Reads facts up to the one with this name.
    fn facts_up_to(&mut self, last: &str) -> Facts {
        let mut facts = Facts::new();
        loop {
            let mut line = String::new();
            assert!(
                self.guest.read_line(&mut line).unwrap() > 0,
                "the guest is silent after {facts:#?}"
            );
            let mut words = line.trim_end().splitn(3, ' ');
            let slot = words.next().unwrap().parse().unwrap();
            let (name, value) = (words.next().unwrap(), words.next().unwrap());
            assert_ne!(name, "failed", "{line}{facts:#?}");
            facts.insert((slot, name.to_owned()), value.to_owned());
            if name == last {
                return facts;
            }
        }
    }

    fn go_on(&mut self) {
        self.guest.get_mut().write_all(b"\n").unwrap();
    }
}

#[track_caller]
fn check(facts: &Facts, slot: u8, name: &str, expected: &str) {
    assert_eq!(
        facts.get(&(slot, name.to_owned())).map(String::as_str),
        Some(expected),
        "{facts:#?}"
    );
}

fn check_disks(facts: &Facts, directory: &Path) {
    for (slot, first) in [(late::FILE, "raw file"), (late::COPY, "the base")] {
        check(facts, slot, "driver", "virtio_blk");
        check(facts, slot, "first", first);
        check(facts, slot, "sectors", &(DISK_LEN / 512).to_string());
        check(facts, slot, "written", "from the guest!");
    }
    let on_host = |name: &str| {
        let mut bytes = [0; 15];
        let file = File::open(directory.join(name)).unwrap();
        file.read_exact_at(&mut bytes, 16 << 10).unwrap();
        bytes
    };
    assert_eq!(&on_host("file"), b"from the guest!");
    assert_eq!(on_host("base"), [0; 15]);
    check(facts, late::CONCATENATION, "first", "part one");
    check(facts, late::CONCATENATION, "second", "part two");
    check(facts, late::CONCATENATION, "sectors", "16");
    assert!(!facts.contains_key(&(late::CONCATENATION, "written".to_owned())));
}

#[test]
fn every_kind_of_device_works_in_a_slot_that_was_empty_in_the_template() {
    let taps = [standing::NETWORK, late::NETWORK].map(Tap::make);
    let mut clone = Clone::start(shape);
    let facts = clone.facts_up_to("filled");
    check(&facts, late::VSOCK, "driver", "vmw_vsock_virtio_transport");
    let random = &facts[&(late::RNG, "bytes".to_owned())];
    assert!(random.len() == 32 && random.trim_matches('0').len() > 8, "{random}");
    check_disks(&facts, clone.directory.path());
    // The template's driver has read an address that is nobody's; a late one reads its own.
    let [standing, late] = taps;
    standing.check(&facts, "02:00:00:00:00:00");
    late.check(&facts, "02:00:00:00:00:0c");
    check(&facts, late::PMEM, "driver", "virtio_pmem");
    check(&facts, late::PMEM, "first", "window 1");
    check(&facts, late::PMEM, "second", "window 2");
    check(&facts, late::MEMORY, "driver", "virtio_mem");
    let grown: u32 = facts[&(late::MEMORY, "grown".to_owned())].parse().unwrap();
    assert!(grown <= LATE_MEMORY_MIB && grown > LATE_MEMORY_MIB * 9 / 10, "{grown}");
    assert!(clone.vmm.private_kib() > FILLED_KIB);
    // The guest frees what it has filled, and then the balloon, bound late as well, tells which pages are free.
    clone.go_on();
    let facts = clone.facts_up_to("driver");
    check(&facts, late::BALLOON, "driver", "virtio_balloon");
    until("freed memory comes back", || {
        (clone.vmm.private_kib() < FILLED_KIB / 2).then_some(())
    });
    clone.go_on();
    let status = clone.vmm.wait();
    assert_eq!(status.code(), Some(ExitCode::GuestShutdown.into()));
}

/// The slot of the host's directory. With one of each other kind, a guest has no slot left.
const DIRECTORY: u8 = standing::FIRST_FREE;

#[test]
fn a_directory_of_the_host_works_in_a_slot_that_was_empty_in_the_template() {
    let mut clone = Clone::start(|directory| {
        let shown = directory.canonicalize().unwrap().join("shown");
        std::fs::create_dir(&shown).unwrap();
        file(&shown, "file", "of the host", 11);
        let shared = Device::Directory {
            path: shown,
            read_only: false,
        };
        let slots = [
            (standing::VSOCK, vsock(directory, GUEST_CID, "standing")),
            (late::VSOCK, vsock(directory, LATE_CID, "late")),
            (DIRECTORY, shared),
        ];
        Shape {
            vcpus: 1,
            growth_mib: 0,
            slots: slots.into(),
            limits: Limits::default(),
        }
    });
    let facts = clone.facts_up_to("written");
    check(&facts, DIRECTORY, "driver", "virtiofs");
    check(&facts, DIRECTORY, "read", "of the host");
    check(&facts, DIRECTORY, "written", "from the guest!");
    let written = std::fs::read(clone.directory.path().join("shown/file")).unwrap();
    assert_eq!(written, b"from the guest!\n");
    clone.go_on();
    let status = clone.vmm.wait();
    assert_eq!(status.code(), Some(ExitCode::GuestShutdown.into()));
}
