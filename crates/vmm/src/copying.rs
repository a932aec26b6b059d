//! Copies pages of a template into a clone of it, many with one call.
//!
//! A page that is copied because it is written is looked for, copied and mapped by a page fault of its own. `userfaultfd` fills a range of
//! pages at half of that (Linux, `admin-guide/mm/userfaultfd.rst`); no fault is ever waited for with it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{MADV_POPULATE_WRITE, MAP_SHARED, O_CLOEXEC, PROT_READ, c_int};
use vm_memory::{GuestMemoryRegion, GuestRegionMmap};
use vmm_sys_util::ioctl::ioctl_with_mut_ref;
use vmm_sys_util::ioctl_iowr_nr;

use crate::memory;
use crate::x86_64::layout::Range;

/// The size of a page.
const PAGE_LEN: usize = 4096;

/// What follows is the system's (Linux, `include/uapi/linux/userfaultfd.h`).
const TYPE: u32 = 0xaa;
const API: u64 = 0xaa;
/// Faults of the kernel's own are not for the descriptor: so nobody needs a privilege for it.
const USER_MODE_ONLY: i32 = 1;
/// Pages that are missing are what it is about.
const MISSING: u64 = 1;
/// Pages that may not be written are what it is about.
const WRITE_PROTECTED: u64 = 2;
/// That this is known, of files in memory as well.
const WRITE_PROTECTION: u64 = 1 | 1 << 12;
/// Nobody waits for a page.
const WAKE_NOBODY: u64 = 1;

#[repr(C)]
struct Handshake {
    api: u64,
    features: u64,
    calls: u64,
}

#[repr(C)]
struct Registration {
    start: u64,
    bytes: u64,
    mode: u64,
    calls: u64,
}

#[repr(C)]
struct Copy {
    to: u64,
    from: u64,
    bytes: u64,
    mode: u64,
    copied: i64,
}

ioctl_iowr_nr!(UFFDIO_API, TYPE, 0x3f, Handshake);
ioctl_iowr_nr!(UFFDIO_REGISTER, TYPE, 0x00, Registration);
ioctl_iowr_nr!(UFFDIO_COPY, TYPE, 0x03, Copy);

/// Gives pages of a template to one clone.
pub struct Copier<'a> {
    region: &'a GuestRegionMmap,
    /// Nothing where the system copies page by page.
    filling: Option<Filling>,
}

/// How the system fills a region.
struct Filling {
    descriptor: OwnedFd,
    /// The template's memory, mapped for as long as this exists.
    template: *mut u8,
    len: usize,
}

impl<'a> Copier<'a> {
    /// Copies from `template` to `region`, which is a private mapping of it. Nothing else may use the region while this exists.
    pub fn new(template: &File, region: &'a GuestRegionMmap) -> Self {
        // Where the system has it not, or not for us, everything works and takes longer.
        let filling = Filling::of(template, region).ok();
        Self { region, filling }
    }

    /// Makes the pages from `offset` on the clone's own, with the content that they have. What is not inside the region is left alone.
    pub fn copy(&self, offset: u64, bytes: u64) {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.region.len());
        let (Ok(mut at), Some(Ok(end))) = (usize::try_from(offset), end.map(usize::try_from)) else {
            return;
        };
        while at < end {
            let filled = match &self.filling {
                Some(filling) => filling.fill(self.region, at, end - at),
                None => Filled::Refused,
            };
            let written = match filled {
                Filled::Bytes(bytes) => {
                    at += bytes;
                    continue;
                }
                Filled::Present => PAGE_LEN.min(end - at),
                Filled::Refused => end - at,
            };
            self.write(at, written);
            at += written;
        }
    }

    /// Lets the system do as if the `len` bytes from `at` on were written.
    fn write(&self, at: usize, len: usize) {
        let place = self.region.get_mmap().as_ptr().wrapping_add(at);
        // SAFETY: the pages lie inside the region's mapping, and are written with what they hold.
        // A host that does not do it in advance does it when the guest writes: the answer does not matter.
        let _ = unsafe { libc::madvise(place.cast(), len, MADV_POPULATE_WRITE) };
    }
}

/// What became of a range.
enum Filled {
    /// So much of its beginning, and more than nothing, is filled.
    Bytes(usize),
    /// The first page is there already, to be read or as the clone's own.
    Present,
    /// It has to be done in another way.
    Refused,
}

impl Filling {
    /// From `template` to `region`.
    fn of(template: &File, region: &GuestRegionMmap) -> io::Result<Self> {
        // While the descriptor is open, a page that is missing in the region cannot be had by touching it; nobody does.
        let descriptor = register(region, 0, MISSING)?;
        let range = Range {
            start: 0,
            bytes: region.len(),
        };
        let template = memory::map(range, PROT_READ, MAP_SHARED, template.as_raw_fd()).map_err(io::Error::other)?;
        let len = usize::try_from(region.len()).map_err(io::Error::other)?;
        Ok(Self {
            descriptor,
            template,
            len,
        })
    }

