//! A TAP interface of the host as the other end of a guest's wire.
//!
//! The interface exists, persistently: whoever made it decides what is on the host's side of it, and removes it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use devices::net::header::HEADER_BYTES;
use devices::net::{Link, Offloads};
use vmm_sys_util::ioctl::{ioctl_with_ref, ioctl_with_val};

/// `_IOW('T', 208, unsigned int)` (linux/if_tun.h).
const TUNSETOFFLOAD: u64 = 0x4004_54d0;
/// `_IOW('T', 216, int)`
const TUNSETVNETHDRSZ: u64 = 0x4004_54d8;

/// A TAP interface.
pub struct Tap(File);

impl Tap {
    /// The interface to which `file` is attached.
    ///
    /// # Errors
    /// Where it is no TAP interface.
    pub fn new(file: File) -> io::Result<Self> {
        let header_bytes = libc::c_int::try_from(HEADER_BYTES).map_err(io::Error::other)?;
        // SAFETY: the kernel reads an integer that outlives the call.
        done(unsafe { ioctl_with_ref(&file, TUNSETVNETHDRSZ, &header_bytes) })?;
        Ok(Self(file))
    }
}

impl Link for Tap {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn set_offloads(&self, offloads: Offloads) -> io::Result<()> {
        let wanted = [
            (offloads.checksum, libc::TUN_F_CSUM),
            (offloads.tso4, libc::TUN_F_TSO4),
            (offloads.tso6, libc::TUN_F_TSO6),
            (offloads.ecn, libc::TUN_F_TSO_ECN),
        ];
        // The kernel takes none of the others without the first (drivers/net/tun.c, `set_offload`).
        let flags = wanted
            .iter()
            .filter(|(is_wanted, _)| *is_wanted && offloads.checksum)
            .fold(0, |flags, (_, flag)| flags | flag);
        // SAFETY: this request's argument is the number itself.
        done(unsafe { ioctl_with_val(&self.0, TUNSETOFFLOAD, flags.into()) })
    }
}

fn done(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
