//! Opens what stands behind the devices of a configuration.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use devices::block::Block;
use devices::block::backend::{
    Backend, Concatenation, ConcatenationError, CopyOnWrite, CopyOnWriteError, Part, RawFile, RawFileError,
};
use devices::fs::{Fs, Shown};
use devices::meter::Meter;
use devices::net::Net;
use devices::own_thread::OwnThread;
use devices::rng::Rng;
use devices::serial::Serial;
use devices::vsock::Vsock;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::memfd::{MFdFlags, memfd_create};
use protocol::vmm::directory_tag;

use crate::host_side::NeighbouringSockets;
use crate::memory;
use crate::socket::{self, BoundPath, SocketError};
use crate::tap;

/// The most that a guest can write to its serial port, in bytes, so that it cannot fill the host's disk.
pub const SERIAL_BYTES_MAX: u64 = 64 << 20;

/// The length of a disk that stands for one to come, in bytes: the guest agent knows by it that nothing is there yet.
const PLACEHOLDER_BYTES: u64 = 4096;

/// Where the kernel shows this process's descriptors.
const DESCRIPTORS: &str = "/proc/self/fd";

/// The host's entropy.
const ENTROPY: &str = "/dev/urandom";

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// A file is not there, or may not be used.
    #[error("cannot open the {what} {}", path.display())]
    Open {
        /// What it was to be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The parts make no disk.
    #[error("cannot make a disk of {} parts", parts.len())]
    Concatenation {
        /// The parts.
        parts: Vec<PathBuf>,
        /// What is wrong with them.
        source: ConcatenationError,
    },
    /// The file is no disk.
    #[error("cannot make a disk of {}", path.display())]
    RawFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RawFileError,
    },
    /// The file is none that a disk can begin from.
    #[error("cannot make a copy-on-write disk of {}", path.display())]
    CopyOnWrite {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CopyOnWriteError,
    },
    /// The device's socket cannot be had.
    #[error("cannot serve the guest's sockets")]
    Socket(#[from] SocketError),
    /// The interface is not there, or may not be used.
    #[error("cannot use the TAP interface {name}")]
    Tap {
        /// The interface.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The device lacks a resource of the system.
    #[error("cannot make a {what}")]
    Device {
        /// Which device.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// A vsock device of the guest `guest_cid`, and its socket.
///
/// # Errors
/// Where the socket cannot be had.
pub fn vsock(guest_cid: u32, socket: &Path) -> Result<(Vsock, BoundPath), BackingError> {
    let (listener, bound) = socket::bind(socket)?;
    let vsock = Vsock::new(guest_cid, NeighbouringSockets::of(socket), listener)
        .map_err(|source| BackingError::Device { what: "vsock", source })?;
    Ok((vsock, bound))
}

/// A read-only disk of one block of zeros, for a driver that is told of the true one later. Linux tells nobody of a disk's growth from no length
/// at all (`set_capacity_and_notify`).
///
/// # Errors
/// Where the system has no memory for it.
pub fn placeholder() -> Result<Block, BackingError> {
    let made = memfd_create(c"placeholder", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from);
    let file = made
        .map(File::from)
        .and_then(|file| file.set_len(PLACEHOLDER_BYTES).map(|()| file));
    let file = file.map_err(|source| BackingError::Device {
        what: "disk without contents",
        source,
    })?;
    let parts = vec![Part {
        file,
        bytes: PLACEHOLDER_BYTES,
    }];
    let disk = Concatenation::new(parts).map_err(|source| BackingError::Concatenation {
        parts: Vec::new(),
        source,
    })?;
    Ok(Block::new(Backend::Concatenation(disk), ""))
}

/// A read-only disk of these parts.
///
/// # Errors
/// Where a file cannot be read, or the parts make no disk.
pub fn concatenation(parts: &[PathBuf]) -> Result<Block, BackingError> {
    let disk = Concatenation::new(open_parts(parts)?).map_err(|source| BackingError::Concatenation {
        parts: parts.to_owned(),
        source,
    })?;
    Ok(Block::new(Backend::Concatenation(disk), ""))
}

/// A writable disk that is the file at `path`.
///
/// # Errors
/// Where the file cannot be written, or is no disk.
pub fn raw_file(path: &Path) -> Result<Block, BackingError> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = opened.map_err(|source| unopened("block file", path, source))?;
    let disk = RawFile::new(file).map_err(|source| BackingError::RawFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(Block::new(Backend::RawFile(disk), ""))
}

/// A writable disk that begins as the file at `base`; what is written goes into a nameless file in `directory`.
///
/// # Errors
/// Where a file cannot be had.
pub fn copy_on_write(base: &Path, directory: &Path) -> Result<Block, BackingError> {
    let unwritten = open_read("block file", base)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let written = options
        .open(directory)
        .map_err(|source| unopened("directory for a nameless file", directory, source))?;
    let disk = CopyOnWrite::new(unwritten, written).map_err(|source| BackingError::CopyOnWrite {
        path: base.to_owned(),
        source,
    })?;
    Ok(Block::new(Backend::CopyOnWrite(disk), ""))
}

/// A network interface whose other end is the TAP interface `name`.
///
/// # Errors
/// Where that is not there, or may not be used.
pub fn network(name: &str, mac: [u8; 6]) -> Result<Net, BackingError> {
    let tap = tap::open(name).map_err(|source| BackingError::Tap {
        name: name.to_owned(),
        source,
    })?;
    Ok(Net::new(mac, tap))
}

/// Where devices count: in the file at `path`, or nowhere.
///
/// # Errors
/// Where the file cannot be written.
pub fn meter(path: Option<&Path>) -> Result<Meter, BackingError> {
    let Some(path) = path else {
        return Ok(Meter::default());
    };
    let counters = memory::counters(path).map_err(|source| unopened("file of counters", path, source))?;
    Ok(Meter::of(counters))
}

/// A source of the host's entropy.
///
/// # Errors
/// Where the host has none.
pub fn rng() -> Result<Rng, BackingError> {
    Ok(Rng::new(open_read("entropy source", Path::new(ENTROPY))?))
}

/// The directory at `path`, which a guest finds by its `slot`. A file system can be slow, so a thread of its own serves it.
///
/// # Errors
/// Where there is no directory, or a symbolic link in its path.
pub fn directory(slot: u8, path: &Path, is_read_only: bool) -> Result<OwnThread<Fs>, BackingError> {
    let shown = Shown {
        // What was allowed is this path: whoever could put a link into it would show the guest something else.
        root: Arc::new(open_directory(path, ResolveFlag::RESOLVE_NO_SYMLINKS)?),
        descriptors: open_directory(Path::new(DESCRIPTORS), ResolveFlag::empty())?,
        is_read_only,
    };
    Ok(OwnThread::of(Fs::new(&directory_tag(slot), shown)))
}

/// Opens a directory for looking up what is in it.
fn open_directory(path: &Path, resolve: ResolveFlag) -> Result<OwnedFd, BackingError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    openat2(AT_FDCWD, path, how).map_err(|errno| unopened("directory", path, errno.into()))
}

/// Opens the parts of a rootfs snapshot.
///
/// # Errors
/// Where one cannot be read.
pub fn open_parts(parts: &[PathBuf]) -> Result<Vec<Part>, BackingError> {
    let mut opened = Vec::with_capacity(parts.len());
    for path in parts {
        let file = open_read("block part", path)?;
        let metadata = file.metadata().map_err(|source| unopened("block part", path, source))?;
        opened.push(Part {
            file,
            bytes: metadata.len(),
        });
    }
    Ok(opened)
}

/// A serial port whose output goes to the file at `path`, which is made anew.
///
/// # Errors
/// Where the file cannot be written.
pub fn open_serial(path: &Path) -> Result<Serial, BackingError> {
    // A pipe whose reader is slow or absent must not stop the guest.
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_NONBLOCK);
    let file = options
        .open(path)
        .map_err(|source| unopened("serial output", path, source))?;
    Serial::new(Box::new(Limited {
        file,
        left: SERIAL_BYTES_MAX,
    }))
    .map_err(|source| BackingError::Device {
        what: "serial port",
        source,
    })
}

fn open_read(what: &'static str, path: &Path) -> Result<File, BackingError> {
    File::open(path).map_err(|source| unopened(what, path, source))
}

fn unopened(what: &'static str, path: &Path, source: io::Error) -> BackingError {
    BackingError::Open {
        what,
        path: path.to_owned(),
        source,
    }
}

/// A file that takes so much and swallows the rest.
struct Limited {
    file: File,
    left: u64,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(left) = self.left.checked_sub(count) {
            self.left = left;
            self.file.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn check<T>(opened: Result<T, BackingError>, expected: &str) {
        let error = opened.err().expect("is refused");
        let sentence = format!("{:#}", anyhow::Error::from(error));
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn a_missing_part_is_named() {
        let parts = ["/dev/null".into(), "/nonexistent/part".into()];
        let expected = "cannot open the block part /nonexistent/part: No such file";
        check(concatenation(&parts), expected);
    }

    #[test]
    fn a_missing_file_is_named_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        check(raw_file(&path), "disk: No such file");
        check(copy_on_write(&path, folder.path()), "disk: No such file");
        assert!(!path.exists());
    }

    #[test]
    fn what_a_clone_writes_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        File::create(&base).unwrap().set_len(1 << 20).unwrap();
        copy_on_write(&base, folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        check(copy_on_write(&base, &base), "directory for a nameless file");
    }

    #[test]
    fn a_directory_is_none_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        directory(7, &folder, false).unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("link")).unwrap();
        check(directory(7, &folder.join("link"), false), "cannot open the directory");
        check(directory(7, &folder.join("none"), false), "none: No such file");
    }

    #[test]
    fn a_missing_interface_is_named() {
        check(network("mote-none", [2; 6]), "TAP interface mote-none: No such device");
    }

    #[test]
    fn a_socket_that_is_taken_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("v");
        let opened = vsock(3, &socket).unwrap();
        check(vsock(3, &socket), "v: Address already in use");
        drop(opened);
        assert!(!socket.exists());
    }

    #[test]
    fn an_output_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut output = Limited {
            file: File::create(&path).unwrap(),
            left: 3,
        };
        for byte in b"abcdef" {
            assert_eq!(output.write(&[*byte]).unwrap(), 1);
        }
        assert_eq!(fs::read(path).unwrap(), b"abc");
    }
}
