//! Positioned reads and writes between a file and guest memory, without a copy in between.
//!
//! One of the few files with `unsafe`: guest memory cannot be lent as a Rust slice, since the guest may change it at
//! any time, so its address goes to the system as it is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use vm_memory::VolatileSlice;

use crate::ring::buffers::Span;

/// The most stretches of one system call (`IOV_MAX`).
const STRETCHES_MAX: usize = 1024;

/// Fills all of `into` with what is stored at `offset`.
pub(super) fn read_exact_at(file: &File, offset: u64, into: &Span<'_>) -> io::Result<()> {
    transfer_all(offset, into, io::ErrorKind::UnexpectedEof, |offset, slices| {
        let vectors = Vectors::of(slices);
        // SAFETY: each vector is the address and length of a slice that is borrowed for the whole call, so the
        // memory is mapped and may be written by anybody at any time; the kernel reads the vectors only.
        unsafe { libc::preadv(file.as_raw_fd(), vectors.all.as_ptr(), vectors.count, offset) }
    })
}

/// Stores all of `from` at `offset`.
pub(super) fn write_all_at(file: &File, offset: u64, from: &Span<'_>) -> io::Result<()> {
    transfer_all(offset, from, io::ErrorKind::WriteZero, |offset, slices| {
        let vectors = Vectors::of(slices);
        // SAFETY: each vector is the address and length of a slice that is borrowed for the whole call, so the
        // memory is mapped; the kernel reads the vectors and the memory only.
        unsafe { libc::pwritev(file.as_raw_fd(), vectors.all.as_ptr(), vectors.count, offset) }
    })
}

/// Repeats `transfer` until all of `span` is done. `nothing` is the error for a call that transfers no byte.
fn transfer_all(
    offset: u64,
    span: &Span<'_>,
    nothing: io::ErrorKind,
    transfer: impl Fn(libc::off_t, &[VolatileSlice<'_>]) -> isize,
) -> io::Result<()> {
    let mut rest = span.clone();
    let mut at = offset;
    while !rest.is_empty() {
        let place = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let slices = rest.slices();
        match usize::try_from(transfer(place, &slices[..slices.len().min(STRETCHES_MAX)])) {
            Ok(0) => return Err(nothing.into()),
            Ok(count) => {
                at += count as u64;
                rest = rest.split_at(count).1;
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Slices as the kernel takes them.
struct Vectors {
    all: Vec<libc::iovec>,
    count: libc::c_int,
}

impl Vectors {
    /// Of at most [`STRETCHES_MAX`] slices, so that the count fits.
    fn of(slices: &[VolatileSlice<'_>]) -> Self {
        let all: Vec<_> = slices
            .iter()
            .map(|slice| libc::iovec {
                iov_base: slice.ptr_guard_mut().as_ptr().cast(),
                iov_len: slice.len(),
            })
            .collect();
        let count = libc::c_int::try_from(all.len()).unwrap_or(libc::c_int::MAX);
        Self { all, count }
    }
}
