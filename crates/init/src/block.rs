//! From a slot's number to the block device in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where sysfs shows the slots: platform devices, numbered in the order of the kernel's command line.
pub const SLOTS: &str = "/sys/bus/platform/devices";

/// Why a slot has no block device to offer.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// There is no such slot, or sysfs cannot be read.
    #[error("cannot read what is in slot {slot}")]
    Slot {
        /// The slot.
        slot: u8,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The slot is empty, or holds another kind of device.
    #[error("there is no block device in slot {slot}")]
    Empty {
        /// The slot.
        slot: u8,
    },
}

/// The device node of the block device in `slot`; `slots` is [`SLOTS`] but in tests.
///
/// # Errors
/// [`BlockError`].
pub fn device_of(slots: &Path, slot: u8) -> Result<PathBuf, BlockError> {
    let unreadable = |source| BlockError::Slot { slot, source };
    let window = slots.join(format!("virtio-mmio.{slot}"));
    let device = first_entry(&window, is_virtio_device)
        .map_err(unreadable)?
        .ok_or(BlockError::Empty { slot })?;
    let disks = window.join(device).join("block");
    if !disks.exists() {
        return Err(BlockError::Empty { slot });
    }
    let disk = first_entry(&disks, |_| true).map_err(unreadable)?;
    Ok(Path::new("/dev").join(disk.ok_or(BlockError::Empty { slot })?))
}

/// The first name in `directory` that is `wanted`.
fn first_entry(directory: &Path, wanted: fn(&str) -> bool) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| wanted(name)) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// Whether this is the name of a device on the virtio bus: `virtio` and a number.
fn is_virtio_device(name: &str) -> bool {
    name.strip_prefix("virtio")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks into slot 2 of a sysfs that has the directories `present`.
    #[track_caller]
    fn check(present: &[&str], expected: Result<&str, &str>) {
        let slots = tempfile::tempdir().unwrap();
        for path in present {
            fs::create_dir_all(slots.path().join(path)).unwrap();
        }
        let found = device_of(slots.path(), 2);
        let found = found
            .as_ref()
            .map(|path| path.to_str().unwrap())
            .map_err(ToString::to_string);
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_disk_is_found_by_its_slot() {
        let disks = [
            "virtio-mmio.1/virtio0/block/vda",
            "virtio-mmio.2/power",
            "virtio-mmio.2/virtio1/block/vdb",
        ];
        check(&disks, Ok("/dev/vdb"));
    }

    #[test]
    fn an_empty_slot_has_no_disk() {
        check(&["virtio-mmio.2/power"], Err("there is no block device in slot 2"));
    }

    #[test]
    fn another_kind_of_device_is_no_disk() {
        check(
            &["virtio-mmio.2/virtio0/net/eth0"],
            Err("there is no block device in slot 2"),
        );
    }

    #[test]
    fn a_slot_that_does_not_exist_is_an_error() {
        check(&[], Err("cannot read what is in slot 2"));
    }
}
