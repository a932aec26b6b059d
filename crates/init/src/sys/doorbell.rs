//! The doorbell: the I/O port by which the guest agent tells the VMM what it did.

use std::arch::asm;
use std::io;

use protocol::guest::DOORBELL_PORT;

use super::check;

/// Bytes of I/O port space that a four-byte access covers.
const PORT_LEN: libc::c_ulong = 4;

/// The right to ring. There is no other way to make one than [`Doorbell::open`].
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
        let bitmap: u32;
        // SAFETY: as for `ring`; reading the port changes nothing but the register.
        unsafe {
            asm!("in eax, dx", in("dx") DOORBELL_PORT, out("eax") bitmap, options(nomem, nostack, preserves_flags));
        }
        bitmap
    }
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
    check(unsafe { libc::ioperm(DOORBELL_PORT.into(), PORT_LEN, access.into()) })?;
    Ok(())
}
