//! The doorbell: the I/O port by which the guest agent tells the VMM what it did; and beside it the host's clock.

use std::arch::asm;
use std::io;

use protocol::guest::{CLOCK_PORT, DOORBELL_PORT};

use super::check;

/// Bytes of I/O port space that four-byte accesses to both ports cover: one lies behind the other.
const PORTS_LEN: libc::c_ulong = 8;

/// The right to ring, and to ask for the time. There is no other way to make one than [`Doorbell::open`].
#[derive(Debug)]
pub struct Doorbell(());

impl Doorbell {
    /// Asks the kernel for access to the doorbell's port.
    ///
    /// # Errors
    /// The kernel's, without `CAP_SYS_RAWIO` or `CONFIG_X86_IOPL_IOPERM`.
    pub fn open() -> io::Result<Self> {
        allow(true)?;
        Ok(Self(()))
    }

    /// Tells the VMM that `act` happened. The vCPU may be stopped at this very instruction.
    pub fn ring(&self, act: u32) {
        // SAFETY: the port belongs to the VMM, which reads and writes no guest memory for it; `open` made the access legal.
        unsafe {
            asm!("out dx, eax", in("dx") DOORBELL_PORT, in("eax") act, options(nomem, nostack, preserves_flags));
        }
    }

    /// Waits until the microVM has its shape, and gives the bitmap of the plugged slots.
    pub fn plugged_slots(&self) -> u32 {
        read(DOORBELL_PORT)
    }

    /// The host's wall clock, in nanoseconds since the Unix epoch: as it was before `between`, which is done on the way.
    pub fn wall_clock_ns<T>(&self, between: impl FnOnce() -> T) -> (u64, T) {
        let lower = read(CLOCK_PORT);
        let done = between();
        (u64::from(read(CLOCK_PORT)) << 32 | u64::from(lower), done)
    }
}

/// Reads a port of the VMM's, to which a [`Doorbell`] is the right.
fn read(port: u16) -> u32 {
    let value: u32;
    // SAFETY: the port belongs to the VMM, which reads and writes no guest memory for it, and reading it changes nothing but the register; it
    // is called from the methods of what `open` made, which made the access legal.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// Gives up the access that this process has from the guest agent, which would outlast even `execve`.
///
/// # Errors
/// The kernel's.
pub fn renounce() -> io::Result<()> {
    allow(false)
}

fn allow(access: bool) -> io::Result<()> {
    // SAFETY: ioperm changes which port accesses fault and touches no memory.
    check(unsafe { libc::ioperm(DOORBELL_PORT.into(), PORTS_LEN, access.into()) })?;
    Ok(())
}
