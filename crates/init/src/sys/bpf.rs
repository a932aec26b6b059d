//! Loads a BPF program and attaches it to a cgroup as its device rules.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

// linux/bpf.h: commands, program type, attach type.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zero.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// The head of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct Attach {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    flags: u32,
}

/// Makes `program` decide about every opening and making of a device node by processes of `cgroup`.
///
/// # Errors
/// The kernel's: it refuses a program that is not well formed.
pub fn attach_device_rules(cgroup: BorrowedFd<'_>, program: &[u64]) -> io::Result<()> {
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: address_of(program.as_ptr().cast()),
        license: address_of(c"Apache-2.0".as_ptr().cast()),
    };
    // SAFETY: `load` and the instructions and the license it points to outlive the call.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of_val(&load)) };
    let descriptor = RawFd::try_from(check(loaded)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    let loaded = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let attach = Attach {
        target: cgroup.as_raw_fd(),
        program: loaded.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: `attach` outlives the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of_val(&attach)) })?;
    Ok(())
}

/// A pointer as the kernel's 64-bit interfaces take it.
fn address_of(pointer: *const u8) -> u64 {
    // usize is 64 bits wide on every architecture this runs on.
    u64::try_from(pointer.addr()).unwrap_or(0)
}
