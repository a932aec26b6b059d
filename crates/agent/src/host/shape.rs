//! What a task's microVM is told to be: its sizes and its slots.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::guest::CONTROL_PORT;
use protocol::vmm::{Device, GUEST_CID, Limits, Shape, standing};

use super::images::{Made, Rootfs};
use crate::record::NetworkRecord;
use crate::sizing::Sizing;

/// The files of one microVM.
pub struct Files {
    /// The socket that leads to the guest.
    pub vsock: PathBuf,
    /// What the scratch disk looks like before it is written to.
    pub scratch_base: PathBuf,
    /// The slot and the first contents of a scratch disk beside it, where the task has one of a size of its own.
    pub sized_scratch: Option<(u8, PathBuf)>,
    /// Where there is room for what is written.
    pub scratch_directory: PathBuf,
}

/// The shape of a microVM of this size and with these limits, with these rootfs snapshots and directories of the host, and this network.
pub fn shape(sizing: &Sizing, limits: Limits, made: &Made, network: Option<&NetworkRecord>, files: Files) -> Shape {
    let vsock = Device::Vsock {
        guest_cid: GUEST_CID,
        socket: files.vsock,
        host_ports: vec![CONTROL_PORT],
    };
    let directory = files.scratch_directory;
    let scratch = |base| Device::BlockCopyOnWrite {
        base,
        directory: directory.clone(),
    };
    let mut slots = BTreeMap::from([
        (standing::VSOCK, vsock),
        (standing::SCRATCH, scratch(files.scratch_base)),
    ]);
    slots.extend(files.sized_scratch.map(|(slot, base)| (slot, scratch(base))));
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
        limits,
    }
}
