//! The guest's memory and what else is mapped into its address space: mapped here, and shown to KVM.
//!
//! A mapping lasts as long as the process: a guest's memory is never taken away from under KVM or a device.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use devices::discard::Discard;
use devices::meter::Counters;
use kvm_bindings::KVMIO;
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::{VcpuFd, VmFd};
use libc::{
    MADV_DONTNEED, MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_NONE,
    PROT_READ, PROT_WRITE,
};
use protocol::vmm::COUNTERS_LEN;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionCollectionError,
    GuestRegionMmap, MmapRegion,
};
use vmm_sys_util::ioctl::ioctl_with_mut_ref;
use vmm_sys_util::{errno, ioctl_iowr_nr};

use crate::x86_64::layout::Range;

/// The size of a huge page. The host can back guest memory with them only where both addresses are multiples of it.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// `struct kvm_pre_fault_memory` (Linux, `include/uapi/linux/kvm.h`).
#[repr(C)]
#[derive(Default)]
struct PreFault {
    address: u64,
    bytes: u64,
    flags: u64,
    padding: [u64; 5],
}

ioctl_iowr_nr!(KVM_PRE_FAULT_MEMORY, KVMIO, 0xd5, PreFault);

const PROTECTION: i32 = PROT_READ | PROT_WRITE;
const PRIVATE: i32 = MAP_PRIVATE | MAP_NORESERVE;

