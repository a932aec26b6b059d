//! The volumes of a task that are directories of the host.

use std::path::PathBuf;

use crate::host_paths;
use crate::lifecycle::Trouble;
use crate::record::{MountPlan, Plan};
use crate::sentence::sentence;
use crate::spec;

/// A volume, and the directory that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The volume's name.
    pub volume: String,
    /// The directory's true path.
    pub path: PathBuf,
}

/// A directory of the host, and where the guest finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The slot.
    pub slot: u8,
    /// The directory.
    pub path: PathBuf,
    /// Whether no container may write to it.
    pub is_read_only: bool,
}

/// What a task's volumes are, as far as they are directories of the host.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    /// Each directory once.
    pub directories: Vec<Directory>,
    /// The volumes and the slots of their directories.
    pub volumes: Vec<(String, u8)>,
}

/// Whether a volume is a directory of the host.
pub fn has_directories(plan: &Plan) -> bool {
    plan.volumes.iter().any(|volume| volume.host_path.is_some())
}

/// Finds the directories, or makes them, where that is `allowed`. They may be on a disk that is slow, so they are waited for elsewhere.
pub async fn find(allowed: &[PathBuf], plan: &Plan) -> Result<Vec<Found>, Trouble> {
    if !has_directories(plan) {
        return Ok(vec![]);
    }
    let (allowed, volumes) = (allowed.to_owned(), plan.volumes.clone());
    let find = move || {
        let mut found = vec![];
        for volume in volumes {
            if let Some(path) = volume.host_path {
                let path = host_paths::directory(&allowed, &path)
                    .map_err(|error| format!("volume {}: {}", volume.name, sentence(&error)))?;
                let volume = volume.name;
                found.push(Found { volume, path });
            }
        }
        Ok(found)
    };
    let found = tokio::task::spawn_blocking(find).await;
    let found = found.unwrap_or_else(|error| Err(format!("cannot look for the volumes: {error}")));
    found.map_err(|message| Trouble::Resource { message })
}

/// Gives each directory a slot beside those of the rootfs snapshots, one for all volumes that are the same.
pub fn given(found: Vec<Found>, rootfs: &[u8], plan: &Plan) -> Result<Given, Trouble> {
    let mut paths: Vec<PathBuf> = vec![];
    for Found { path, .. } in &found {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    let slots = spec::free_slots(rootfs, paths.len()).map_err(|error| Trouble::Resource { message: error.message })?;
    let directories = slots.into_iter().zip(paths).map(|(slot, path)| Directory {
        slot,
        is_read_only: !found
            .iter()
            .any(|found| found.path == path && is_written(plan, &found.volume)),
        path,
    });
    let directories: Vec<_> = directories.collect();
    let slot = |found: Found| {
        let directory = directories.iter().find(|directory| directory.path == found.path)?;
        Some((found.volume, directory.slot))
    };
    let volumes = found.into_iter().filter_map(slot).collect();
    Ok(Given { directories, volumes })
}

/// Whether a container may write to the volume.
fn is_written(plan: &Plan, name: &str) -> bool {
    let mut mounts = plan.containers.iter().flat_map(|container| &container.mounts);
    mounts.any(|mount| matches!(mount, MountPlan::Volume { volume, is_read_only: false, .. } if volume == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A plan whose containers mount these volumes: name, and whether read-only.
    fn plan(containers: &[&[(&str, bool)]]) -> Plan {
        let container = |mounts: &&[(&str, bool)]| {
            let mounts: Vec<_> = mounts
                .iter()
                .map(|(volume, is_read_only)| json!({"Volume": {"volume": volume, "path": "/v", "is_read_only": is_read_only}}))
                .collect();
            json!({
                "name": "c", "image": "i", "pull": "Never", "is_essential": true, "env": [], "secrets": [], "stdin": false,
                "cpu_units": 0, "depends_on": [], "stop_timeout_seconds": 1, "ulimits": [], "capabilities_added": [],
                "capabilities_dropped": [], "no_new_privileges": false, "is_read_only": false, "has_init_process": false,
                "mounts": mounts, "hosts": [], "labels": [], "logging": {},
            })
        };
        let containers: Vec<_> = containers.iter().map(container).collect();
        serde_json::from_value(json!({
            "vcpu_milli": 1000, "memory_mib": 64, "scratch_mib": 1, "waits_for_vcpus": false, "can_execute": false,
            "sysctls": [], "volumes": [], "containers": containers,
        }))
        .unwrap()
    }

    fn found(volume: &str, path: &str) -> Found {
        Found {
            volume: volume.to_owned(),
            path: path.into(),
        }
    }

    #[test]
    fn volumes_of_one_directory_have_one_device_that_is_writable_if_one_of_them_is() {
        let plan = plan(&[&[("a", true), ("c", true)], &[("b", false), ("c", true)]]);
        let all = vec![found("a", "/srv/x"), found("b", "/srv/x"), found("c", "/srv/y")];
        let given = given(all, &[1, 7], &plan).unwrap();
        let directory = |slot, path: &str, is_read_only| Directory {
            slot,
            path: path.into(),
            is_read_only,
        };
        assert_eq!(
            given.directories,
            [directory(8, "/srv/x", false), directory(9, "/srv/y", true)]
        );
        let volumes = [("a", 8), ("b", 8), ("c", 9)].map(|(name, slot)| (name.to_owned(), slot));
        assert_eq!(given.volumes, volumes);
    }

    #[test]
    fn more_directories_than_slots_are_told() {
        let all = (0..10).map(|number| found("a", &format!("/srv/{number}"))).collect();
        let refused = given(all, &[1], &plan(&[&[]])).unwrap_err();
        assert!(matches!(refused, Trouble::Resource { message } if message.contains("slots")));
    }
}
