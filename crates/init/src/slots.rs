//! From a slot's number to the device in it, and late devices to their drivers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::vmm::SLOTS;

use crate::failure::{Attempt, StepError};

/// Where sysfs shows the slots and their driver: platform devices, numbered in the order of the kernel's command line.
pub const PLATFORM: &str = "/sys/bus/platform";

/// The size of an empty disk in sectors, at most: the kernel tells of a new size only where there was one before.
const EMPTY_SECTORS_MAX: u64 = 8;

/// Why a slot has no block device to offer.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The slot is empty, or holds another kind of device.
    #[error("there is no block device in slot {slot}")]
    NoBlockDevice {
        /// The slot.
        slot: u8,
    },
    /// A call to the kernel.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its device node.
    pub node: PathBuf,
    /// Whether it is persistent memory, which can be mapped.
    pub is_memory: bool,
    /// The sysfs file that tells its size in sectors.
    size: PathBuf,
}

impl BlockDevice {
    /// Whether it has no contents, or not yet.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_empty(&self) -> Result<bool, StepError> {
        let size = fs::read_to_string(&self.size).attempting(|| format!("read {}", self.size.display()))?;
        Ok(size.trim().parse().unwrap_or(0) <= EMPTY_SECTORS_MAX)
    }
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// Nothing that a driver knows.
    Unbound,
    /// A device of another kind.
    Other,
    Block(BlockDevice),
}

/// The slots as they were when they were last looked at.
#[derive(Debug)]
pub struct Slots {
    devices: PathBuf,
    bind: File,
    contents: Vec<Content>,
}

impl Slots {
    /// Looks at every slot, and waits until the kernel has looked at what it found there; `platform` is [`PLATFORM`] but in tests.
    ///
    /// # Errors
    /// The kernel's.
    pub fn survey(platform: &Path) -> Result<Self, StepError> {
        let bind = platform.join("drivers/virtio-mmio/bind");
        let mut slots = Self {
            devices: platform.join("devices"),
            bind: File::options()
                .write(true)
                .open(&bind)
                .attempting(|| format!("open {}", bind.display()))?,
            contents: Vec::with_capacity(SLOTS),
        };
        for slot in 0..SLOTS {
            let content = slots.look(slot)?;
            slots.contents.push(content);
        }
        Ok(slots)
    }

    /// Gives what was plugged late to its driver. What the driver refuses stays unbound, and is missed by whoever needs it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind_late(&mut self, plugged: u32) -> Result<(), StepError> {
        for slot in 0..SLOTS {
            if plugged >> slot & 1 == 0 || self.contents[slot] != Content::Unbound {
                continue;
            }
            let name = format!("virtio-mmio.{slot}");
            self.bind
                .write_all(name.as_bytes())
                .attempting(|| format!("bind {name} to its driver"))?;
            self.contents[slot] = self.look(slot)?;
        }
        Ok(())
    }

    /// The block device in `slot`.
    ///
    /// # Errors
    /// [`SlotError::NoBlockDevice`].
    pub fn block_device(&self, slot: u8) -> Result<&BlockDevice, SlotError> {
        match self.contents.get(usize::from(slot)) {
            Some(Content::Block(device)) => Ok(device),
            _ => Err(SlotError::NoBlockDevice { slot }),
        }
    }

    fn look(&self, slot: usize) -> Result<Content, StepError> {
        let window = self.devices.join(format!("virtio-mmio.{slot}"));
        content_of(&window).attempting(|| format!("read what is in slot {slot}"))
    }
}

/// What the slot with this directory in sysfs holds.
fn content_of(window: &Path) -> io::Result<Content> {
    let Some(device) = child(window, |name| is_numbered(name, "virtio"))? else {
        return Ok(Content::Unbound);
    };
    let (disks, is_memory) = match child(&device, |name| is_numbered(name, "ndbus"))? {
        None => (device.join("block"), false),
        Some(bus) => {
            // Persistent memory is probed in the background: this file is read when that is done (nvdimm, "wait_probe").
            fs::read(bus.join("wait_probe"))?;
            let region = child(&bus, |name| is_numbered(name, "region"))?;
            let namespace = match region {
                // Beside `namespace0.0` there are files such as `namespace_seed`.
                Some(region) => child(&region, |name| {
                    name.strip_prefix("namespace")
                        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
                })?,
                None => None,
            };
            match namespace {
                Some(namespace) => (namespace.join("block"), true),
                None => return Ok(Content::Other),
            }
        }
    };
    if !disks.exists() {
        return Ok(Content::Other);
    }
    let disk = child(&disks, |_| true)?;
    let name = disk.as_deref().and_then(Path::file_name);
    Ok(name.map_or(Content::Other, |name| {
        Content::Block(BlockDevice {
            node: Path::new("/dev").join(name),
            is_memory,
            size: disks.join(name).join("size"),
        })
    }))
}

