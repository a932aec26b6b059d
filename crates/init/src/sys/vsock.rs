//! Connections with the host over vsock, made without waiting for the host.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::check;

/// How long the host may take to accept a connection: generous, since a host under load may run its guests very slowly.
const CONNECT_TIMEOUT_SECONDS: libc::time_t = 60;

/// The option that sets that time, of type `timeval` (linux/vm_sockets.h).
const SO_VM_SOCKETS_CONNECT_TIMEOUT: libc::c_int = 6;

/// Hosts that wait to be taken: one replaces another.
const WAITING_MAX: i32 = 4;

/// A socket that is not connected and never blocks.
///
/// # Errors
/// The kernel's.
pub fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?;
    let timeout = libc::timeval {
        tv_sec: CONNECT_TIMEOUT_SECONDS,
        tv_usec: 0,
    };
    // SAFETY: the option's value is a `timeval`, which outlives the call and whose size is given.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::AF_VSOCK,
            SO_VM_SOCKETS_CONNECT_TIMEOUT,
            (&raw const timeout).cast(),
            len_of(&timeout),
        )
    })?;
    Ok(socket)
}

/// Asks `port` of the host for a connection; [`finish`] tells how that went.
///
/// # Errors
/// The kernel's: there is no vsock device.
pub fn begin(socket: impl AsFd, port: u32) -> io::Result<()> {
    let address = address(libc::VMADDR_CID_HOST, port)?;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the address is a `sockaddr_vm`, which outlives the call and whose size is given.
    match check(unsafe { libc::connect(socket, (&raw const address).cast(), len_of(&address)) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

/// A socket at which `port` of the guest is taken: nobody else can have it.
///
/// # Errors
/// The kernel's: another process has the port.
pub fn listen(port: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?;
    let address = address(libc::VMADDR_CID_ANY, port)?;
    // SAFETY: the address is a `sockaddr_vm`, which outlives the call and whose size is given.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len_of(&address)) })?;
    rustix::net::listen(&socket, WAITING_MAX)?;
    Ok(socket)
}

/// Takes a connection that waits at `listener`, if there is one and the host has made it. It never blocks.
///
/// # Errors
/// The kernel's.
pub fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match rustix::net::accept_with(listener, flags) {
        Ok(socket) => socket,
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut peer = address(0, 0)?;
    let mut len = len_of(&peer);
    // SAFETY: the address and its size are ours and writable, and the kernel writes no more than that size says.
    check(unsafe { libc::getpeername(socket.as_raw_fd(), (&raw mut peer).cast(), &raw mut len) })?;
    Ok((peer.svm_cid == libc::VMADDR_CID_HOST).then_some(socket))
}

/// A port of a context.
fn address(cid: u32, port: u32) -> io::Result<libc::sockaddr_vm> {
    // SAFETY: `sockaddr_vm` is plain integers, for which zero is a value.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::sa_family_t::try_from(libc::AF_VSOCK).map_err(io::Error::other)?;
    address.svm_cid = cid;
    address.svm_port = port;
    Ok(address)
}

/// Waits until the host has answered.
///
/// # Errors
/// The kernel's: nobody listens there, or no answer came in time.
pub fn finish(socket: impl AsFd) -> io::Result<()> {
    while let Err(error) = poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    Ok(socket_error(socket)??)
}

/// The size of `value` as the socket calls take it.
fn len_of<T>(value: &T) -> libc::socklen_t {
    // The two types above are below 32 bytes long.
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or(0)
}
