//! Requests to devices: entropy and the loopback interface.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::check;

/// `_IOW('R', 3, int[2])` (linux/random.h): adds bytes to the entropy pool and credits them.
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;

/// `_IO('R', 7)` (linux/random.h): draws a new key from the pool at once.
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;

/// The kernel's random number generator, open to be given entropy.
#[derive(Debug)]
pub struct Random(File);

impl Random {
    /// Opens it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        File::options().write(true).open("/dev/urandom").map(Self)
    }

    /// Credits `bytes` to the entropy pool and reseeds the generator, so that a clone forgets what its template knew.
    ///
    /// # Errors
    /// The kernel's; more than `i32::MAX / 8` bytes are refused.
    pub fn credit(&self, bytes: &[u8]) -> io::Result<()> {
        // struct rand_pool_info: entropy in bits, size in bytes, the bytes.
        let size = i32::try_from(bytes.len()).map_err(io::Error::other)?;
        let bits = size.checked_mul(8).ok_or(io::ErrorKind::InvalidInput)?;
        let mut pool = Vec::with_capacity(8 + bytes.len());
        pool.extend_from_slice(&bits.to_ne_bytes());
        pool.extend_from_slice(&size.to_ne_bytes());
        pool.extend_from_slice(bytes);
        // SAFETY: the kernel reads eight bytes and then as many as the second four of them say, all of which `pool` holds.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), RNDADDENTROPY, pool.as_ptr()) })?;
        self.reseed()
    }

    /// Reseeds the generator from the entropy pool.
    ///
    /// # Errors
    /// The kernel's, where the pool has no entropy yet.
    pub fn reseed(&self) -> io::Result<()> {
        // SAFETY: this request has no argument.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), RNDRESEEDCRNG) })?;
        Ok(())
    }
}

/// Brings the loopback interface up; the kernel gives it its addresses.
///
/// # Errors
/// The kernel's.
pub fn bring_loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is integers and arrays of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the request is an `ifreq` that outlives the call; the kernel fills in its flags.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) })?;
    // SAFETY: the kernel has just written this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: the request is an `ifreq` that outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}
