//! Opens what stands behind the devices of a configuration.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use devices::block::Block;
use devices::block::backend::{Backend, Concatenation, ConcatenationError, Part, RawFile, RawFileError};
use devices::device::VirtioDevice;
use devices::rng::Rng;
use devices::serial::Serial;
use devices::vsock::Vsock;
use protocol::vmm::Device;

use crate::host_side::NeighbouringSockets;
use crate::socket::{self, BoundPath, SocketError};

/// The most that a guest can write to its serial port, in bytes, so that it cannot fill the host's disk.
pub const SERIAL_BYTES_MAX: u64 = 64 << 20;

/// The host's entropy.
const ENTROPY: &str = "/dev/urandom";

/// A device that is ready to be plugged.
pub struct Opened {
    /// The device.
    pub device: Box<dyn VirtioDevice>,
    /// The socket that it brought into the file system; to be kept until the microVM has ended.
    pub socket: Option<BoundPath>,
}

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
    /// The device's socket cannot be had.
    #[error("cannot serve the guest's sockets")]
    Socket(#[from] SocketError),
    /// The device lacks a resource of the system.
    #[error("cannot make a {what}")]
    Device {
        /// Which device.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Opens what stands behind `device`.
///
/// # Errors
/// Where a file or socket cannot be had, or is unfit.
pub fn open(device: &Device) -> Result<Opened, BackingError> {
    let alone = |device| Opened { device, socket: None };
    match device {
        Device::Vsock { guest_cid, socket } => {
            let (listener, bound) = socket::bind(socket)?;
            let vsock = Vsock::new(*guest_cid, NeighbouringSockets::of(socket), listener)
                .map_err(|source| BackingError::Device { what: "vsock", source })?;
            Ok(Opened {
                device: Box::new(vsock),
                socket: Some(bound),
            })
        }
        Device::BlockConcatenation { parts } => Ok(alone(Box::new(Block::new(concatenation(parts)?, "")))),
        Device::BlockFile { path } => Ok(alone(Box::new(Block::new(raw_file(path)?, "")))),
        Device::Rng => Ok(alone(Box::new(Rng::new(open_read(
            "entropy source",
            Path::new(ENTROPY),
        )?)))),
    }
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

fn concatenation(parts: &[PathBuf]) -> Result<Backend, BackingError> {
    let mut opened = Vec::with_capacity(parts.len());
    for path in parts {
        let file = open_read("block part", path)?;
        let metadata = file.metadata().map_err(|source| unopened("block part", path, source))?;
        opened.push(Part {
            file,
            bytes: metadata.len(),
        });
    }
    let disk = Concatenation::new(opened).map_err(|source| BackingError::Concatenation {
        parts: parts.to_owned(),
        source,
    })?;
    Ok(Backend::Concatenation(disk))
}

fn raw_file(path: &Path) -> Result<Backend, BackingError> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = opened.map_err(|source| unopened("block file", path, source))?;
    let disk = RawFile::new(file).map_err(|source| BackingError::RawFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(Backend::RawFile(disk))
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

    fn check(device: &Device, expected: &str) {
        let error = open(device).err().expect("is refused");
        let sentence = format!("{:#}", anyhow::Error::from(error));
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn a_missing_part_is_named() {
        let parts = vec!["/dev/null".into(), "/nonexistent/part".into()];
        check(
            &Device::BlockConcatenation { parts },
            "cannot open the block part /nonexistent/part: No such file",
        );
    }

    #[test]
    fn a_missing_file_is_named_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        check(&Device::BlockFile { path: path.clone() }, "disk: No such file");
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_is_taken_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("v");
        let vsock = Device::Vsock {
            guest_cid: 3,
            socket: socket.clone(),
        };
        let opened = open(&vsock).unwrap();
        check(&vsock, "v: Address already in use");
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
