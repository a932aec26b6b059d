//! The guest's memory: mapped here, and shown to KVM.

use std::io;
use std::mem;

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use libc::{MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE};
use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionCollectionError,
    GuestRegionMmap, MmapRegion,
};
use vmm_sys_util::errno;

use crate::x86_64::layout::Range;

/// The size of a huge page. The host can back guest memory with them only where both addresses are multiples of it.
const HUGE_PAGE_BYTES: usize = 2 << 20;

const PROTECTION: i32 = PROT_READ | PROT_WRITE;
const FLAGS: i32 = MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE;

/// Why there is no guest memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The host has not got it.
    #[error("cannot map {mib} MiB of guest memory")]
    Map {
        /// How much was wanted.
        mib: u64,
        /// The system's answer.
        source: MmapRegionError,
    },
    /// The ranges overlap, or leave the address space.
    #[error("the guest's memory is laid out wrongly")]
    Ranges(#[source] GuestRegionCollectionError),
    /// KVM does not take it.
    #[error("cannot give the guest its memory")]
    Register(#[source] errno::Error),
}

/// Maps memory for `ranges`, private and empty, in huge pages where the host has some.
///
/// The mappings last as long as the process: a guest's memory is never taken away from under KVM or a device.
///
/// # Errors
/// Where the host has not enough address space or memory.
pub fn map(ranges: &[Range]) -> Result<GuestMemoryMmap, MemoryError> {
    let mut regions = Vec::with_capacity(ranges.len());
    for range in ranges {
        let failed = |source| MemoryError::Map {
            mib: range.bytes >> 20,
            source,
        };
        let mapping = map_aligned(range.bytes).map_err(failed)?;
        let region = GuestRegionMmap::new(mapping, GuestAddress(range.start));
        regions.push(region.ok_or_else(|| failed(MmapRegionError::MappingOverlap))?);
    }
    GuestMemoryMmap::from_regions(regions).map_err(MemoryError::Ranges)
}

fn map_aligned(bytes: u64) -> Result<MmapRegion, MmapRegionError> {
    let too_large = || MmapRegionError::Mmap(io::ErrorKind::OutOfMemory.into());
    let bytes = usize::try_from(bytes).map_err(|_| too_large())?;
    let room = bytes.checked_add(HUGE_PAGE_BYTES).ok_or_else(too_large)?;
    let reserved: MmapRegion = MmapRegion::build(None, room, PROTECTION, FLAGS)?;
    let start = reserved.as_ptr();
    let aligned = start.wrapping_add(start.align_offset(HUGE_PAGE_BYTES));
    // SAFETY: `aligned` and the `bytes` behind it lie inside `reserved`, which is longer by the most that aligning adds.
    // Huge pages are a wish: the answer does not matter.
    let _ = unsafe { libc::madvise(aligned.cast(), bytes, MADV_HUGEPAGE) };
    // From here on nothing unmaps it.
    mem::forget(reserved);
    // SAFETY: the range was just mapped with this protection and these flags, belongs to nobody else and is never unmapped.
    unsafe { MmapRegion::build_raw(aligned, bytes, PROTECTION, FLAGS) }
}

/// Shows `memory` to the guest of `vm`.
///
/// # Errors
/// Where KVM refuses.
pub fn register(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<(), MemoryError> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let description = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: region.get_mmap().as_ptr() as u64,
        };
        // SAFETY: the memory is a region of `map`: valid, of this length, and mapped until the process ends.
        unsafe { vm.set_user_memory_region(description) }.map_err(MemoryError::Register)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::Bytes;

    #[test]
    fn memory_is_empty_writable_and_aligned_for_huge_pages() {
        let ranges = [
            Range {
                start: 0,
                bytes: 3 << 20,
            },
            Range {
                start: 1 << 32,
                bytes: 1 << 20,
            },
        ];
        let memory = map(&ranges).unwrap();
        for region in memory.iter() {
            assert_eq!(region.get_mmap().as_ptr() as usize % HUGE_PAGE_BYTES, 0);
        }
        let last = GuestAddress((1 << 32) + (1 << 20) - 8);
        assert_eq!(memory.read_obj::<u64>(last).unwrap(), 0);
        memory.write_obj(7_u64, last).unwrap();
        assert_eq!(memory.read_obj::<u64>(last).unwrap(), 7);
        assert!(memory.read_obj::<u8>(GuestAddress(3 << 20)).is_err());
    }

    #[test]
    fn more_than_the_address_space_is_refused() {
        assert!(matches!(
            map(&[Range {
                start: 0,
                bytes: 1 << 60
            }]),
            Err(MemoryError::Map { .. })
        ));
    }
}
