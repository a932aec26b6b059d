//! Which pages a clone writes while it starts, and their copying in advance.
//!
//! A page that is copied when the guest writes to it leaves the guest up to three times: to be mapped, to be copied, and to be mapped again.
//! Clones of one template write the same pages while they start, so what one was seen to write is copied at once for the next.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use devices::discard::Discard;
use kvm_ioctls::VcpuFd;
use protocol::vmm::{MAPPED_FILE, PAGE_BYTES, TOUCHED_FILE, TOUCHED_RANGES_MAX};
use vm_memory::{GuestMemoryRegion, GuestRegionMmap};

use crate::copying::{Copier, SinglePages};
use crate::memory;

/// The bytes of one range in the file.
const RANGE_LEN: usize = 8;

/// The bytes of one page's entry in the list of a process's pages (Linux, `admin-guide/mm/pagemap.rst`).
const ENTRY_LEN: usize = 8;
/// The page is a file's, or shared.
const OF_FILE: u64 = 1 << 61;
/// The page is present.
const PRESENT: u64 = 1 << 63;

/// Pages of base memory: the number of the first, and how many.
pub type Range = (u32, u32);

/// The pages that a guest had written when its first program began.
pub struct Start {
    base: Arc<GuestRegionMmap>,
    /// Where the system tells of the process's pages; nothing where nobody will ask. It goes once it was asked: it tells of the host's, too.
    list: Mutex<Option<File>>,
    // Set by a vCPU, read by the main thread.
    pages: OnceLock<Pages>,
    // Taken by whoever sets these.
    watching: Mutex<Option<SinglePages>>,
}

/// Pages of base memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// What is the guest's own, since it has written it.
    pub written: Vec<Range>,
    /// What is mapped.
    pub mapped: Vec<Range>,
}

impl Start {
    /// The start of the guest with this base memory. Where there is a [`list`], what is mapped until its first program begins is what was touched.
    pub fn of(base: Arc<GuestRegionMmap>, list: Option<File>) -> Self {
        // A system that cannot do it teaches of pages beside those as well.
        let watching = list.as_ref().and_then(|_| SinglePages::of(&base).ok());
        if let (Some(_), Some(list)) = (&watching, &list) {
            forget_unwritten(&base, list);
        }
        Self {
            base,
            list: Mutex::new(list),
            pages: OnceLock::new(),
            watching: Mutex::new(watching),
        }
    }

    /// The first program begins now.
    pub fn note(&self) {
        self.pages();
    }

    /// The pages that were touched until the program began, or until now.
    pub fn pages(&self) -> &Pages {
        self.pages.get_or_init(|| {
            // A system that does not tell teaches nothing.
            let list = self.list.lock().unwrap_or_else(PoisonError::into_inner).take();
            let pages = list
                .and_then(|list| look_at(&self.base, &list).ok())
                .unwrap_or_default();
            self.watching.lock().unwrap_or_else(PoisonError::into_inner).take();
            pages
        })
    }
}

/// What is known of the pages that clones of the template at `directory` touch.
pub fn known(directory: &Path) -> Pages {
    Pages {
        written: read(&directory.join(TOUCHED_FILE)),
        mapped: read(&directory.join(MAPPED_FILE)),
    }
}

/// Where the system tells of this process's pages.
///
/// # Errors
/// Where it does not.
pub fn list() -> io::Result<File> {
    File::open("/proc/self/pagemap")
}

/// Copies these pages of a template, whose memory is `template`.
pub fn copy_in_advance(written: &[Range], template: &File, base: &GuestRegionMmap) {
    if written.is_empty() {
        return;
    }
    let copier = Copier::new(template, base);
    for (first, count) in written {
        copier.copy(u64::from(*first) * PAGE_BYTES, u64::from(*count) * PAGE_BYTES);
    }
}

/// Shows these pages to the guest of `vcpu`, which does not run: for less than a VM exit takes that asks for one of them.
pub fn map_in_advance(mapped: &[Range], vcpu: &VcpuFd) {
    for (first, count) in mapped {
        memory::map_pages(vcpu, u64::from(*first) * PAGE_BYTES, u64::from(*count) * PAGE_BYTES);
    }
}

fn read(path: &Path) -> Vec<Range> {
    std::fs::read(path).map_or_else(|_| Vec::new(), |bytes| parse(&bytes))
}

/// The ranges in a file. What is left over at its end, or too much, is ignored: a page that is not copied now is copied later.
fn parse(bytes: &[u8]) -> Vec<Range> {
    let (ranges, _) = bytes.as_chunks::<RANGE_LEN>();
    ranges
        .iter()
        .take(TOUCHED_RANGES_MAX)
        .map(|[a, b, c, d, e, f, g, h]| {
            (
                u32::from_le_bytes([*a, *b, *c, *d]),
                u32::from_le_bytes([*e, *f, *g, *h]),
            )
        })
        .collect()
}

