//! Which pages a clone writes while it starts, and their copying in advance.
//!
//! A page that is copied when the guest writes to it leaves the guest up to three times: to be mapped, to be copied, and to be mapped again.
//! Clones of one template write the same pages while they start, so what one was seen to write is copied at once for the next.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use protocol::vmm::{PAGE_BYTES, TOUCHED_FILE, TOUCHED_RANGES_MAX};
use vm_memory::{GuestMemoryRegion, GuestRegionMmap};

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
    // Set by a vCPU, read by the main thread.
    written: OnceLock<Vec<Range>>,
}

impl Start {
    /// The start of the guest with this base memory.
    pub fn of(base: Arc<GuestRegionMmap>) -> Self {
        Self {
            base,
            written: OnceLock::new(),
        }
    }

    /// The first program begins now.
    pub fn note(&self) {
        self.written();
    }

    /// The pages that were written until the program began, or until now.
    pub fn written(&self) -> &[Range] {
        // A system that does not tell teaches nothing.
        self.written.get_or_init(|| own_pages(&self.base).unwrap_or_default())
    }
}

/// Copies what the file in the template at `directory` names; gives the ranges. Where there is no such file, nothing is copied.
pub fn copy_in_advance(directory: &Path, base: &GuestRegionMmap) -> Vec<Range> {
    let ranges = std::fs::read(directory.join(TOUCHED_FILE)).map_or_else(|_| Vec::new(), |bytes| parse(&bytes));
    for (first, count) in &ranges {
        memory::copy_pages(base, u64::from(*first) * PAGE_BYTES, u64::from(*count) * PAGE_BYTES);
    }
    ranges
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

/// The pages of `base` that are this clone's own by now.
///
/// # Errors
/// Where the system does not tell.
fn own_pages(base: &GuestRegionMmap) -> io::Result<Vec<Range>> {
    let page = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
    let pages = usize::try_from(base.len()).unwrap_or_default() / page;
    let first = base.as_ptr() as usize / page;
    let mut entries = vec![0; pages * ENTRY_LEN];
    let offset = u64::try_from(first * ENTRY_LEN).map_err(io::Error::other)?;
    File::open("/proc/self/pagemap")?.read_exact_at(&mut entries, offset)?;
    let (entries, _) = entries.as_chunks::<ENTRY_LEN>();
    Ok(ranges(entries.iter().map(|entry| {
        let entry = u64::from_ne_bytes(*entry);
        entry & PRESENT != 0 && entry & OF_FILE == 0
    })))
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
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile_in(&folder).unwrap();
        file.set_len(BASE.bytes).unwrap();
        file.write_all_at(&[5; 4096], 8192).unwrap();
        let first = memory::copy_of(&file, BASE).unwrap();
        let guest = memory::guest(vec![first.clone()]).unwrap();
        assert_eq!(guest.read_obj::<u8>(GuestAddress(8192)).unwrap(), 5);
        assert_eq!(own_pages(&first).unwrap(), []);
        guest.write_slice(&[1; 5000], GuestAddress(8192)).unwrap();
        let written = own_pages(&first).unwrap();
        assert_eq!(written, [(2, 2)]);
        let start = Start::of(first);
        start.note();
        guest.write_obj(1_u8, GuestAddress(0)).unwrap();
        assert_eq!(start.written(), [(2, 2)]);

        let bytes: Vec<u8> = written
            .iter()
            .flat_map(|(page, count)| [page.to_le_bytes(), count.to_le_bytes()].concat())
            .chain([255; 8])
            .collect();
        std::fs::write(folder.path().join(TOUCHED_FILE), bytes).unwrap();
        let second = memory::copy_of(&file, BASE).unwrap();
        assert_eq!(copy_in_advance(folder.path(), &second).len(), 2);
        assert_eq!(own_pages(&second).unwrap(), [(2, 2)]);
        let guest = memory::guest(vec![second]).unwrap();
        assert_eq!(guest.read_obj::<u8>(GuestAddress(8192)).unwrap(), 5);
    }
}
