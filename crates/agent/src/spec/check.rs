//! What a plan says wrong whatever its images are.

use std::collections::HashSet;

use api::error::ApiError;
use protocol::guest::CONTAINERS_MAX;
use protocol::vmm::{SLOTS, standing};

use super::{invalid, limits};
use crate::record::{ContainerPlan, MountPlan, Plan};

/// The longest host name (Linux's `__NEW_UTS_LEN`).
const HOSTNAME_LEN_MAX: usize = 64;

/// The most directories of the host that a task's volumes can be.
const DIRECTORIES_MAX: usize = SLOTS - standing::FIRST_FREE as usize;

/// The fewest inodes of a writable layer: some twenty are taken before a container begins.
const INODES_MIN: u32 = 64;

/// The most of them: one for each 4 KiB, the block of a file system that is not small.
const INODES_PER_MIB_MAX: u32 = 256;

/// Checks what can be checked of a plan without its images.
///
/// # Errors
/// [`api::error::ErrorCode::InvalidParameter`]: what is wrong, and where.
pub fn check(plan: &Plan) -> Result<(), ApiError> {
    if plan.containers.is_empty() || plan.containers.len() > CONTAINERS_MAX {
        return invalid(format!(
            "the task has {} containers: it must have 1 to {CONTAINERS_MAX}",
            plan.containers.len()
        ));
    }
    if let Some(hostname) = &plan.hostname {
        check_hostname(hostname)?;
    }
    if let Some(inodes) = plan.scratch_inodes {
        check_inodes(inodes, plan.scratch_mib)?;
    }
    let mut names = HashSet::new();
    if let Some(twice) = plan.containers.iter().find(|container| !names.insert(&container.name)) {
        return invalid(format!("two containers have the name {:?}", twice.name));
    }
    let directories: HashSet<_> = plan
        .volumes
        .iter()
        .filter_map(|volume| volume.host_path.as_ref())
        .collect();
    if directories.len() > DIRECTORIES_MAX {
        return invalid(format!(
            "the task's volumes are {} directories of the host: it can have {DIRECTORIES_MAX}, less those slots that further containers take",
            directories.len()
        ));
    }
    plan.containers
        .iter()
        .try_for_each(|container| check_container(plan, container))?;
    check_order(plan)
}

fn check_inodes(inodes: u32, mib: u32) -> Result<(), ApiError> {
    let most = mib.saturating_mul(INODES_PER_MIB_MAX);
    if (INODES_MIN..=most).contains(&inodes) {
        return Ok(());
    }
    invalid(format!(
        "{inodes} inodes are none that a writable layer of {mib} MiB can have: it must be {INODES_MIN} to {most}"
    ))
}

fn check_hostname(hostname: &str) -> Result<(), ApiError> {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '.';
    if hostname.is_empty() || hostname.len() > HOSTNAME_LEN_MAX || !hostname.chars().all(fits) {
        return invalid(format!(
            "{hostname:?} is no host name: it must be 1 to {HOSTNAME_LEN_MAX} letters, digits, '-' and '.'"
        ));
    }
    Ok(())
}

fn check_container(plan: &Plan, container: &ContainerPlan) -> Result<(), ApiError> {
    limits::capabilities(&container.capabilities_added, &container.capabilities_dropped)?;
    for mount in &container.mounts {
        let (MountPlan::Volume { path, .. } | MountPlan::Tmpfs { path, .. }) = mount;
        if !path.starts_with('/') || path.contains('\0') {
            return invalid(format!(
                "container {:?} mounts at {path:?}, which is no absolute path",
                container.name
            ));
        }
        if let MountPlan::Volume { volume, .. } = mount
            && !plan.volumes.iter().any(|known| known.name == *volume)
        {
            return invalid(format!(
                "container {:?} mounts the volume {volume:?}, which the task does not have",
                container.name
            ));
        }
    }
    Ok(())
}

/// Every container depends on others only, and none on itself by way of others.
fn check_order(plan: &Plan) -> Result<(), ApiError> {
    let mut ordered: HashSet<&str> = HashSet::new();
    loop {
        let before = ordered.len();
        for container in &plan.containers {
            for dependency in &container.depends_on {
                let other = &dependency.container;
                if !plan.containers.iter().any(|known| known.name == *other) {
                    return invalid(format!(
                        "container {:?} depends on {other:?}, which the task does not have",
                        container.name
                    ));
                }
            }
            let mut dependencies = container.depends_on.iter();
            if dependencies.all(|dependency| ordered.contains(dependency.container.as_str())) {
                ordered.insert(&container.name);
            }
        }
        if ordered.len() == plan.containers.len() {
            return Ok(());
        }
        if ordered.len() == before {
            return invalid("containers depend on each other in a circle".to_owned());
        }
    }
}
