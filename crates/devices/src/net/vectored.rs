//! Frames between a descriptor and guest memory, without a copy in between.
//!
//! One of the few files with `unsafe`: guest memory cannot be lent as a Rust slice, since the guest may change it at
//! any time, so its address goes to the system as it is.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use vm_memory::VolatileSlice;

/// The most stretches of guest memory of one call; with the host's own there are no more than `IOV_MAX`.
pub(super) const STRETCHES_MAX: usize = 1023;

/// Reads one frame into `into`, of which the first [`STRETCHES_MAX`] count, and what does not fit there into `rest`.
pub(super) fn read(
    descriptor: BorrowedFd<'_>,
    into: &[VolatileSlice<'_>],
    rest: &mut [u8],
    vectors: &mut Vectors,
) -> io::Result<usize> {
    vectors.clear();
    vectors.add_guest(into);
    vectors.add(rest.as_mut_ptr(), rest.len());
    retry(|| {
        // SAFETY: each vector is the address and length of a slice that is borrowed for the whole call: guest memory, which may be
        // written by anybody at any time, and `rest`, which is ours alone. The kernel reads the vectors only.
        unsafe { libc::readv(descriptor.as_raw_fd(), vectors.all.as_ptr(), vectors.count()) }
    })
}

/// Writes `header` and `from`, of which the first [`STRETCHES_MAX`] count, as one frame.
pub(super) fn write(
    descriptor: BorrowedFd<'_>,
    header: &[u8],
    from: &[VolatileSlice<'_>],
    vectors: &mut Vectors,
) -> io::Result<usize> {
    vectors.clear();
    vectors.add(header.as_ptr().cast_mut(), header.len());
    vectors.add_guest(from);
    retry(|| {
        // SAFETY: each vector is the address and length of a slice that is borrowed for the whole call; the kernel reads the
        // vectors and the memory only.
        unsafe { libc::writev(descriptor.as_raw_fd(), vectors.all.as_ptr(), vectors.count()) }
    })
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Stretches of memory as the kernel takes them; kept so that their room is.
#[derive(Default)]
pub(super) struct Vectors {
    all: Vec<libc::iovec>,
}

// SAFETY: the addresses in it are used by the call that puts them there, and never again.
unsafe impl Send for Vectors {}

impl Vectors {
    fn clear(&mut self) {
        self.all.clear();
    }

    fn add(&mut self, address: *mut u8, bytes: usize) {
        self.all.push(libc::iovec {
            iov_base: address.cast(),
            iov_len: bytes,
        });
    }

    fn add_guest(&mut self, slices: &[VolatileSlice<'_>]) {
        for slice in slices.iter().take(STRETCHES_MAX) {
            self.add(slice.ptr_guard_mut().as_ptr(), slice.len());
        }
    }

    fn count(&self) -> libc::c_int {
        libc::c_int::try_from(self.all.len()).unwrap_or(libc::c_int::MAX)
    }
}
