//! What stands behind the guest's interface: a descriptor that gives and takes one frame per call.

use std::io;
use std::os::fd::BorrowedFd;

use crate::net::header::Offloads;

/// The other end of the guest's wire.
pub trait Link: Send + Sync {
    /// A non-blocking descriptor. Each read gives one frame behind a header of [`HEADER_BYTES`](crate::net::header::HEADER_BYTES), each
    /// write takes one, as a TAP interface does that was opened with `IFF_VNET_HDR`.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Takes note of what a frame that is read may leave to its reader.
    ///
    /// # Errors
    ///
    /// When the link cannot do without, or does not know it.
    fn set_offloads(&self, offloads: Offloads) -> io::Result<()>;
}
