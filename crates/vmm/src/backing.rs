//! What stands behind the devices of a shape, of the descriptors that came with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

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
use nix::sys::memfd::{MFdFlags, memfd_create};
use protocol::attachments::Attachment;
use protocol::vmm::{Shape, directory_tag};

use crate::host_side::Streams;
use crate::memory;
use crate::tap::Tap;

/// The most that a guest can write to its serial port, in bytes, so that it cannot fill the host's disk.
pub const SERIAL_BYTES_MAX: u64 = 64 << 20;

/// The length of a disk that stands for one to come, in bytes: the guest agent knows by it that nothing is there yet.
const PLACEHOLDER_BYTES: u64 = 4096;

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
    /// Other descriptors came than the shape names.
    #[error("{came} descriptors came with a shape that has {wanted}")]
    Attachments {
        /// How many were to come.
        wanted: usize,
        /// How many came.
        came: usize,
    },
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

/// The descriptors that came with a shape, in the order of its attachments.
pub struct Attached(vec::IntoIter<OwnedFd>);

impl Attached {
    /// What came with `shape`.
    ///
    /// # Errors
    /// Where it is too little or too much.
    pub fn to(shape: &Shape, descriptors: Vec<OwnedFd>) -> Result<Self, BackingError> {
        let (wanted, came) = (shape.attachments().len(), descriptors.len());
        if wanted == came {
            Ok(Self(descriptors.into_iter()))
        } else {
            Err(BackingError::Attachments { wanted, came })
        }
    }

    /// The directories among them.
    #[must_use]
    pub fn directories(&self, shape: &Shape) -> Vec<BorrowedFd<'_>> {
        let wanted = shape.attachments();
        let with = wanted.iter().zip(self.0.as_slice());
        with.filter(|(attachment, _)| matches!(attachment, Attachment::Directory(_)))
            .map(|(_, descriptor)| descriptor.as_fd())
            .collect()
    }

    fn next(&mut self) -> Result<OwnedFd, BackingError> {
        let missing = BackingError::Attachments { wanted: 1, came: 0 };
        self.0.next().ok_or(missing)
    }

    fn file(&mut self) -> Result<File, BackingError> {
        self.next().map(File::from)
    }
}

/// A vsock device of the guest `guest_cid`, which can connect to these ports of the host.
///
/// # Errors
/// Where the socket cannot be used.
pub fn vsock(guest_cid: u32, host_ports: &[u32], attached: &mut Attached) -> Result<Vsock, BackingError> {
    let listener = UnixListener::from(attached.next()?);
    let mut streams = Vec::with_capacity(host_ports.len());
    for port in host_ports {
        streams.push((*port, UnixStream::from(attached.next()?)));
    }
    Vsock::new(guest_cid, Streams::of(streams), listener)
        .map_err(|source| BackingError::Device { what: "vsock", source })
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
/// Where the parts make no disk.
pub fn concatenation(parts: &[PathBuf], attached: &mut Attached) -> Result<Block, BackingError> {
    let disk = Concatenation::new(take_parts(parts, attached)?).map_err(|source| BackingError::Concatenation {
        parts: parts.to_owned(),
        source,
    })?;
    Ok(Block::new(Backend::Concatenation(disk), ""))
}

/// A writable disk that is the file at `path`.
///
/// # Errors
/// Where the file is no disk.
pub fn raw_file(path: &Path, attached: &mut Attached) -> Result<Block, BackingError> {
    let disk = RawFile::new(attached.file()?).map_err(|source| BackingError::RawFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(Block::new(Backend::RawFile(disk), ""))
}

/// A writable disk that begins as the file at `base`; what is written goes into a nameless file.
///
/// # Errors
/// Where a file is none that a disk can be of.
pub fn copy_on_write(base: &Path, attached: &mut Attached) -> Result<Block, BackingError> {
    let (unwritten, written) = (attached.file()?, attached.file()?);
    let disk = CopyOnWrite::new(unwritten, written).map_err(|source| BackingError::CopyOnWrite {
        path: base.to_owned(),
        source,
    })?;
    Ok(Block::new(Backend::CopyOnWrite(disk), ""))
}

/// A network interface whose other end is the TAP interface `name`.
///
/// # Errors
/// Where that cannot be used.
pub fn network(name: &str, mac: [u8; 6], attached: &mut Attached) -> Result<Net, BackingError> {
    let tap = Tap::new(attached.file()?).map_err(|source| BackingError::Tap {
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
/// Where none came.
pub fn rng(attached: &mut Attached) -> Result<Rng, BackingError> {
    Ok(Rng::new(attached.file()?))
}

/// A directory of the host, which a guest finds by its `slot`; `descriptors` is where this process's can be named. A file system can be slow, so a
/// thread of its own serves it.
///
/// # Errors
/// Where the process was not made to serve directories.
pub fn directory(
    slot: u8,
    is_read_only: bool,
    descriptors: Option<&OwnedFd>,
    attached: &mut Attached,
) -> Result<OwnThread<Fs>, BackingError> {
    let failed = |source| BackingError::Device {
        what: "directory of the host",
        source,
    };
    let descriptors = descriptors.ok_or_else(|| failed(io::Error::other("this VMM was not started to serve any")))?;
    let shown = Shown {
        root: Arc::new(attached.next()?),
        descriptors: descriptors.try_clone().map_err(failed)?,
        is_read_only,
    };
    Ok(OwnThread::of(Fs::new(&directory_tag(slot), shown)))
}

/// The parts of a rootfs snapshot.
///
/// # Errors
/// Where one cannot be looked at.
pub fn take_parts(parts: &[PathBuf], attached: &mut Attached) -> Result<Vec<Part>, BackingError> {
    let mut taken = Vec::with_capacity(parts.len());
    for path in parts {
        let file = attached.file()?;
        let metadata = file.metadata().map_err(|source| unopened("block part", path, source))?;
        taken.push(Part {
            file,
            bytes: metadata.len(),
        });
    }
    Ok(taken)
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
    use protocol::attachments;
    use protocol::vmm::{Device, Limits};
    use std::fs;

    fn shape(device: Device) -> Shape {
        Shape {
            vcpus: 1,
            growth_mib: 0,
            slots: [(7, device)].into(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn too_little_and_too_much_is_refused() {
        let parts: Vec<PathBuf> = vec!["/dev/null".into(); 2];
        let shape = shape(Device::Pmem { parts: parts.clone() });
        for count in [0, 1, 3] {
            let came = (0..count).map(|_| File::open("/dev/null").unwrap().into()).collect();
            let error = Attached::to(&shape, came).err().unwrap();
            let expected = format!("{count} descriptors came with a shape that has 2");
            assert_eq!(error.to_string(), expected);
        }
        let came = attachments::open(&shape).unwrap();
        let mut attached = Attached::to(&shape, came).unwrap();
        assert_eq!(take_parts(&parts, &mut attached).unwrap().len(), 2);
        assert!(take_parts(&parts, &mut attached).is_err());
    }

    #[test]
    fn what_is_no_interface_is_named() {
        let network = Device::Rng;
        let shape = shape(network);
        let mut attached = Attached::to(&shape, attachments::open(&shape).unwrap()).unwrap();
        let error = super::network("tap-x", [2; 6], &mut attached).err().unwrap();
        assert_eq!(error.to_string(), "cannot use the TAP interface tap-x");
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