/// Lets what is mapped of `base` without being its own be mapped anew when it is touched.
fn forget_unwritten(base: &Arc<GuestRegionMmap>, list: &File) {
    let (Ok(Pages { written, mapped }), Ok(memory)) = (look_at(base, list), memory::guest(vec![base.clone()])) else {
        return;
    };
    let pages = memory::Pages(memory);
    let is_written = |page: u32| {
        written
            .iter()
            .any(|(first, count)| (*first..*first + *count).contains(&page))
    };
    let unwritten = mapped.iter().flat_map(|(first, count)| *first..*first + *count);
    for page in unwritten.filter(|page| !is_written(*page)) {
        pages.discard(u64::from(page) * PAGE_BYTES, PAGE_BYTES);
    }
}

/// The pages of `base` that were touched by now.
///
/// # Errors
/// Where the system does not tell.
fn look_at(base: &GuestRegionMmap, list: &File) -> io::Result<Pages> {
    let page = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
    let pages = usize::try_from(base.len()).unwrap_or_default() / page;
    let first = base.as_ptr() as usize / page;
    let mut entries = vec![0; pages * ENTRY_LEN];
    let offset = u64::try_from(first * ENTRY_LEN).map_err(io::Error::other)?;
    list.read_exact_at(&mut entries, offset)?;
    let (entries, _) = entries.as_chunks::<ENTRY_LEN>();
    let entries = entries.iter().map(|entry| u64::from_ne_bytes(*entry));
    Ok(Pages {
        written: ranges(entries.clone().map(|entry| entry & (PRESENT | OF_FILE) == PRESENT)),
        mapped: ranges(entries.map(|entry| entry & PRESENT != 0)),
    })
}

/// The ranges of what is marked.
fn ranges(marks: impl Iterator<Item = bool>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for (page, _) in (0_u32..).zip(marks).filter(|(_, marked)| *marked) {
        let is_full = ranges.len() == TOUCHED_RANGES_MAX;
        match ranges.last_mut() {
            Some((first, count)) if *first + *count == page => *count += 1,
            _ if is_full => break,
            _ => ranges.push((page, 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86_64::layout::BASE;
    use vm_memory::{Bytes, GuestAddress};

    #[test]
    fn marks_become_ranges() {
        let marks = [false, true, true, false, true];
        assert_eq!(ranges(marks.into_iter()), [(1, 2), (4, 1)]);
        assert_eq!(ranges(std::iter::empty()), []);
    }

    #[test]
    fn a_file_is_read_as_far_as_it_goes() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 9];
        assert_eq!(parse(&bytes), [(1, 2)]);
        assert_eq!(parse(&[]), []);
    }

    #[test]
    fn what_one_clone_wrote_is_copied_for_the_next() {
        let list = super::list().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile_in(&folder).unwrap();
        file.set_len(BASE.bytes).unwrap();
        file.write_all_at(&[5; 4096], 8192).unwrap();
        let first = memory::copy_of(&file, BASE).unwrap();
        let guest = memory::guest(vec![first.clone()]).unwrap();
        assert_eq!(guest.read_obj::<u8>(GuestAddress(8192)).unwrap(), 5);
        assert_eq!(look_at(&first, &list).unwrap().written, []);
        guest.write_slice(&[1; 5000], GuestAddress(8192)).unwrap();
        let Pages { written, mapped } = look_at(&first, &list).unwrap();
        assert_eq!(written, [(2, 2)]);
        assert!(mapped.iter().any(|(page, count)| (*page..page + count).contains(&3)));
        let start = Start::of(first, super::list().ok());
        start.note();
        guest.write_obj(1_u8, GuestAddress(0)).unwrap();
        assert_eq!(start.pages().written, [(2, 2)]);

        let bytes: Vec<u8> = written
            .iter()
            .flat_map(|(page, count)| [page.to_le_bytes(), count.to_le_bytes()].concat())
            .chain([255; 8])
            .collect();
        std::fs::write(folder.path().join(TOUCHED_FILE), bytes).unwrap();
        let second = memory::copy_of(&file, BASE).unwrap();
        let Pages { written, mapped } = known(folder.path());
        assert_eq!((written.len(), mapped.len()), (2, 0));
        copy_in_advance(&written, &file, &second);
        assert_eq!(look_at(&second, &list).unwrap().written, [(2, 2)]);
        let guest = memory::guest(vec![second]).unwrap();
        assert_eq!(guest.read_obj::<u8>(GuestAddress(8192)).unwrap(), 5);
    }
}
