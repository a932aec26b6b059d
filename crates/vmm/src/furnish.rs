//! Gives a microVM its shape: makes its devices of what came with it and puts them into their slots.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use devices::balloon::Balloon;
use devices::block::Block;
use devices::device::VirtioDevice;
use devices::interrupt::Line;
use devices::limit::{Limit, Rates};
use devices::meter::Meter;
use devices::net::Net;
use devices::slots::{PlugError, SavedSlot, SlotIndex, Slots};
use devices::vsock::Vsock;
use kvm_ioctls::VmFd;
use protocol::vmm::{Device, GUEST_CID, Limits, Shape, standing};
use vm_memory::{GuestMemoryMmap, GuestRegionMmap};

use crate::backing::{self, Attached, BackingError};
use crate::space::{Space, SpaceError};
use crate::workers::Workers;
use crate::x86_64::layout::slot_line;

/// Whose drivers the standing devices meet.
#[derive(Clone, Copy)]
pub enum Drivers<'a> {
    /// Those of a kernel that is about to boot.
    Unbound,
    /// Those of a template's guest, which have set up what is saved here.
    Bound(&'a [(SlotIndex, SavedSlot)]),
}

/// A microVM's devices.
pub struct Furniture {
    /// The devices in their slots.
    pub slots: Slots,
    /// All memory that devices reach.
    pub memory: GuestMemoryMmap,
    /// The slots in which the guest has something.
    pub bitmap: u16,
}

/// Why a microVM cannot have its shape.
#[derive(Debug, thiserror::Error)]
pub enum FurnishError {
    /// What stands behind a device cannot be had.
    #[error(transparent)]
    Backing(#[from] BackingError),
    /// There is no memory.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A device does not get its slot.
    #[error("cannot plug a device into slot {slot}")]
    Plug {
        /// The slot.
        slot: SlotIndex,
        /// Why.
        source: PlugError,
    },
}

/// An input of the guest's IOAPIC.
// Not by an event descriptor: for an IOAPIC's inputs KVM hands those to a kernel thread, which costs more than the call.
#[derive(Debug)]
struct IoapicLine {
    vm: Arc<VmFd>,
    line: u32,
}

impl Line for IoapicLine {
    fn pulse(&self) {
        for active in [true, false] {
            // KVM refuses only lines that do not exist.
            let _ = self.vm.set_irq_line(self.line, active);
        }
    }
}

/// A shape, and what came with it.
pub struct Order<'a> {
    /// What the microVM is to be.
    pub shape: &'a Shape,
    /// The files behind its devices.
    pub attached: Attached,
    /// Where this process's descriptors can be named, if it can serve directories of the host.
    pub descriptors: Option<&'a OwnedFd>,
}

/// Makes the devices that are in `order` for the guest of `vm`, whose base memory is `base`; disks and interfaces count in `meter`.
///
/// # Errors
/// Where something cannot be had.
pub fn furnish(
    vm: &Arc<VmFd>,
    base: Arc<GuestRegionMmap>,
    order: Order<'_>,
    drivers: Drivers<'_>,
    workers: Workers,
    meter: Meter,
) -> Result<Furniture, FurnishError> {
    let shape = order.shape;
    let mut space = Space::new(vm, base, shape)?;
    let mut made = named(order, &mut space, &Terms::of(shape.limits, meter))?;
    if let Drivers::Unbound = drivers {
        made.extend(unnamed(&made, &mut space)?);
    }
    made.push(Made::new(
        standing::MEMORY,
        Box::new(space.memory_device(slot(standing::MEMORY), shape.growth_mib)?),
    ));
    made.push(Made::new(standing::BALLOON, Box::new(Balloon::new(space.pages()))));

    let memory = space.guest_memory().clone();
    let lines = vm.clone();
    let line = move |slot| -> Arc<dyn Line> {
        Arc::new(IoapicLine {
            vm: lines.clone(),
            line: slot_line(slot),
        })
    };
    let mut furniture = Furniture {
        slots: Slots::new(memory.clone(), Box::new(workers), Box::new(line)),
        memory,
        bitmap: 0,
    };
    for made in made {
        furniture.put(made, drivers)?;
    }
    Ok(furniture)
}

/// Where disks and interfaces count, and what they keep to.
struct Terms {
    meter: Meter,
    /// Of all disks together.
    disks: Option<Limit>,
    /// Bytes in a second, of each interface and direction.
    network: Option<NonZeroU64>,
}

impl Terms {
    fn of(limits: Limits, meter: Meter) -> Self {
        let disks = Limit::of(Rates {
            bytes: limits.disk_bytes,
            operations: limits.disk_operations,
        });
        Self {
            meter,
            disks,
            network: limits.network_bytes,
        }
    }

