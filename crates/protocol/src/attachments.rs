//! The files of the host behind a shape's devices, as descriptors: a VMM opens none of them itself.
//!
//! [`Shape::attachments`] says which there are and in which order, whoever has a shape to tell opens them with [`open`], and they travel over a
//! unix socket with [`send`] and [`receive`].

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::ioctl::{Setter, ioctl};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, recvmsg, sendmsg, socket_with,
};

use crate::vmm::{Device, Shape};

/// The most descriptors that one message carries (Linux, `include/net/scm.h`, `SCM_MAX_FD`).
const MESSAGE_MAX: usize = 253;

/// The most descriptors that come with one shape: each free slot may have a disk of as many parts as an image has layers.
pub const ATTACHMENTS_MAX: usize = 4096;

/// Programs that wait until a guest's program accepts them.
const WAITING_MAX: i32 = 128;

/// The host's entropy.
const ENTROPY: &str = "/dev/urandom";

/// Where descriptors of TAP interfaces come from.
const TUN: &str = "/dev/net/tun";

/// `_IOW('T', 202, int)` (linux/if_tun.h).
const TUNSETIFF: u32 = 0x4004_54ca;

/// `IFF_TAP | IFF_NO_PI | IFF_VNET_HDR` (linux/if_tun.h).
const TAP_WITH_HEADER: i16 = 0x0002 | 0x1000 | 0x4000;

/// `struct ifreq` (linux/if.h).
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// What stands behind a device, and how it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment<'a> {
    /// A file to be read.
    Read(&'a Path),
    /// A file to be read and written.
    Write(&'a Path),
    /// A nameless file on this directory's file system, to be read and written.
    Nameless(&'a Path),
    /// A directory, for looking up what is in it.
    Directory(&'a Path),
    /// A TAP interface that exists.
    Tap(&'a str),
    /// A unix socket that listens, at a path where nothing is yet.
    Listener(&'a Path),
    /// A connection to the unix socket at this path.
    Stream(PathBuf),
}

/// What a shape's device needs cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the {attachment}")]
pub struct OpenError {
    attachment: String,
    source: io::Error,
}

impl fmt::Display for Attachment<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path) => write!(formatter, "file {}", path.display()),
            Self::Write(path) => write!(formatter, "writable file {}", path.display()),
            Self::Nameless(path) => write!(formatter, "directory for a nameless file {}", path.display()),
            Self::Directory(path) => write!(formatter, "directory {}", path.display()),
            Self::Tap(name) => write!(formatter, "TAP interface {name}"),
            Self::Listener(path) => write!(formatter, "listening socket {}", path.display()),
            Self::Stream(path) => write!(formatter, "connection to {}", path.display()),
        }
    }
}

impl Shape {
    /// What comes with this shape, in this order: by slot, and in the device's own order.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment<'_>> {
        self.slots.values().flat_map(Device::attachments).collect()
    }
}

impl Device {
    fn attachments(&self) -> Vec<Attachment<'_>> {
        match self {
            Self::Vsock { socket, host_ports, .. } => {
                let streams = host_ports
                    .iter()
                    .map(|port| Attachment::Stream(neighbour(socket, *port)));
                [Attachment::Listener(socket)].into_iter().chain(streams).collect()
            }
            Self::BlockConcatenation { parts } | Self::Pmem { parts } => {
                parts.iter().map(|part| Attachment::Read(part)).collect()
            }
            Self::BlockFile { path } => vec![Attachment::Write(path)],
            Self::BlockCopyOnWrite { base, directory } => {
                vec![Attachment::Read(base), Attachment::Nameless(directory)]
            }
            Self::Memory { .. } | Self::Balloon => vec![],
            Self::Network { tap, .. } => vec![Attachment::Tap(tap)],
            Self::Rng => vec![Attachment::Read(Path::new(ENTROPY))],
            Self::Directory { path, .. } => vec![Attachment::Directory(path)],
        }
    }
}

/// The unix socket that stands for the host's `port` beside a vsock device's own.
#[must_use]
pub fn neighbour(socket: &Path, port: u32) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(format!("_{port}"));
    name.into()
}

/// Opens all that comes with `shape`.
///
/// # Errors
/// Where something cannot be had; nothing is left of the others then but listening sockets' paths.
pub fn open(shape: &Shape) -> Result<Vec<OwnedFd>, OpenError> {
    shape.attachments().iter().map(open_one).collect()
}

fn open_one(attachment: &Attachment<'_>) -> Result<OwnedFd, OpenError> {
    // A link in the last place of a path would lead to what nobody has allowed.
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = match attachment {
        Attachment::Read(path) => openat(CWD, *path, flags | OFlags::RDONLY, Mode::empty()),
        Attachment::Write(path) => openat(CWD, *path, flags | OFlags::RDWR, Mode::empty()),
        Attachment::Nameless(path) => openat(
            CWD,
            *path,
            OFlags::CLOEXEC | OFlags::RDWR | OFlags::TMPFILE,
            Mode::from_raw_mode(0o600),
        ),
        // What was allowed is this path: whoever could put a link into it would show the guest something else.
        Attachment::Directory(path) => openat2(
            CWD,
            *path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_SYMLINKS,
        ),
        Attachment::Tap(name) => tap(name),
        Attachment::Listener(path) => listener(path),
        Attachment::Stream(path) => stream(path),
    };
    opened.map_err(|errno| OpenError {
        attachment: attachment.to_string(),
        source: errno.into(),
    })
}

