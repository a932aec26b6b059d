//! The directory behind the device, by a driver that speaks FUSE, and by one that does not ([`hostile`]).

mod hostile;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::fs::nodes::ROOT;
use crate::slots::testing::queue::{DriverQueue, into, out};
use crate::slots::testing::{BUFFERS, Guest};

/// Where answers go.
const ANSWERS: u64 = 0x10_0000;

/// A guest that has begun to use a directory.
struct Mounted {
    guest: Guest,
    queues: Vec<DriverQueue>,
    directory: tempfile::TempDir,
}

fn fs(directory: &Path, is_read_only: bool) -> Fs {
    let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let shown = Shown {
        root: Arc::new(open(directory)),
        descriptors: open(Path::new("/proc/self/fd")),
        is_read_only,
    };
    Fs::new("slot-7", shown)
}

impl Mounted {
    fn new(is_read_only: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut guest = Guest::with_memory(8 << 20, fs(directory.path(), is_read_only));
        let queues = guest.bring_up(u64::MAX);
        let mut mounted = Self {
            guest,
            queues,
            directory,
        };
        let agreed = mounted.ask(opcodes::INIT, 0, &numbers(&[7, 40, 0, u32::MAX])).unwrap();
        assert_eq!(agreed.len(), 64);
        mounted
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// The answer to a request, or its error.
    fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        self.ask_with(opcode, node, body, 1 << 20)
    }

    fn ask_with(&mut self, opcode: u32, node: u64, body: &[u8], room: u32) -> Result<Vec<u8>, Errno> {
        let bytes = request(opcode, node, body);
        let memory = self.guest.memory.clone();
        memory.write_slice(&bytes, GuestAddress(BUFFERS)).unwrap();
        let length = u32::try_from(bytes.len()).unwrap();
        let head = self.queues[1].add(&[
            out(BUFFERS, 40),
            out(BUFFERS + 40, length - 40),
            into(ANSWERS, 16 + room),
        ]);
        self.guest.kick(1);
        let (used, written) = self.queues[1].take_used().unwrap();
        assert_eq!(used, head);
        let mut answer = vec![0; written as usize];
        memory.read_slice(&mut answer, GuestAddress(ANSWERS)).unwrap();
        assert_eq!(answer[..4], written.to_le_bytes());
        assert_eq!(answer[8..16], 77u64.to_le_bytes());
        match i32::from_le_bytes(answer[4..8].try_into().unwrap()) {
            0 => Ok(answer.split_off(16)),
            error => Err(Errno::from_raw_os_error(-error)),
        }
    }

    fn find(&mut self, node: u64, name: &str) -> Result<u64, Errno> {
        self.ask(opcodes::LOOKUP, node, &text(name)).map(|entry| number(&entry))
    }

    fn create(&mut self, name: &str, flags: OFlags) -> Result<(u64, u64), Errno> {
        let body = [
            numbers(&[flags.bits() | OFlags::CREATE.bits(), 0o100_640, 0, 0]),
            text(name),
        ]
        .concat();
        let entry = self.ask(opcodes::CREATE, ROOT, &body)?;
        Ok((number(&entry), number(&entry[128..])))
    }

    fn read(&mut self, handle: u64, bytes: u32) -> Result<Vec<u8>, Errno> {
        self.ask(
            opcodes::READ,
            ROOT,
            &[pair(handle, 0), numbers(&[bytes, 0, 0, 0, 0, 0])].concat(),
        )
    }

    fn write(&mut self, handle: u64, offset: u64, data: &[u8]) -> Result<Vec<u8>, Errno> {
        let length = u32::try_from(data.len()).unwrap();
        let head = [pair(handle, offset), numbers(&[length, 0, 0, 0, 0, 0])].concat();
        self.ask(opcodes::WRITE, ROOT, &[&head, data].concat())
    }

    /// All names, a few at a time.
    fn names(&mut self) -> Vec<String> {
        let handle = number(&self.ask(opcodes::OPENDIR, ROOT, &numbers(&[0, 0])).unwrap());
        let (mut names, mut offset) = (vec![], 0);
        loop {
            let body = [pair(handle, offset), numbers(&[100, 0, 0, 0, 0, 0])].concat();
            let listed = self.ask(opcodes::READDIR, ROOT, &body).unwrap();
            let mut rest = listed.as_slice();
            if rest.is_empty() {
                names.sort();
                return names;
            }
            while !rest.is_empty() {
                offset = number(&rest[8..]);
                let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
                names.push(String::from_utf8(rest[24..24 + length].to_vec()).unwrap());
                rest = &rest[(24 + length).next_multiple_of(8)..];
            }
        }
    }
}

fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(40 + body.len()).unwrap();
    let ids = numbers(&[geteuid().as_raw(), getegid().as_raw(), 1, 0]);
    [numbers(&[length, opcode]), pair(77, node), ids, body.to_vec()].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn pair(one: u64, other: u64) -> Vec<u8> {
    [one.to_le_bytes(), other.to_le_bytes()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

#[test]
fn the_configuration_names_the_device() {
    let mounted = Mounted::new(false);
    let config = mounted.guest.config(0, 40);
    assert_eq!(&config[..7], b"slot-7\0");
    assert_eq!(config[36..], [1, 0, 0, 0]);
}

#[test]
fn what_one_side_writes_the_other_reads() {
    let mut mounted = Mounted::new(false);
    let (_, handle) = mounted.create("new", OFlags::RDWR).unwrap();
    assert_eq!(
        mounted.write(handle, 0, b"from the guest").unwrap()[..4],
        14u32.to_le_bytes()
    );
    assert_eq!(fs::read(mounted.path("new")).unwrap(), b"from the guest");
    assert_eq!(fs::metadata(mounted.path("new")).unwrap().mode() & 0o7777, 0o640);
    fs::write(mounted.path("new"), "from the host").unwrap();
    assert_eq!(mounted.read(handle, 4096).unwrap(), b"from the host");
    assert_eq!(mounted.read(handle, 4).unwrap(), b"from");
    mounted
        .ask(opcodes::RELEASE, ROOT, &[pair(handle, 0), pair(0, 0)].concat())
        .unwrap();
    assert_eq!(mounted.read(handle, 4), Err(Errno::BADF));
}

#[test]
fn a_large_write_arrives_whole() {
    let mut mounted = Mounted::new(false);
    let (_, handle) = mounted.create("new", OFlags::WRONLY).unwrap();
    let data: Vec<u8> = (0..=250).cycle().take(900_000).collect();
    mounted.write(handle, 5, &data).unwrap();
    assert_eq!(fs::read(mounted.path("new")).unwrap()[5..], data);
    assert_eq!(mounted.read(handle, 1), Err(Errno::BADF));
}

#[test]
fn what_is_appended_goes_to_the_end_as_it_is_now() {
    let mut mounted = Mounted::new(false);
    let (_, handle) = mounted.create("log", OFlags::WRONLY | OFlags::APPEND).unwrap();
    fs::write(mounted.path("log"), "host\n").unwrap();
    mounted.write(handle, 0, b"guest\n").unwrap();
    assert_eq!(fs::read_to_string(mounted.path("log")).unwrap(), "host\nguest\n");
}

#[test]
fn all_names_are_listed_whatever_the_room() {
    let mut mounted = Mounted::new(false);
    let mut expected: Vec<String> = (0..40).map(|number| format!("name-{number:03}")).collect();
    for name in &expected {
        fs::write(mounted.path(name), "").unwrap();
    }
    expected.extend([".".to_owned(), "..".to_owned()]);
    expected.sort();
    assert_eq!(mounted.names(), expected);
}

#[test]
fn names_are_made_moved_and_removed() {
    let mut mounted = Mounted::new(false);
    let body = [numbers(&[0o1777, 0]), text("sub")].concat();
    let sub = number(&mounted.ask(opcodes::MKDIR, ROOT, &body).unwrap());
    assert_eq!(fs::metadata(mounted.path("sub")).unwrap().mode() & 0o7777, 0o1777);
    mounted.create("file", OFlags::RDWR).unwrap();
    let body = [sub.to_le_bytes().to_vec(), text("file"), text("moved")].concat();
    mounted.ask(opcodes::RENAME, ROOT, &body).unwrap();
    let moved = mounted.find(sub, "moved").unwrap();
    let body = [moved.to_le_bytes().to_vec(), text("again")].concat();
    mounted.ask(opcodes::LINK, ROOT, &body).unwrap();
    assert_eq!(fs::metadata(mounted.path("again")).unwrap().nlink(), 2);
    assert_eq!(mounted.ask(opcodes::RMDIR, ROOT, &text("sub")), Err(Errno::NOTEMPTY));
    mounted.ask(opcodes::UNLINK, sub, &text("moved")).unwrap();
    mounted.ask(opcodes::RMDIR, ROOT, &text("sub")).unwrap();
    assert_eq!(mounted.names(), [".", "..", "again"]);
}

#[test]
fn a_link_is_told_and_never_followed() {
    let mut mounted = Mounted::new(false);
    symlink("/etc", mounted.path("out")).unwrap();
    let link = mounted.find(ROOT, "out").unwrap();
    assert_eq!(mounted.ask(opcodes::READLINK, link, &[]).unwrap(), b"/etc");
    assert_eq!(mounted.find(link, "passwd"), Err(Errno::NOTDIR));
    assert_eq!(mounted.ask(opcodes::OPEN, link, &numbers(&[0, 0])), Err(Errno::LOOP));
    assert_eq!(mounted.ask(opcodes::OPENDIR, link, &numbers(&[0, 0])), Err(Errno::LOOP));
    for name in ["..", ".", "", "sub/../..", "/etc/passwd"] {
        assert_eq!(mounted.find(ROOT, name), Err(Errno::INVAL), "{name}");
    }
    // One that comes into the way of a new file is none that is written through.
    symlink("/nonexistent/target", mounted.path("new")).unwrap();
    assert_eq!(mounted.create("new", OFlags::RDWR), Err(Errno::LOOP));
}

#[test]
fn nothing_of_a_read_only_directory_changes() {
    let mut mounted = Mounted::new(true);
    fs::write(mounted.path("file"), "text").unwrap();
    let file = mounted.find(ROOT, "file").unwrap();
    let handle = number(&mounted.ask(opcodes::OPEN, file, &numbers(&[0, 0])).unwrap());
    assert_eq!(mounted.read(handle, 9).unwrap(), b"text");
    assert_eq!(mounted.create("new", OFlags::RDWR), Err(Errno::ROFS));
    assert_eq!(
        mounted.ask(opcodes::OPEN, file, &numbers(&[OFlags::WRONLY.bits(), 0])),
        Err(Errno::ROFS)
    );
    assert_eq!(mounted.write(handle, 0, b"x"), Err(Errno::ROFS));
    assert_eq!(mounted.ask(opcodes::UNLINK, ROOT, &text("file")), Err(Errno::ROFS));
    assert_eq!(mounted.ask(opcodes::SETATTR, file, &[0; 88]), Err(Errno::ROFS));
}

#[test]
fn attributes_are_changed_one_by_one() {
    let mut mounted = Mounted::new(false);
    let (file, handle) = mounted.create("file", OFlags::RDWR).unwrap();
    // Mode, size, time of change; the open file.
    let valid: u32 = 1 | 1 << 3 | 1 << 5 | 1 << 6;
    let mut body = [numbers(&[valid, 0]), pair(handle, 7), vec![0; 8], pair(0, 1_000_000)].concat();
    body.extend([numbers(&[0, 0, 0, 5, 0, 0o604, 0, 0, 0, 0])].concat());
    assert_eq!(body.len(), 88);
    mounted.ask(opcodes::SETATTR, file, &body).unwrap();
    let metadata = fs::metadata(mounted.path("file")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o604);
    assert_eq!(
        (metadata.len(), metadata.mtime(), metadata.mtime_nsec()),
        (7, 1_000_000, 5)
    );
}

#[test]
fn devices_and_the_hosts_own_attributes_are_refused() {
    let mut mounted = Mounted::new(false);
    for kind in [0o060_666, 0o020_666] {
        let body = [numbers(&[kind, 0x0101, 0, 0]), text("device")].concat();
        assert_eq!(mounted.ask(opcodes::MKNOD, ROOT, &body), Err(Errno::PERM));
    }
    for name in ["trusted.overlay.opaque", "security.selinux", "security.capability.x"] {
        let body = [numbers(&[1, 0]), text(name), vec![b'y']].concat();
        assert_eq!(
            mounted.ask(opcodes::SETXATTR, ROOT, &body),
            Err(Errno::OPNOTSUPP),
            "{name}"
        );
    }
}

#[test]
fn a_file_without_a_name_is_looked_at_by_its_handle() {
    let mut mounted = Mounted::new(false);
    let (file, handle) = mounted.create("file", OFlags::RDWR).unwrap();
    mounted.write(handle, 0, b"text").unwrap();
    mounted.ask(opcodes::UNLINK, ROOT, &text("file")).unwrap();
    let look = [numbers(&[1, 0]), handle.to_le_bytes().to_vec()].concat();
    let attributes = mounted.ask(opcodes::GETATTR, file, &look).unwrap();
    assert_eq!(number(&attributes[24..]), 4);
}

#[test]
fn a_pipe_has_no_access_control_list() {
    let mut mounted = Mounted::new(false);
    let body = [numbers(&[0o010_600, 0, 0, 0]), text("pipe")].concat();
    let pipe = number(&mounted.ask(opcodes::MKNOD, ROOT, &body).unwrap());
    let body = [numbers(&[64, 0]), text("system.posix_acl_access")].concat();
    assert_eq!(mounted.ask(opcodes::GETXATTR, pipe, &body), Err(Errno::NODATA));
}

#[test]
fn what_was_open_is_closed_when_the_driver_begins_anew() {
    let mut mounted = Mounted::new(false);
    let (file, handle) = mounted.create("file", OFlags::RDWR).unwrap();
    mounted.ask(opcodes::INIT, 0, &numbers(&[7, 40, 0, 0])).unwrap();
    assert_eq!(mounted.read(handle, 1), Err(Errno::BADF));
    assert_eq!(mounted.ask(opcodes::GETATTR, file, &[0; 16]), Err(Errno::STALE));
    assert_eq!(
        mounted.ask(opcodes::INIT, 0, &numbers(&[7, 19, 0, 0])),
        Err(Errno::PROTO)
    );
}

#[test]
fn what_nobody_waits_for_gets_no_answer() {
    let mut mounted = Mounted::new(false);
    let (file, _) = mounted.create("file", OFlags::RDWR).unwrap();
    let bytes = request(opcodes::FORGET, file, &1u64.to_le_bytes());
    mounted.guest.memory.write_slice(&bytes, GuestAddress(BUFFERS)).unwrap();
    mounted.queues[0].add(&[out(BUFFERS, 48)]);
    mounted.guest.kick(0);
    assert_eq!(mounted.queues[0].take_used().unwrap().1, 0);
    assert_eq!(mounted.ask(opcodes::GETATTR, file, &[0; 16]), Err(Errno::STALE));
}
