//! The disks of the containers, each mounted once at a place that the processes of all containers see.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

use protocol::vmm::standing::{PMEM, SCRATCH};
use protocol::vmm::{SLOTS, directory_tag};
use rustix::mount::{MountFlags, mount};

use crate::failure::{Attempt, StepError};
use crate::slots::{PLATFORM, SlotError, Slots};
use crate::uevents::Uevents;

/// Where they are mounted. The directory is a mount that passes on what is mounted below it (mount_namespaces(7), "shared subtrees"), so that
/// a process which already has a mount namespace of its own gets what comes late.
pub const DISKS: &str = "/disks";

/// The options of every scratch disk: nothing is written that nobody asked for.
const SCRATCH_OPTIONS: &CStr = c"noinit_itable";

/// The options of the standing scratch disk, which does not outlast the microVM: its writes need no order.
const STANDING_SCRATCH_OPTIONS: &CStr = c"noinit_itable,nobarrier";

/// The disks.
#[derive(Debug)]
pub struct Disks {
    slots: Slots,
    mounted: [bool; SLOTS],
    /// Whether something of what was written must outlast the microVM.
    keeps: bool,
}

/// The place of the disk in `slot`.
pub fn place(slot: u8) -> PathBuf {
    Path::new(DISKS).join(slot.to_string())
}

/// The place of a writable layer in memory, that of the container with this number.
pub fn memory(number: u32) -> PathBuf {
    Path::new(DISKS).join(format!("memory-{number}"))
}

impl Disks {
    /// Finds the standing devices, makes the places and mounts the standing scratch disk, if it has contents.
    ///
    /// # Errors
    /// The kernel's.
    pub fn find() -> Result<Self, SlotError> {
        let mut disks = Self {
            slots: Slots::survey(Path::new(PLATFORM))?,
            mounted: [false; SLOTS],
            keeps: false,
        };
        for slot in (0..SLOTS).filter_map(|slot| u8::try_from(slot).ok()) {
            let place = place(slot);
            fs::create_dir(&place).attempting(|| format!("create {}", place.display()))?;
        }
        if let Ok(device) = disks.slots.block_device(SCRATCH)
            && !device.is_empty()?
        {
            disks.mount_scratch(SCRATCH)?;
        }
        Ok(disks)
    }

    /// Whether the standing scratch disk is mounted.
    pub const fn has_standing_scratch(&self) -> bool {
        self.mounted[SCRATCH as usize]
    }

    /// Whether what was written is to be synchronized before the end.
    pub const fn keeps(&self) -> bool {
        self.keeps
    }

    /// Binds the devices that were plugged late, and mounts the snapshot that is behind the standing window already.
    ///
    /// # Errors
    /// The kernel's.
    pub fn plug(&mut self, plugged: u32) -> Result<(), SlotError> {
        self.slots.bind_late(plugged)?;
        if plugged >> PMEM & 1 == 1 {
            self.mount_image(PMEM, None)?;
        }
        Ok(())
    }

    /// Mounts the rootfs snapshot in `slot`, unless it is mounted. A disk whose size the kernel is yet to learn of is waited for.
    ///
    /// # Errors
    /// The kernel's, or that there is no disk.
    pub fn mount_image(&mut self, slot: u8, sizes: Option<&Uevents>) -> Result<(), SlotError> {
        let device = self.slots.block_device(slot)?;
        if self.mounted[usize::from(slot)] {
            return Ok(());
        }
        let options = device.is_memory.then_some(c"dax=always");
        if let Some(sizes) = sizes.filter(|_| !device.is_memory) {
            while device.is_empty()? {
                sizes.wait().attempting(|| "wait for the size of a disk")?;
            }
        }
        self.mount("erofs", slot, MountFlags::RDONLY, options)
    }

    /// Mounts the scratch disk in `slot`, unless it is mounted.
    ///
    /// # Errors
    /// The kernel's, or that there is no disk.
    pub fn mount_scratch(&mut self, slot: u8) -> Result<(), SlotError> {
        if self.slots.block_device(slot).is_ok() && self.mounted[usize::from(slot)] {
            return Ok(());
        }
        let options = if slot == SCRATCH {
            STANDING_SCRATCH_OPTIONS
        } else {
            self.keeps = true;
            SCRATCH_OPTIONS
        };
        self.mount("ext4", slot, MountFlags::NOATIME, Some(options))
    }

    /// Mounts the host's directory in `slot`, unless it is mounted.
    ///
    /// # Errors
    /// The kernel's: that there is no such device, or that the host does not answer.
    pub fn mount_directory(&mut self, slot: u8) -> Result<(), SlotError> {
        let mounted = &mut self.mounted[usize::from(slot) % SLOTS];
        if !*mounted {
            let (tag, place) = (directory_tag(slot), place(slot));
            mount(&*tag, &place, "virtiofs", MountFlags::NODEV, None)
                .attempting(|| format!("mount the host's directory {tag} at {}", place.display()))?;
            *mounted = true;
            // What a program has written to a file that it has mapped is on its way until the mapping ends.
            self.keeps = true;
        }
        Ok(())
    }

    /// Makes a place in memory for the writable layer of the container with this number.
    ///
    /// # Errors
    /// The kernel's.
    pub fn mount_memory(&self, number: u32) -> Result<(), SlotError> {
        Ok(mount_tmpfs(&memory(number))?)
    }

    /// Makes an empty directory for each of `count` volumes, on the scratch disk in `slot` or else in memory.
    ///
    /// # Errors
    /// The kernel's, or that there is no disk.
    pub fn make_volumes(&mut self, slot: Option<u8>, count: usize) -> Result<Vec<PathBuf>, SlotError> {
        let volumes = match slot {
            Some(slot) => {
                self.mount_scratch(slot)?;
                let volumes = place(slot).join("volumes");
                fs::create_dir(&volumes).attempting(|| format!("create {}", volumes.display()))?;
                volumes
            }
            None => {
                let volumes = Path::new(DISKS).join("volumes");
                mount_tmpfs(&volumes)?;
                volumes
            }
        };
        let made = (0..count).map(|number| {
            let volume = volumes.join(number.to_string());
            fs::create_dir(&volume).attempting(|| format!("create {}", volume.display()))?;
            Ok(volume)
        });
        made.collect()
    }

    fn mount(&mut self, kind: &str, slot: u8, flags: MountFlags, options: Option<&CStr>) -> Result<(), SlotError> {
        let node = &self.slots.block_device(slot)?.node;
        let place = place(slot);
        mount(node, &place, kind, flags, options)
            .attempting(|| format!("mount {kind} from {} at {}", node.display(), place.display()))?;
        self.mounted[usize::from(slot)] = true;
        Ok(())
    }
}

/// Makes a directory and mounts a file system in memory there.
fn mount_tmpfs(place: &Path) -> Result<(), StepError> {
    fs::create_dir(place).attempting(|| format!("create {}", place.display()))?;
    mount("tmpfs", place, "tmpfs", MountFlags::empty(), None)
        .attempting(|| format!("mount tmpfs at {}", place.display()))
}