fn unix_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn listener(path: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = unix_socket()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, WAITING_MAX)?;
    Ok(socket)
}

fn stream(path: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = unix_socket()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[expect(unsafe_code, reason = "no safe call attaches to an interface")]
fn tap(name: &str) -> rustix::io::Result<OwnedFd> {
    // The request below would make an interface that is not there.
    rustix::net::netdevice::name_to_index(unix_socket()?, name)?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(CWD, TUN, flags, Mode::empty())?;
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: TAP_WITH_HEADER,
        rest: [0; 22],
    };
    // An interface that exists has a name that fits, with the zero behind it.
    for (to, from) in request.name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    // SAFETY: the kernel reads an `ifreq` for this request, which is what is given to it, and keeps no pointer to it.
    unsafe { ioctl(&file, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) }?;
    Ok(file)
}

/// Sends `bytes`, of which there must be one for every 253 descriptors, and `attached` with them, over a unix stream socket. Waits where the socket is
/// one that blocks.
///
/// # Errors
/// The system's. The receiver may have got a part then.
pub fn send(socket: impl AsFd, bytes: &[u8], attached: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut sent = 0;
    let mut chunks = attached.chunks(MESSAGE_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        // The last one carries all that is left.
        let end = if chunks.peek().is_some() { sent + 1 } else { bytes.len() };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(chunk));
        let part = IoSlice::new(bytes.get(sent..end).unwrap_or_default());
        sent += sendmsg(&socket, &[part], &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(sent)
}

/// Receives bytes into `buffer`, and puts what came with them behind `attached`; how many bytes came.
///
/// # Errors
/// The system's, and more descriptors than any shape has.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], attached: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            attached.extend(descriptors);
        }
    }
    if attached.len() > ATTACHMENTS_MAX {
        return Err(io::Error::other("more descriptors came than any shape has"));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs::{self, File};
    use std::os::unix::net::{UnixListener, UnixStream};

    use crate::vmm::Limits;

    fn shape(devices: impl IntoIterator<Item = Device>) -> Shape {
        Shape {
            vcpus: 1,
            growth_mib: 0,
            slots: (0..).zip(devices).collect::<BTreeMap<_, _>>(),
            limits: Limits::default(),
        }
    }

    #[track_caller]
    fn check_refused(device: Device, expected: &str) {
        let error = open(&shape([device])).unwrap_err();
        let sentence = format!("{error}: {}", error.source);
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let part = |path: &str| Device::Pmem {
            parts: vec!["/dev/null".into(), path.into()],
        };
        check_refused(
            part("/nonexistent/part"),
            "cannot open the file /nonexistent/part: No such",
        );
        let tap = "mote-none".to_owned();
        let network = Device::Network { tap, mac: [2; 6] };
        check_refused(network, "TAP interface mote-none: No such device");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        check_refused(Device::BlockFile { path: path.clone() }, "disk: No such file");
        assert!(!path.exists());
    }

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let directory = |path: &Path| Device::Directory {
            path: path.to_owned(),
            read_only: true,
        };
        open(&shape([directory(&folder)])).unwrap();
        check_refused(directory(&link), "cannot open the directory");
        fs::write(folder.join("file"), "x").unwrap();
        check_refused(directory(&link.join("file")), "cannot open the directory");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(folder.join("file"), &link).unwrap();
        check_refused(Device::BlockFile { path: link }, "cannot open the writable file");
    }

    #[test]
    fn what_a_clone_writes_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        File::create(&base).unwrap();
        let scratch = |directory: &Path| Device::BlockCopyOnWrite {
            base: base.clone(),
            directory: directory.to_owned(),
        };
        assert_eq!(open(&shape([scratch(folder.path())])).unwrap().len(), 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        check_refused(scratch(&base), "directory for a nameless file");
    }

    #[test]
    fn descriptors_travel_in_their_order_however_many_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let parts: Vec<PathBuf> = (0..600).map(|number| folder.path().join(number.to_string())).collect();
        for part in &parts {
            fs::write(part, part.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        let vsock = folder.path().join("vsock");
        let door = UnixListener::bind(neighbour(&vsock, 7)).unwrap();
        let shape = shape([
            Device::Balloon,
            Device::Vsock {
                guest_cid: 3,
                socket: vsock,
                host_ports: vec![7],
            },
            Device::Pmem { parts },
        ]);
        let opened = open(&shape).unwrap();
        let borrowed: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
        let (one, other) = UnixStream::pair().unwrap();
        assert_eq!(send(&one, b"hello", &borrowed).unwrap(), 5);
        let (mut heard, mut attached) = (vec![], vec![]);
        while heard.len() < 5 {
            let mut buffer = [0; 16];
            let count = receive(&other, &mut buffer, &mut attached).unwrap();
            heard.extend(&buffer[..count]);
        }
        assert_eq!((heard.as_slice(), attached.len()), (b"hello".as_slice(), 602));
        let mut attached = attached.into_iter().skip(1);
        let stream = UnixStream::from(attached.next().unwrap());
        assert!(stream.peer_addr().is_ok() && door.accept().is_ok());
        for (number, file) in attached.enumerate() {
            assert_eq!(io::read_to_string(File::from(file)).unwrap(), number.to_string());
        }
    }
}
