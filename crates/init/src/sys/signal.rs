//! Signals: taken through a descriptor by the guest agent, reset for the processes it starts.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;

use super::check;

/// The highest signal number of Linux.
const SIGNAL_MAX: libc::c_int = 64;

/// Holds `SIGCHLD` back and gives a descriptor that becomes readable when one is waiting.
///
/// # Errors
/// The kernel's.
pub fn child_signals() -> io::Result<OwnedFd> {
    let mut signals = empty_set();
    // SAFETY: the set is initialised and SIGCHLD is a signal.
    check(unsafe { libc::sigaddset(&raw mut signals, libc::SIGCHLD) })?;
    // SAFETY: the set is initialised; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut()) })?;
    // SAFETY: the set is initialised; -1 asks for a new descriptor.
    let descriptor = check(unsafe { libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Takes all waiting signals off `signals`, so that it becomes readable only for the next.
///
/// # Errors
/// The kernel's.
pub fn drain(signals: &OwnedFd) -> io::Result<()> {
    let mut records = [0; 16 * size_of::<libc::signalfd_siginfo>()];
    loop {
        match rustix::io::read(signals, &mut records) {
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives every signal its default effect and holds none back, as a new program expects it.
///
/// # Errors
/// The kernel's.
pub fn reset() -> io::Result<()> {
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: the default effect installs no code. SIGKILL, SIGSTOP and the C library's own two refuse; they are at their defaults.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = empty_set();
    // SAFETY: the set is initialised; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) })?;
    Ok(())
}

/// Holds every signal back, to be taken with [`wait`].
///
/// # Errors
/// The kernel's.
pub fn hold_all() -> io::Result<()> {
    let all = full_set();
    // SAFETY: the set is initialised; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) })?;
    Ok(())
}

/// Waits for a signal that is held back, and takes it.
///
/// # Errors
/// The kernel's.
pub fn wait() -> io::Result<u8> {
    let all = full_set();
    // SAFETY: the set is initialised; what else is known of the signal is not asked for.
    let signal = check(unsafe { libc::sigwaitinfo(&raw const all, ptr::null_mut()) })?;
    u8::try_from(signal).map_err(io::Error::other)
}

/// The signal that tells of a child.
pub const CHILD: u8 = 17;

/// Sends `signal` to `process`.
///
/// # Errors
/// The kernel's: no such signal or process.
pub fn send(process: Pid, signal: u8) -> io::Result<()> {
    // SAFETY: a signal to another process touches no memory of this one.
    check(unsafe { libc::kill(process.as_raw_nonzero().get(), signal.into()) })?;
    Ok(())
}

/// Sends `signal` to all processes of the group that `process` leads, or to it alone where it does not lead one yet.
///
/// # Errors
/// The kernel's: no such signal or process.
pub fn send_to_group(process: Pid, signal: u8) -> io::Result<()> {
    // SAFETY: as for `send`.
    match check(unsafe { libc::kill(-process.as_raw_nonzero().get(), signal.into()) }) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => send(process, signal),
        other => other.map(drop),
    }
}

/// Kills every process but the guest agent itself (PID 1).
pub fn kill_all() {
    // SAFETY: as for `send`. That there is nobody left to kill is no failure.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// The set of all signals.
fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: the set is ours and writable.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

/// The set of no signals.
fn empty_set() -> libc::sigset_t {
    // SAFETY: `sigset_t` is an array of integers, for which zero is a value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours and writable.
    unsafe { libc::sigemptyset(&raw mut set) };
    set
}
