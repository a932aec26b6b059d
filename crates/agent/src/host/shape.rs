//! What a task's microVM is told to be: its sizes and its slots, all of them standing ones.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::vmm::{Device, GUEST_CID, Shape, standing};

use super::Plan;

/// The files of one microVM.
pub struct Files {
    /// The socket that leads to the guest.
    pub vsock: PathBuf,
    /// What the scratch disk looks like before it is written to.
    pub scratch_base: PathBuf,
    /// Where there is room for what is written.
    pub scratch_directory: PathBuf,
}

/// The shape of the microVM that `plan` describes.
pub fn shape(plan: &Plan, files: Files) -> Shape {
    let parts = plan.rootfs.parts.clone();
    let rootfs = if plan.spec.container.rootfs_slot == standing::PMEM {
        Device::Pmem { parts }
    } else {
        Device::BlockConcatenation { parts }
    };
    let vsock = Device::Vsock {
        guest_cid: GUEST_CID,
        socket: files.vsock,
    };
    let scratch = Device::BlockCopyOnWrite {
        base: files.scratch_base,
        directory: files.scratch_directory,
    };
    Shape {
        vcpus: plan.sizing.vcpus,
        growth_mib: plan.sizing.growth_mib,
        slots: BTreeMap::from([
            (standing::VSOCK, vsock),
            (plan.spec.container.rootfs_slot, rootfs),
            (standing::SCRATCH, scratch),
        ]),
    }
}
