//! What a task's microVM is told to be: its sizes and its slots.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::vmm::{Device, GUEST_CID, Shape, standing};

use super::images::{Made, Rootfs};
use crate::record::NetworkRecord;
use crate::sizing::Sizing;

/// The files of one microVM.
pub struct Files {
    /// The socket that leads to the guest.
    pub vsock: PathBuf,
    /// What the scratch disk looks like before it is written to.
    pub scratch_base: PathBuf,
    /// Where there is room for what is written.
    pub scratch_directory: PathBuf,
}

/// The shape of a microVM of this size, with these rootfs snapshots and directories of the host, and this network.
pub fn shape(sizing: &Sizing, made: &Made, network: Option<&NetworkRecord>, files: Files) -> Shape {
    let vsock = Device::Vsock {
        guest_cid: GUEST_CID,
        socket: files.vsock,
    };
    let scratch = Device::BlockCopyOnWrite {
        base: files.scratch_base,
        directory: files.scratch_directory,
    };
    let mut slots = BTreeMap::from([(standing::VSOCK, vsock), (standing::SCRATCH, scratch)]);
    for directory in &made.directories {
        let device = Device::Directory {
            path: directory.path.clone(),
            read_only: directory.is_read_only,
        };
        slots.insert(directory.slot, device);
    }
    for Rootfs { slot, parts, .. } in &made.rootfs {
        let parts = parts.clone();
        let device = if *slot == standing::PMEM {
            Device::Pmem { parts }
        } else {
            Device::BlockConcatenation { parts }
        };
        slots.insert(*slot, device);
    }
    if let Some(network) = network {
        let device = Device::Network {
            tap: network.tap.clone(),
            mac: network.mac,
        };
        slots.insert(standing::NETWORK, device);
    }
    Shape {
        vcpus: sizing.vcpus,
        growth_mib: sizing.growth_mib,
        slots,
    }
}
