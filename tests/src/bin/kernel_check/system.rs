//! The system calls that the checks make, each behind a function that cannot be misused.

use std::arch::asm;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use protocol::guest::DOORBELL_PORT;

fn result(returned: c_long) -> io::Result<c_long> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

fn descriptor(returned: c_long) -> io::Result<OwnedFd> {
    let number = RawFd::try_from(result(returned)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor as a new one, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes system call `number` with small numbers alone, to see whether it is there.
pub fn probe(number: c_long, arguments: [u16; 5]) -> io::Result<c_long> {
    let [a, b, c, d, e] = arguments.map(c_long::from);
    // SAFETY: no address fits in 16 bits (vm.mmap_min_addr is 65536), so the kernel can touch no memory of ours.
    result(unsafe { libc::syscall(number, a, b, c, d, e, 0) })
}

/// mount(2).
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, data: &CStr) -> io::Result<()> {
    let data = data.as_ptr().cast::<c_void>();
    // SAFETY: four strings that live through the call.
    result(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, data) }.into()).map(drop)
}

/// setxattr(2).
pub fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> io::Result<()> {
    let bytes = value.as_ptr().cast::<c_void>();
    // SAFETY: two strings, and a value of the length that is given with it.
    result(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), bytes, value.len(), 0) }.into()).map(drop)
}

/// unshare(2) for the calling thread.
pub fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: takes a number; the namespaces of a thread are no memory of ours.
    result(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// socket(2).
pub fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers alone.
    descriptor(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }.into())
}

/// Sends `message` to the kernel and returns its first answer, at most 4 KiB of it.
pub fn exchange(socket: &OwnedFd, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; 4096];
    // SAFETY: a buffer and its own length.
    result(unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) } as c_long)?;
    // SAFETY: a buffer and its own length.
    let length =
        result(unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) } as c_long)?;
    answer.truncate(usize::try_from(length).map_err(io::Error::other)?);
    Ok(answer)
}

/// getsockopt(2) with a buffer that is read and written.
pub fn socket_option(socket: &OwnedFd, level: c_int, option: c_int, value: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    let bytes = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel writes at most `length` bytes, which is the buffer's own length.
    result(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, bytes, &raw mut length) }.into()).map(drop)
}

/// io_uring_setup(2) with default parameters.
pub fn io_uring(entries: u32) -> io::Result<OwnedFd> {
    // struct io_uring_params is 120 bytes of numbers.
    let mut parameters = [0_u64; 15];
    // SAFETY: the kernel reads and fills the parameters, which are as long as it expects.
    descriptor(unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, parameters.as_mut_ptr()) })
}

/// Puts the calling thread under a seccomp filter that allows everything.
pub fn allow_by_seccomp() -> io::Result<()> {
    let mut filter = [libc::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: one instruction, as the program's length says; the kernel copies both before it returns.
    result(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }).map(drop)
}

/// A BPF program that may decide about a cgroup's devices, and allows them all.
pub fn load_device_program() -> io::Result<OwnedFd> {
    const CGROUP_DEVICE: u32 = 15;
    const RETURN_ONE: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];
    let license: &CStr = c"Apache-2.0";
    // union bpf_attr of BPF_PROG_LOAD: type and instruction count, instructions, license.
    let attributes = [
        u64::from(CGROUP_DEVICE) | (RETURN_ONE.len() as u64) << 32,
        RETURN_ONE.as_ptr() as u64,
        license.as_ptr() as u64,
    ];
    // SAFETY: the addresses are those of constants, with the count that belongs to them.
    descriptor(unsafe { libc::syscall(libc::SYS_bpf, 5, attributes.as_ptr(), size_of_val(&attributes)) })
}

/// Lets `program` decide about the devices of `cgroup`.
pub fn attach_device_program(cgroup: &impl AsRawFd, program: &OwnedFd) -> io::Result<()> {
    const CGROUP_DEVICE: c_int = 6;
    let attributes: [c_int; 4] = [cgroup.as_raw_fd(), program.as_raw_fd(), CGROUP_DEVICE, 0];
    // SAFETY: the kernel reads four numbers, two of them open descriptors.
    result(unsafe { libc::syscall(libc::SYS_bpf, 8, attributes.as_ptr(), size_of_val(&attributes)) }).map(drop)
}

/// mq_open(3) of a queue that may not exist yet, without the C library's rules on names.
pub fn message_queue(name: &CStr) -> io::Result<OwnedFd> {
    let attributes: *const c_char = std::ptr::null();
    let flags = libc::O_CREAT | libc::O_RDWR;
    // SAFETY: a string that lives through the call, and no attributes.
    descriptor(unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0o600, attributes) })
}

/// Connects to the host over vsock.
pub fn connect_to_host(port: u32) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)?;
    // SAFETY: a structure of plain numbers, for which zero is a value.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::sa_family_t::try_from(libc::AF_VSOCK).map_err(io::Error::other)?;
    address.svm_cid = libc::VMADDR_CID_HOST;
    address.svm_port = port;
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: an address and its own length; the kernel copies it.
    result(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) }.into())?;
    Ok(socket)
}

/// The right to ring the doorbell.
pub struct Doorbell(());

impl Doorbell {
    /// Asks the kernel for access to the doorbell's port.
    pub fn open() -> io::Result<Self> {
        const PORT_LEN: libc::c_ulong = 4;
        // SAFETY: changes which port accesses fault, and touches no memory.
        result(unsafe { libc::ioperm(DOORBELL_PORT.into(), PORT_LEN, 1) }.into())?;
        Ok(Self(()))
    }

    /// Tells the VMM that `act` happened.
    pub fn ring(&self, act: u32) {
        // SAFETY: the VMM changes no memory for it; `open` made the access legal.
        unsafe {
            asm!("out dx, eax", in("dx") DOORBELL_PORT, in("eax") act, options(nomem, nostack, preserves_flags));
        }
    }

    /// The bitmap of the plugged slots.
    pub fn plugged_slots(&self) -> u32 {
        let bitmap: u32;
        // SAFETY: as for `ring`; nothing but the register changes.
        unsafe {
            asm!("in eax, dx", in("dx") DOORBELL_PORT, out("eax") bitmap, options(nomem, nostack, preserves_flags));
        }
        bitmap
    }
}

/// Ends the machine: its monitor sees a reset.
pub fn reset_machine() -> io::Result<()> {
    // SAFETY: takes a number, and ends everything.
    result(unsafe { libc::reboot(libc::RB_AUTOBOOT) }.into()).map(drop)
}
