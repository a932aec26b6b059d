//! A TAP interface of the host as the other end of a guest's wire.
//!
//! The interface exists, persistently: whoever made it decides what is on the host's side of it, and removes it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use devices::net::header::HEADER_BYTES;
use devices::net::{Link, Offloads};
use nix::net::if_::if_nametoindex;
use vmm_sys_util::ioctl::{ioctl_with_ref, ioctl_with_val};

/// Where descriptors of TAP interfaces come from.
const TUN: &str = "/dev/net/tun";

/// `_IOW('T', 202, int)` (linux/if_tun.h).
const TUNSETIFF: u64 = 0x4004_54ca;
/// `_IOW('T', 208, unsigned int)`
const TUNSETOFFLOAD: u64 = 0x4004_54d0;
/// `_IOW('T', 216, int)`
const TUNSETVNETHDRSZ: u64 = 0x4004_54d8;

/// A TAP interface.
pub struct Tap(File);

/// Opens the interface `name`.
///
/// # Errors
/// Where it does not exist, is no TAP interface, is in use, or may not be used.
pub fn open(name: &str) -> io::Result<Tap> {
    // The request below would make an interface that is not there.
    if_nametoindex(name)?;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(TUN)?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: libc::c_short::try_from(flags).map_err(io::Error::other)?,
        },
    };
    // An interface that exists has a name that fits, with the zero behind it.
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    // SAFETY: the request is an `ifreq` that outlives the call; the kernel reads its name and flags, and writes the name.
    done(unsafe { ioctl_with_ref(&file, TUNSETIFF, &request) })?;
    let header_bytes = libc::c_int::try_from(HEADER_BYTES).map_err(io::Error::other)?;
    // SAFETY: the kernel reads an integer that outlives the call.
    done(unsafe { ioctl_with_ref(&file, TUNSETVNETHDRSZ, &header_bytes) })?;
    Ok(Tap(file))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_not_made() {
        let error = open("mote-none").map(drop).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