/// Why there is no guest memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The host has not got it.
    #[error("cannot map {mib} MiB for the guest")]
    Map {
        /// How much was wanted.
        mib: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The mapping is none that guest memory can be.
    #[error("cannot use a mapping as guest memory")]
    Region(#[source] MmapRegionError),
    /// The ranges overlap, or leave the address space.
    #[error("the guest's memory is laid out wrongly")]
    Ranges(#[source] GuestRegionCollectionError),
    /// KVM does not take it.
    #[error("cannot give the guest its memory")]
    Register(#[source] errno::Error),
}

/// Memory for `range`, private and empty, in huge pages where the host has some.
///
/// # Errors
/// Where the host has not enough address space.
pub fn anonymous(range: Range) -> Result<Arc<GuestRegionMmap>, MemoryError> {
    let start = map(range, PROTECTION, PRIVATE | MAP_ANONYMOUS, -1)?;
    // Its length is that of a mapping that exists.
    let bytes = usize::try_from(range.bytes).unwrap_or_default();
    // SAFETY: the range was just mapped, belongs to nobody else and is never unmapped.
    // Huge pages are a wish: the answer does not matter.
    let _ = unsafe { libc::madvise(start.cast(), bytes, MADV_HUGEPAGE) };
    region(range, start, PRIVATE | MAP_ANONYMOUS)
}

/// Memory for `range` that begins as what is in `file`, and never changes it.
///
/// # Errors
/// Where the host has not enough address space.
pub fn copy_of(file: &File, range: Range) -> Result<Arc<GuestRegionMmap>, MemoryError> {
    let start = map(range, PROTECTION, PRIVATE, file.as_raw_fd())?;
    region(range, start, PRIVATE)
}

/// The guest's memory of these regions.
///
/// # Errors
/// Where they overlap.
pub fn guest(regions: Vec<Arc<GuestRegionMmap>>) -> Result<GuestMemoryMmap, MemoryError> {
    GuestMemoryMmap::from_arc_regions(regions).map_err(MemoryError::Ranges)
}

/// A mapping that the guest can only read, and devices do not reach.
#[derive(Debug)]
pub struct Window {
    start: *mut u8,
    bytes: u64,
}

impl Window {
    /// `bytes` in which nothing is, and reads as zeros.
    ///
    /// # Errors
    /// Where the host has not enough address space.
    pub fn new(bytes: u64) -> Result<Self, MemoryError> {
        let start = map(Range { start: 0, bytes }, PROT_READ, PRIVATE | MAP_ANONYMOUS, -1)?;
        Ok(Self { start, bytes })
    }

    /// Maps the first `bytes` of `file` at `offset`, a multiple of the size of a page; what lies behind the file's end in its last page is zero.
    ///
    /// # Errors
    /// Where the place is not inside the window, or the file cannot be mapped.
    pub fn fill(&mut self, offset: u64, file: &File, bytes: u64) -> Result<(), MemoryError> {
        let failed = |source| MemoryError::Map {
            mib: bytes >> 20,
            source,
        };
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        let (true, Ok(at), Ok(len)) = (fits, usize::try_from(offset), usize::try_from(bytes)) else {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        };
        if len == 0 {
            return Ok(());
        }
        let place = self.start.wrapping_add(at).cast();
        // SAFETY: the place lies inside this window, whose mapping belongs to this value and is given to KVM only later.
        let mapped = unsafe { libc::mmap(place, len, PROT_READ, MAP_SHARED | MAP_FIXED, file.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED {
            return Err(failed(io::Error::last_os_error()));
        }
        Ok(())
    }

    /// Shows the window to the guest of `vm` at `address`, as number `slot` of KVM's memory slots.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn register(self, vm: &VmFd, slot: u32, address: u64) -> Result<(), MemoryError> {
        let description = kvm_userspace_memory_region {
            slot,
            flags: KVM_MEM_READONLY,
            guest_phys_addr: address,
            memory_size: self.bytes,
            userspace_addr: self.start as u64,
        };
        // SAFETY: the window is mapped, of this length, until the process ends.
        unsafe { vm.set_user_memory_region(description) }.map_err(MemoryError::Register)
    }
}

/// Maps a range at a multiple of the size of a huge page.
///
/// # Errors
/// Where the host has not enough address space.
pub fn map(range: Range, protection: i32, flags: i32, file: RawFd) -> Result<*mut u8, MemoryError> {
    let failed = |source| MemoryError::Map {
        mib: range.bytes >> 20,
        source,
    };
    let room = usize::try_from(range.bytes)
        .ok()
        .and_then(|bytes| Some((bytes, bytes.checked_add(HUGE_PAGE_BYTES)?)));
    let Some((bytes, room)) = room else {
        return Err(failed(io::ErrorKind::OutOfMemory.into()));
    };
    // SAFETY: a new mapping where the system likes replaces nothing.
    let direct = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, file, 0) };
    if direct == libc::MAP_FAILED {
        return Err(failed(io::Error::last_os_error()));
    }
    // Where it likes is such a multiple already on a system that knows what for.
    if direct.align_offset(HUGE_PAGE_BYTES) == 0 {
        return Ok(direct.cast());
    }
    // SAFETY: what was just mapped belongs to nobody else.
    let _ = unsafe { libc::munmap(direct, bytes) };
    // SAFETY: as before.
    let reserved = unsafe { libc::mmap(ptr::null_mut(), room, PROT_NONE, PRIVATE | MAP_ANONYMOUS, -1, 0) };
    if reserved == libc::MAP_FAILED {
        return Err(failed(io::Error::last_os_error()));
    }
    let reserved = reserved.cast::<u8>();
    let aligned = reserved.wrapping_add(reserved.align_offset(HUGE_PAGE_BYTES));
    // SAFETY: `aligned` and the `bytes` behind it lie inside what was just reserved, which is longer by the most that aligning adds.
    let mapped = unsafe { libc::mmap(aligned.cast(), bytes, protection, flags | MAP_FIXED, file, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(failed(io::Error::last_os_error()));
    }
    Ok(aligned)
}

fn region(range: Range, start: *mut u8, flags: i32) -> Result<Arc<GuestRegionMmap>, MemoryError> {
    let bytes = usize::try_from(range.bytes).unwrap_or_default();
    // SAFETY: the range was just mapped with this protection and these flags, belongs to nobody else and is never unmapped.
    let mapping = unsafe { MmapRegion::build_raw(start, bytes, PROTECTION, flags) }.map_err(MemoryError::Region)?;
    GuestRegionMmap::new(mapping, GuestAddress(range.start))
        .map(Arc::new)
        .ok_or(MemoryError::Region(MmapRegionError::MappingOverlap))
}

/// Shows what the host has mapped at `address` to the guest of `vcpu`, before the guest asks for it (Linux, `virt/kvm/api.rst`, 4.143).
pub fn map_pages(vcpu: &VcpuFd, address: u64, bytes: u64) {
    let mut range = PreFault {
        address,
        bytes,
        ..PreFault::default()
    };
    // SAFETY: the structure is the call's, and outlives it. A KVM that cannot do it, or not now, maps the pages when they are asked for:
    // the answer does not matter.
    let _ = unsafe { ioctl_with_mut_ref(vcpu, KVM_PRE_FAULT_MEMORY(), &mut range) };
}

/// Shows `region` to the guest of `vm`, as number `slot` of KVM's memory slots.
///
/// # Errors
/// Where KVM refuses.
pub fn register(vm: &VmFd, slot: u32, region: &GuestRegionMmap) -> Result<(), MemoryError> {
    let description = kvm_userspace_memory_region {
        slot,
        flags: 0,
        guest_phys_addr: region.start_addr().raw_value(),
        memory_size: region.len(),
        userspace_addr: region.get_mmap().as_ptr() as u64,
    };
    // SAFETY: the region is one of `anonymous` or `copy_of`: valid, of this length, and mapped until the process ends.
    unsafe { vm.set_user_memory_region(description) }.map_err(MemoryError::Register)
}

/// The counters in the file at `path`, which is made where there is none: whoever has the file can read them.
///
/// # Errors
/// Where the file cannot be written or mapped.
pub fn counters(path: &Path) -> io::Result<&'static Counters> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_len(COUNTERS_LEN as u64)?;
    // SAFETY: a new mapping where the system likes replaces nothing.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            COUNTERS_LEN,
            PROTECTION,
            MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: what was just mapped begins with a page, has the structure's length, and stays until the process ends. Any bits make atomic
    // integers, and nothing in this process refers to them in another way.
    Ok(unsafe { &*start.cast() })
}

/// The guest's pages, as devices give them back to the host.
#[derive(Clone, Debug)]
pub struct Pages(pub GuestMemoryMmap);

impl Discard for Pages {
    fn discard(&self, start: u64, bytes: u64) {
        let Ok(len) = usize::try_from(bytes) else { return };
        let Ok(pages) = self.0.get_slice(GuestAddress(start), len) else {
            return;
        };
        let place = pages.ptr_guard_mut();
        // SAFETY: the range lies inside guest memory, of which nobody but the guest expects that it keeps its content.
        // A host that keeps the pages has lost nothing: the answer does not matter.
        let _ = unsafe { libc::madvise(place.as_ptr().cast(), len, MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use vm_memory::Bytes;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, bytes: u64) -> Range {
        Range { start, bytes }
    }

    #[test]
    fn memory_is_empty_writable_and_aligned_for_huge_pages() {
        let regions = [range(0, 3 * MIB), range(1 << 32, MIB)].map(|range| anonymous(range).unwrap());
        let memory = guest(regions.into()).unwrap();
        for region in memory.iter() {
            assert_eq!(region.get_mmap().as_ptr() as usize % HUGE_PAGE_BYTES, 0);
        }
        let last = GuestAddress((1 << 32) + MIB - 8);
        assert_eq!(memory.read_obj::<u64>(last).unwrap(), 0);
        memory.write_obj(7_u64, last).unwrap();
        assert_eq!(memory.read_obj::<u64>(last).unwrap(), 7);
        assert!(memory.read_obj::<u8>(GuestAddress(3 * MIB)).is_err());
    }

    #[test]
    fn a_copy_changes_nothing_but_itself_and_gives_its_pages_back() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[5; 8192]).unwrap();
        file.set_len(MIB).unwrap();
        let [one, other] = [0; 2].map(|_| guest(vec![copy_of(&file, range(0, MIB)).unwrap()]).unwrap());
        one.write_obj(9_u8, GuestAddress(4096)).unwrap();
        assert_eq!(one.read_obj::<u8>(GuestAddress(4096)).unwrap(), 9);
        assert_eq!(other.read_obj::<u8>(GuestAddress(4096)).unwrap(), 5);
        Pages(one.clone()).discard(4096, 4096);
        assert_eq!(one.read_obj::<u8>(GuestAddress(4096)).unwrap(), 5);
        Pages(one).discard(MIB, 4096);
    }

    #[test]
    fn more_than_the_address_space_is_refused() {
        assert!(matches!(anonymous(range(0, 1 << 60)), Err(MemoryError::Map { .. })));
        assert!(matches!(anonymous(range(0, u64::MAX)), Err(MemoryError::Map { .. })));
    }

    #[test]
    fn counters_are_in_their_file_and_go_on_from_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("counters");
        for round in 1..=2 {
            let meter = devices::meter::Meter::of(counters(&path).unwrap());
            meter.received(1);
            meter.sent(10);
            meter.read(100);
            meter.written(1000);
            let expected = protocol::vmm::Counters {
                received_bytes: round,
                sent_bytes: 10 * round,
                read_bytes: 100 * round,
                written_bytes: 1000 * round,
            };
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(protocol::vmm::Counters::parse(&bytes), Some(expected));
            assert_eq!(protocol::vmm::Counters::parse(&bytes[1..]), None);
        }
    }

    #[test]
    fn a_window_takes_what_fits() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(MIB).unwrap();
        let mut window = Window::new(MIB).unwrap();
        window.fill(0, &file, MIB).unwrap();
        assert!(window.fill(4096, &file, MIB).is_err());
        assert!(window.fill(u64::MAX, &file, 1).is_err());
        assert!(window.fill(1, &file, 1).is_err());
    }
}