    fn disk(&self, disk: Block) -> Box<dyn VirtioDevice> {
        Box::new(disk.metered(self.meter).limited(self.disks.clone()))
    }
}

/// A device on its way to its slot.
struct Made {
    slot: SlotIndex,
    device: Box<dyn VirtioDevice>,
    /// Whether something is behind it.
    is_backed: bool,
}

impl Made {
    fn new(number: u8, device: Box<dyn VirtioDevice>) -> Self {
        Self {
            slot: slot(number),
            device,
            is_backed: false,
        }
    }
}

/// The devices that the shape names.
fn named(mut order: Order<'_>, space: &mut Space<'_>, terms: &Terms) -> Result<Vec<Made>, FurnishError> {
    let mut made = Vec::with_capacity(order.shape.slots.len() + 4);
    for (number, device) in &order.shape.slots {
        let mut one = Made::new(*number, make(*number, device, &mut order, space, terms)?);
        one.is_backed = true;
        made.push(one);
    }
    Ok(made)
}

/// Makes `device` of what came for it.
fn make(
    number: u8,
    device: &Device,
    order: &mut Order<'_>,
    space: &mut Space<'_>,
    terms: &Terms,
) -> Result<Box<dyn VirtioDevice>, FurnishError> {
    let attached = &mut order.attached;
    Ok(match device {
        Device::Vsock {
            guest_cid, host_ports, ..
        } => Box::new(backing::vsock(*guest_cid, host_ports, attached)?),
        Device::BlockConcatenation { parts } => terms.disk(backing::concatenation(parts, attached)?),
        Device::BlockFile { path } => terms.disk(backing::raw_file(path, attached)?),
        Device::BlockCopyOnWrite { base, .. } => terms.disk(backing::copy_on_write(base, attached)?),
        Device::Pmem { parts } => {
            let parts = backing::take_parts(parts, attached)?;
            Box::new(space.pmem_device(slot(number), &parts)?)
        }
        Device::Memory { mib } => Box::new(space.memory_device(slot(number), *mib)?),
        Device::Balloon => Box::new(Balloon::new(space.pages())),
        Device::Network { tap, mac } => {
            let interface = backing::network(tap, *mac, attached)?.metered(terms.meter);
            Box::new(interface.limited(terms.network))
        }
        Device::Rng => Box::new(backing::rng(attached)?),
        Device::Directory { read_only, .. } => {
            Box::new(backing::directory(number, *read_only, order.descriptors, attached)?)
        }
    })
}

/// The standing devices that drivers are to find although nothing is behind them yet.
fn unnamed(named: &[Made], space: &mut Space<'_>) -> Result<Vec<Made>, FurnishError> {
    let is_missing = |number: u8| !named.iter().any(|made| made.slot == slot(number));
    let mut made = Vec::new();
    if is_missing(standing::VSOCK) {
        made.push(Made::new(standing::VSOCK, Box::new(Vsock::unconnected(GUEST_CID))));
    }
    if is_missing(standing::PMEM) {
        let window = space.pmem_device(slot(standing::PMEM), &[])?;
        made.push(Made::new(standing::PMEM, Box::new(window)));
    }
    if is_missing(standing::DISK) {
        made.push(Made::new(standing::DISK, Box::new(backing::placeholder()?)));
    }
    if is_missing(standing::NETWORK) {
        made.push(Made::new(standing::NETWORK, Box::new(Net::unconnected())));
    }
    Ok(made)
}

impl Furniture {
    fn put(&mut self, made: Made, drivers: Drivers<'_>) -> Result<(), FurnishError> {
        let Made {
            slot,
            device,
            is_backed,
        } = made;
        let failed = |source| FurnishError::Plug { slot, source };
        let saved = match drivers {
            Drivers::Bound(saved) => saved.iter().find(|(other, _)| *other == slot),
            Drivers::Unbound => None,
        };
        match saved {
            Some((_, saved)) => {
                self.slots.restore_at(slot, device, saved).map_err(failed)?;
                // The driver has seen the one that stood for it.
                if slot.get() == usize::from(standing::DISK) {
                    self.slots.raise_config(slot);
                }
            }
            None => self.slots.plug_at(slot, device).map_err(failed)?,
        }
        self.bitmap |= u16::from(is_backed) << slot.get();
        Ok(())
    }
}

/// A slot by the number that a checked shape or the contract names.
fn slot(number: u8) -> SlotIndex {
    SlotIndex::new(number.into()).unwrap_or(LAST)
}

/// Where a number would go that is none of a slot; there is none, since shapes are checked.
const LAST: SlotIndex = match SlotIndex::new(devices::slots::SLOT_COUNT - 1) {
    Some(slot) => slot,
    None => panic!("there are slots"),
};
