//! The system calls by which a process confines itself, for which there is no safe interface that does not do more.

use std::io;
use std::os::fd::RawFd;

use libc::{c_int, c_long, c_ulong};

/// Of the capabilities (Linux, `include/uapi/linux/capability.h`), none.
pub const NO_CAPABILITY: u64 = 0;

/// `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_FSETID`, `CAP_SETFCAP`: to act on files for any owner.
pub const FOR_ANY_OWNER: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31;

/// `_LINUX_CAPABILITY_VERSION_3`: two words for each set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Threads of vCPUs allocate little.
#[cfg(target_env = "gnu")]
const ARENAS_MAX: c_int = 4;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    process: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Enters the namespace behind an inherited descriptor, and closes that.
pub fn enter_namespace(namespace: RawFd) -> io::Result<()> {
    // SAFETY: the call touches no memory; of whatever kind the namespace is, the process has one thread and loses only what it gives up.
    succeeded(unsafe { libc::syscall(libc::SYS_setns, c_long::from(namespace), 0) })?;
    // SAFETY: whoever started this process has given it the descriptor for this purpose alone; nothing here refers to it.
    succeeded(unsafe { libc::syscall(libc::SYS_close, c_long::from(namespace)) })
}

/// Bounds a resource for good, to no more than what it is bounded to already.
pub fn limit(resource: u32, most: u64) -> io::Result<()> {
    let mut now = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let resource = c_long::from(resource);
    // SAFETY: the structure is the call's, and outlives it.
    succeeded(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, 0, &raw mut now) })?;
    let most = most.min(now.rlim_max);
    let new = libc::rlimit64 {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: as before.
    succeeded(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const new, 0) })
}

/// Becomes another user and group, in no further group; capabilities that are to be `kept` are not lost by it.
// By the calls themselves: the C library's would do it for other threads, of which there are none.
pub fn become_user(user: u32, kept: u64) -> io::Result<()> {
    let user = c_long::from(user);
    // SAFETY: none of these calls touches memory.
    unsafe {
        if kept != NO_CAPABILITY {
            succeeded(libc::syscall(libc::SYS_prctl, libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
        }
        succeeded(libc::syscall(libc::SYS_setgroups, 0, 0))?;
        succeeded(libc::syscall(libc::SYS_setresgid, user, user, user))?;
        succeeded(libc::syscall(libc::SYS_setresuid, user, user, user))
    }
}

/// No program that this process executes gets a capability again, from its file or because root executes it. For this it takes `CAP_SETPCAP`.
pub fn empty_bounding_set() -> io::Result<()> {
    for capability in 0.. {
        // SAFETY: the option touches no memory.
        match succeeded(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            // The kernel has no more than those before.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            dropped => dropped?,
        }
    }
    Ok(())
}

/// Gives up all capabilities but those, of which the process may have none.
pub fn keep_capabilities(kept: u64) -> io::Result<()> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        process: 0,
    };
    let mut words = [CapabilityWord {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    if kept != NO_CAPABILITY {
        // SAFETY: both structures are the call's, of the lengths that the version says, and outlive it.
        succeeded(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) })?;
    }
    for (word, kept) in words.iter_mut().zip([kept & 0xffff_ffff, kept >> 32]) {
        word.permitted &= u32::try_from(kept).unwrap_or(0);
        word.effective = word.permitted;
        word.inheritable = 0;
    }
    // SAFETY: as before.
    succeeded(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) })
}

/// The C library's allocator is content with so many arenas. Left alone, it opens a file to count the host's CPUs once there are many threads.
pub fn bound_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the option touches no memory of ours. Where it is refused, nothing is lost before there are many threads.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX) };
}

/// No program that this process executes gets more rights, and no other process of the same user looks into this one.
pub fn seal_process() -> io::Result<()> {
    for (option, value) in [(libc::PR_SET_NO_NEW_PRIVS, 1), (libc::PR_SET_DUMPABLE, 0)] {
        // SAFETY: these options touch no memory.
        succeeded(unsafe { libc::syscall(libc::SYS_prctl, option, value, 0, 0, 0) })?;
    }
    Ok(())
}

/// The raw call of Landlock `number` with these arguments, which are numbers or pointers to what outlives it.
///
/// # Safety
/// The pointers must be those that the call expects.
pub unsafe fn landlock(number: c_long, arguments: [c_ulong; 4]) -> io::Result<c_int> {
    let [first, second, third, fourth] = arguments;
    // SAFETY: the caller's.
    let answer = unsafe { libc::syscall(number, first, second, third, fourth) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    c_int::try_from(answer).map_err(io::Error::other)
}

fn succeeded(answer: c_long) -> io::Result<()> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
