//! Descriptors that are neither sockets nor pipes, watched for what they become ready for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has `descriptor` watched by the runtime that this is called in.
///
/// # Errors
/// Where the kernel does not watch such descriptors.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe for types that lie about their descriptor; an OwnedFd cannot"
)]
pub fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}
