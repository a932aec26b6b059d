//! Landlock (Linux, `userspace-api/landlock.rst`): a file system out of reach, whatever user this process is and wherever its root.
//!
//! Where the kernel has it not, nothing is lost but this second wall: the root is empty, and opening a file is no system call that is allowed.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use libc::{SYS_landlock_add_rule, SYS_landlock_create_ruleset, SYS_landlock_restrict_self, c_ulong};

use super::system::landlock;

/// `LANDLOCK_CREATE_RULESET_VERSION`: asks what the kernel knows.
const ASK_VERSION: c_ulong = 1;

/// `LANDLOCK_RULE_PATH_BENEATH`
const BENEATH: c_ulong = 1;

/// Everything that can be done with files and directories, in each version.
const FILES: [u64; 6] = [
    (1 << 13) - 1,
    (1 << 14) - 1,
    (1 << 15) - 1,
    (1 << 15) - 1,
    (1 << 16) - 1,
    (1 << 16) - 1,
];

/// The version that knows TCP connections, and what can be done with them: to listen and to connect.
const NETWORK_FROM: usize = 4;
const NETWORK: u64 = 0b11;

/// The version that knows what reaches beyond the confined processes: abstract sockets and signals.
const SCOPES_FROM: usize = 6;
const SCOPES: u64 = 0b11;

/// `struct landlock_ruleset_attr`
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scopes: u64,
}

/// `struct landlock_path_beneath_attr`
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// Nothing is to be reached any more.
pub fn deny_everything() -> io::Result<()> {
    allow_below(&[] as &[OwnedFd])
}

/// What is below these directories is all that is to be reached.
pub fn allow_below(directories: &[impl AsFd]) -> io::Result<()> {
    // SAFETY: without a structure, the call has no pointer.
    let version = match unsafe { landlock(SYS_landlock_create_ruleset, [0, 0, ASK_VERSION, 0]) } {
        Ok(version) => usize::try_from(version).unwrap_or(0),
        // A kernel without it, or one that was started without it.
        Err(error) if [Some(libc::ENOSYS), Some(libc::EOPNOTSUPP)].contains(&error.raw_os_error()) => return Ok(()),
        Err(error) => return Err(error),
    };
    let files = FILES[version.clamp(1, FILES.len()) - 1];
    let ruleset = Ruleset {
        files,
        network: if version >= NETWORK_FROM { NETWORK } else { 0 },
        scopes: if version >= SCOPES_FROM { SCOPES } else { 0 },
    };
    let arguments = [&raw const ruleset as c_ulong, size_of::<Ruleset>() as c_ulong, 0, 0];
    // SAFETY: the structure is the call's, of this length, and outlives it; members that an older kernel does not know are zero.
    let descriptor = unsafe { landlock(SYS_landlock_create_ruleset, arguments) }?;
    // SAFETY: the descriptor was just made, and has no other owner.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let number = c_ulong::try_from(descriptor.as_raw_fd()).map_err(io::Error::other)?;
    for directory in directories {
        let rule = PathBeneath {
            allowed: files,
            parent: directory.as_fd().as_raw_fd(),
        };
        // SAFETY: the structure is the call's, and outlives it.
        unsafe { landlock(SYS_landlock_add_rule, [number, BENEATH, &raw const rule as c_ulong, 0]) }?;
    }
    // SAFETY: the call has no pointer.
    unsafe { landlock(SYS_landlock_restrict_self, [number, 0, 0, 0]) }.map(drop)
}