    /// Fills the `len` bytes from `at` on, which lie inside the region.
    fn fill(&self, region: &GuestRegionMmap, at: usize, len: usize) -> Filled {
        let mut call = Copy {
            to: region.get_mmap().as_ptr().wrapping_add(at) as u64,
            from: self.template.wrapping_add(at) as u64,
            bytes: len as u64,
            mode: WAKE_NOBODY,
            copied: 0,
        };
        // SAFETY: the structure is the call's, and outlives it. Source and destination have this length, and what is filled reads as before.
        match succeeded(unsafe { ioctl_with_mut_ref(&self.descriptor, UFFDIO_COPY(), &mut call) }) {
            Ok(()) => Filled::Bytes(len),
            Err(error) => match (error.raw_os_error(), usize::try_from(call.copied)) {
                (Some(libc::EEXIST), _) => Filled::Present,
                (Some(libc::EAGAIN), Ok(copied)) if copied > 0 => Filled::Bytes(copied),
                _ => Filled::Refused,
            },
        }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by this value, which alone refers to it.
        let _ = unsafe { libc::munmap(self.template.cast(), self.len) };
    }
}

/// As long as this exists, the system maps a region's pages one by one, each when it is touched, and none beside it: what is mapped is what was
/// touched. Nothing else is different: no page is write-protected.
#[derive(Debug)]
pub struct SinglePages(#[expect(dead_code, reason = "what counts is that it is open")] OwnedFd);

impl SinglePages {
    /// From now on, in `region`.
    ///
    /// # Errors
    /// Where the system has it not, or not for us.
    pub fn of(region: &GuestRegionMmap) -> io::Result<Self> {
        // Files' pages are not mapped around one another where somebody may wait for a write to each (Linux, `should_fault_around`).
        register(region, WRITE_PROTECTION, WRITE_PROTECTED).map(Self)
    }
}

/// A descriptor for faults of this `mode` in `region`.
fn register(region: &GuestRegionMmap, features: u64, mode: u64) -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory.
    let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY) };
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and has no other owner.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let mut handshake = Handshake {
        api: API,
        features,
        calls: 0,
    };
    // SAFETY: the structure is the call's, and outlives it.
    succeeded(unsafe { ioctl_with_mut_ref(&descriptor, UFFDIO_API(), &mut handshake) })?;
    let mut registration = Registration {
        start: region.get_mmap().as_ptr() as u64,
        bytes: region.len(),
        mode,
        calls: 0,
    };
    // SAFETY: as before.
    succeeded(unsafe { ioctl_with_mut_ref(&descriptor, UFFDIO_REGISTER(), &mut registration) })?;
    Ok(descriptor)
}

fn succeeded(answer: c_int) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use vm_memory::{Bytes, GuestAddress};

    const PAGES: u64 = 16;

    /// A template whose pages hold their numbers, in memory as the host agent's are.
    fn template() -> (File, Range) {
        let file =
            File::from(nix::sys::memfd::memfd_create(c"template", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap());
        for page in 0..PAGES {
            let number = u8::try_from(page).unwrap();
            file.write_all_at(&[number; PAGE_LEN], page * PAGE_LEN as u64).unwrap();
        }
        let bytes = PAGES * PAGE_LEN as u64;
        (file, Range { start: 0, bytes })
    }

    fn check(is_quick: bool) {
        let (file, range) = template();
        let region = memory::copy_of(&file, range).unwrap();
        let guest = memory::guest(vec![region.clone()]).unwrap();
        let at = |page: u64| GuestAddress(page * PAGE_LEN as u64);
        // One page is the clone's own already, another one was read.
        guest.write_obj(99_u8, at(4)).unwrap();
        assert_eq!(guest.read_obj::<u8>(at(6)).unwrap(), 6);
        let mut copier = Copier::new(&file, &region);
        if !is_quick {
            copier.filling = None;
        }
        copier.copy(2 * PAGE_LEN as u64, 8 * PAGE_LEN as u64);
        copier.copy(range.bytes, PAGE_LEN as u64);
        copier.copy(u64::MAX, 1);
        drop(copier);
        file.write_all_at(&[0xff; PAGE_LEN], 3 * PAGE_LEN as u64).unwrap();
        let read: Vec<u8> = (0..PAGES).map(|page| guest.read_obj(at(page)).unwrap()).collect();
        assert_eq!(read, [0, 1, 2, 3, 99, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        // What is copied is the clone's own: the template's later change is not seen above, and pages that were not copied still work.
        guest.write_obj(1_u8, at(15)).unwrap();
        assert_eq!(guest.read_obj::<u8>(at(15)).unwrap(), 1);
    }

    #[test]
    fn pages_become_the_clones_own_with_their_content() {
        check(true);
        check(false);
    }
}
