//! What a guest finds at its physical addresses: base memory, what memory devices plug, what pmem devices show.

use std::sync::Arc;

use devices::block::backend::Part;
use devices::discard::Discard;
use devices::memory::Memory;
use devices::memory::region::{Region, RegionError};
use devices::pmem::{LayoutError, Pmem, layout};
use devices::slots::SlotIndex;
use kvm_ioctls::VmFd;
use protocol::vmm::{Device, Shape, standing};
use vm_memory::{GuestMemoryMmap, GuestRegionMmap};

use crate::memory::{self, MemoryError, Pages, Window};
use crate::x86_64::layout::{GROWTH, LATE_PMEM, MEMORY_BLOCK_BYTES, PMEM_WINDOW, Range, late_memory};

/// The number of base memory among KVM's memory slots; the others follow.
pub const BASE_MEMORY_SLOT: u32 = 0;

/// Why a guest cannot have something at its addresses.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The host has not the memory, or KVM does not take it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The memory device cannot have this region.
    #[error("cannot make a memory device")]
    Region(#[from] RegionError),
    /// The files do not fit.
    #[error("cannot map a rootfs into the guest's memory")]
    Layout(#[from] LayoutError),
}

/// The guest's addresses while its devices are being made.
pub struct Space<'a> {
    vm: &'a VmFd,
    memory: GuestMemoryMmap,
    next_slot: u32,
    next_pmem: u64,
}

impl<'a> Space<'a> {
    /// Base memory, which KVM knows already, and what `shape` lets the guest plug beyond.
    ///
    /// # Errors
    /// Where the host has not the memory.
    pub fn new(vm: &'a VmFd, base: Arc<GuestRegionMmap>, shape: &Shape) -> Result<Self, SpaceError> {
        let mut regions = vec![base];
        let mut next_slot = BASE_MEMORY_SLOT + 1;
        let late = shape.slots.iter().filter_map(|(&slot, device)| match device {
            Device::Memory { mib } => Some((late_memory(SlotIndex::new(slot.into())?), *mib)),
            _ => None,
        });
        for (range, mib) in [(GROWTH, shape.growth_mib)].into_iter().chain(late) {
            if mib == 0 {
                continue;
            }
            // Linux uses whole blocks, of which it then leaves alone what it has not plugged.
            let bytes = bytes(mib).next_multiple_of(MEMORY_BLOCK_BYTES);
            let region = memory::anonymous(Range { bytes, ..range })?;
            memory::register(vm, next_slot, &region)?;
            next_slot += 1;
            regions.push(region);
        }
        Ok(Self {
            vm,
            memory: memory::guest(regions)?,
            next_slot,
            next_pmem: LATE_PMEM.start,
        })
    }

    /// All memory that devices reach.
    pub fn guest_memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// The way by which devices give memory back.
    pub fn pages(&self) -> Box<dyn Discard> {
        Box::new(Pages(self.memory.clone()))
    }

    /// A memory device that plugs `mib`, in `slot`.
    ///
    /// # Errors
    /// Where no device can have so much.
    pub fn memory_device(&self, slot: SlotIndex, mib: u32) -> Result<Memory, SpaceError> {
        let range = if slot.get() == usize::from(standing::MEMORY) {
            GROWTH
        } else {
            late_memory(slot)
        };
        let region = Region {
            start: range.start,
            bytes: range.bytes,
            requested_bytes: bytes(mib),
        };
        Ok(Memory::new(region, self.pages())?)
    }

    /// A pmem device in `slot` that shows `parts`, one behind the other; without any the standing device's empty window.
    ///
    /// # Errors
    /// Where they do not fit or cannot be mapped.
    pub fn pmem_device(&mut self, slot: SlotIndex, parts: &[Part]) -> Result<Pmem, SpaceError> {
        let is_standing = slot.get() == usize::from(standing::PMEM);
        let room = if is_standing {
            PMEM_WINDOW
        } else {
            Range {
                start: self.next_pmem,
                bytes: LATE_PMEM.end() - self.next_pmem,
            }
        };
        let lengths: Vec<u64> = parts.iter().map(|part| part.bytes).collect();
        let extents = layout(&lengths, room.bytes)?;
        let end = extents.last().map_or(0, |extent| extent.offset + extent.bytes);
        // A driver that is bound late takes whole blocks of address space.
        let whole = end.next_multiple_of(MEMORY_BLOCK_BYTES).min(room.bytes);
        let shown = if is_standing && !parts.is_empty() {
            end
        } else {
            whole.max(end)
        };
        let mut window = Window::new(if parts.is_empty() { room.bytes } else { shown })?;
        for (extent, part) in extents.iter().zip(parts) {
            window.fill(extent.offset, &part.file, extent.bytes)?;
        }
        window.register(self.vm, self.next_slot, room.start)?;
        self.next_slot += 1;
        if is_standing {
            return Ok(Pmem::new(room.start, room.bytes));
        }
        self.next_pmem += whole;
        Ok(Pmem::new(room.start, whole))
    }
}

fn bytes(mib: u32) -> u64 {
    u64::from(mib) << 20
}