/// The first entry of `directory` whose name is `wanted`.
fn child(directory: &Path, wanted: fn(&str) -> bool) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(wanted) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Whether `name` is `prefix` and a number.
fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs whose slots hold nothing but the directories `present`.
    fn platform(present: &[&str]) -> tempfile::TempDir {
        let platform = tempfile::tempdir().unwrap();
        let driver = platform.path().join("drivers/virtio-mmio");
        fs::create_dir_all(&driver).unwrap();
        fs::write(driver.join("bind"), "").unwrap();
        for slot in 0..SLOTS {
            let power = format!("devices/virtio-mmio.{slot}/power");
            fs::create_dir_all(platform.path().join(power)).unwrap();
        }
        for path in present {
            fs::create_dir_all(platform.path().join("devices").join(path)).unwrap();
        }
        platform
    }

    /// Looks into slot 2.
    #[track_caller]
    fn check(present: &[&str], expected: Result<(&str, bool), &str>) {
        let platform = platform(present);
        let slots = Slots::survey(platform.path()).unwrap();
        let found = slots.block_device(2);
        let found = found
            .as_ref()
            .map(|device| (device.node.to_str().unwrap(), device.is_memory))
            .map_err(ToString::to_string);
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_disk_is_found_by_its_slot() {
        let disks = ["virtio-mmio.1/virtio0/block/vda", "virtio-mmio.2/virtio1/block/vdb"];
        check(&disks, Ok(("/dev/vdb", false)));
    }

    #[test]
    fn persistent_memory_is_found_by_its_slot() {
        let platform = platform(&["virtio-mmio.2/virtio0/ndbus0/region0/namespace0.0/block/pmem0"]);
        let bus = platform.path().join("devices/virtio-mmio.2/virtio0/ndbus0");
        fs::write(bus.join("wait_probe"), "1").unwrap();
        for name in ["namespace_seed", "namespaces"] {
            fs::write(bus.join("region0").join(name), "").unwrap();
        }
        let slots = Slots::survey(platform.path()).unwrap();
        let device = slots.block_device(2).unwrap();
        assert_eq!((device.node.to_str(), device.is_memory), (Some("/dev/pmem0"), true));
    }

    #[test]
    fn an_empty_slot_has_no_disk() {
        check(&[], Err("there is no block device in slot 2"));
    }

    #[test]
    fn another_kind_of_device_is_no_disk() {
        check(
            &["virtio-mmio.2/virtio0/net/eth0"],
            Err("there is no block device in slot 2"),
        );
    }

    #[test]
    fn a_disk_of_one_block_is_empty() {
        let platform = platform(&["virtio-mmio.2/virtio0/block/vda"]);
        let size = platform.path().join("devices/virtio-mmio.2/virtio0/block/vda/size");
        let slots = Slots::survey(platform.path()).unwrap();
        for (sectors, empty) in [("0\n", true), ("8\n", true), ("16\n", false)] {
            fs::write(&size, sectors).unwrap();
            assert_eq!(slots.block_device(2).unwrap().is_empty().unwrap(), empty);
        }
    }

    #[test]
    fn a_late_device_is_given_to_the_driver() {
        let platform = platform(&["virtio-mmio.7/virtio0/rng"]);
        let mut slots = Slots::survey(platform.path()).unwrap();
        slots.bind_late(0b111 << 6).unwrap();
        let bound = fs::read_to_string(platform.path().join("drivers/virtio-mmio/bind")).unwrap();
        assert_eq!(bound, "virtio-mmio.6virtio-mmio.8");
    }
}
