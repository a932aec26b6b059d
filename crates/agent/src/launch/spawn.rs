//! A process that is born where it belongs: in its control group and its own namespace of processes.
//!
//! `posix_spawn` has neither, and whoever moves a process later waits for the kernel's lock on all forks. What happens here is the same otherwise:
//! the child shares our memory and this thread waits until it executes (`CLONE_VFORK`), so nothing is copied.

use std::arch::asm;
use std::ffi::{CString, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;

use libc::{
    CLONE_NEWPID, CLONE_PIDFD, CLONE_VFORK, CLONE_VM, F_SETFD, SIG_SETMASK, SIGCHLD, c_char, c_int, c_long, sigset_t,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Linux, `include/uapi/linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Room for the child's few calls, in bytes.
const STACK_LEN: usize = 16 << 10;

/// What the child ends with where it cannot execute; its parent has learned why.
const NOT_EXECUTED: c_int = 127;

/// A process to be.
pub struct Birth {
    /// The program, executed without an environment.
    pub program: CString,
    /// Its only argument.
    pub argument: CString,
    /// Its standard input, output and error.
    pub standard: [OwnedFd; 3],
    /// What it inherits beside, under the same numbers.
    pub inherited: Vec<Arc<OwnedFd>>,
    /// Its control group; this process's where absent, and where the system knows no such birth.
    pub cgroup: Option<OwnedFd>,
    /// Whether it is the first process of a namespace of its own, and sees no other one.
    pub is_alone: bool,
}

/// A process that was born.
pub struct Born {
    /// Its number.
    pub id: u32,
    /// What it is waited for by.
    pub descriptor: OwnedFd,
    /// Whether it was born into its control group.
    pub is_in_cgroup: bool,
}

/// `struct clone_args` (Linux, `include/uapi/linux/sched.h`).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What the child needs, in memory that it shares with its parent.
struct Plan<'a> {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    standard: [RawFd; 3],
    inherited: &'a [Arc<OwnedFd>],
    mask: sigset_t,
    /// Why it could not execute.
    error: c_int,
}

/// Has the process born, and its program executed.
///
/// # Errors
/// The system's. There is no process then.
pub fn bear(birth: &Birth) -> io::Result<Born> {
    if let Some(cgroup) = &birth.cgroup {
        match bear_into(birth, Some(cgroup)) {
            // A kernel that knows no such birth (before Linux 5.7).
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (),
            born => return born,
        }
    }
    bear_into(birth, None)
}

fn bear_into(birth: &Birth, cgroup: Option<&OwnedFd>) -> io::Result<Born> {
    let arguments = [birth.program.as_ptr(), birth.argument.as_ptr(), ptr::null()];
    let environment = [ptr::null()];
    let mut plan = Plan {
        program: birth.program.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        standard: birth.standard.each_ref().map(AsRawFd::as_raw_fd),
        inherited: &birth.inherited,
        mask: mask_everything(),
        error: 0,
    };
    // A multiple of what a stack is aligned to.
    let mut stack = Vec::<u128>::with_capacity(STACK_LEN / size_of::<u128>());
    let mut descriptor: c_int = -1;
    let mut flags = [CLONE_VM, CLONE_VFORK, CLONE_PIDFD]
        .iter()
        .fold(0, |all, flag| all | u64::from(flag.cast_unsigned()));
    if birth.is_alone {
        flags |= u64::from(CLONE_NEWPID.cast_unsigned());
    }
    let mut call = CloneArguments {
        flags,
        pidfd: (&raw mut descriptor) as u64,
        exit_signal: u64::from(SIGCHLD.cast_unsigned()),
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK_LEN as u64,
        ..CloneArguments::default()
    };
    if let Some(cgroup) = cgroup {
        call.flags |= CLONE_INTO_CGROUP;
        call.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: the stack is the child's alone, and long enough; all that the plan points to outlives the child's use of it, since this thread
    // waits until the child has executed or ended; no signal's handler runs in between.
    let answer = unsafe { clone_into(&call, (&raw mut plan).cast()) };
    restore(&plan.mask);
    let id = u32::try_from(answer)
        .map_err(|_| io::Error::from_raw_os_error(c_int::try_from(-answer).unwrap_or(libc::EIO)))?;
    // SAFETY: the call has succeeded, and so has made this descriptor, which has no other owner.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    if plan.error == 0 {
        let is_in_cgroup = cgroup.is_some();
        return Ok(Born {
            id,
            descriptor,
            is_in_cgroup,
        });
    }
    // It has ended, and is ours to be reaped.
    let _ = waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED);
    Err(io::Error::from_raw_os_error(plan.error))
}

/// Makes the child, which begins with [`child`] on the stack that `call` names.
///
/// # Safety
/// As [`bear`] says where it calls it.
unsafe fn clone_into(call: &CloneArguments, plan: *mut c_void) -> c_long {
    let answer: c_long;
    // SAFETY: the parent goes on behind the call with its own stack and all its registers; the child has an empty stack, and never comes back.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => answer,
            in("rdi") ptr::from_ref(call),
            in("rsi") size_of::<CloneArguments>(),
            in("r12") plan,
            in("r13") child as extern "C" fn(*mut c_void) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer
}

/// The child, from its first instruction to its program's: calls of the system alone, since its memory is another process's.
extern "C" fn child(plan: *mut c_void) -> ! {
    // SAFETY: it is the plan of `bear`, which waits.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    // SAFETY: the calls get numbers, and pointers to what outlives them. Descriptors that are inherited are above the standard ones.
    unsafe {
        // In a process group of its own: Ctrl-C on the host agent is not for it.
        libc::setpgid(0, 0);
        for (to, from) in (0..).zip(plan.standard) {
            libc::dup2(from, to);
        }
        for descriptor in plan.inherited {
            libc::fcntl(descriptor.as_raw_fd(), F_SETFD, 0);
        }
        libc::sigprocmask(SIG_SETMASK, &raw const plan.mask, ptr::null_mut());
        libc::execve(plan.program, plan.arguments, plan.environment);
        plan.error = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        libc::_exit(NOT_EXECUTED)
    }
}

/// Keeps all signals from the calling thread; which ones were before.
fn mask_everything() -> sigset_t {
    let mut all = MaybeUninit::<sigset_t>::uninit();
    let mut before = MaybeUninit::<sigset_t>::zeroed();
    // SAFETY: the first call fills the one set, and the second one reads it and fills the other.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn restore(mask: &sigset_t) {
    // SAFETY: the set was filled by the system.
    unsafe { libc::pthread_sigmask(SIG_SETMASK, mask, ptr::null_mut()) };
}
