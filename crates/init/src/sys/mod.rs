//! What the kernel offers and no safe crate wraps: the only unsafe code of the guest agent, one file per topic.

pub mod bpf;
pub mod doorbell;
pub mod ioctl;
pub mod process;
pub mod signal;
pub mod vsock;

use std::io;

/// Turns a C return value below zero into the error it left in `errno`.
fn check(returned: impl Into<i64>) -> io::Result<i64> {
    let returned = returned.into();
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}
