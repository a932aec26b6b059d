//! What the container's process may do: limits, capabilities, identity.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::user::Identity;
use crate::failure::{Attempt, StepError};

/// The number of files that a process may have open; Fargate documents the same. Everything else is bounded by the microVM.
const OPEN_FILES_MAX: u64 = 65_535;

/// A capability that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no capability {name}")]
pub struct UnknownCapability {
    name: String,
}

/// The set of the capabilities with these kernel names.
///
/// # Errors
/// [`UnknownCapability`].
pub fn parse_capabilities(names: &[impl AsRef<str>]) -> Result<CapabilitySet, UnknownCapability> {
    names.iter().try_fold(CapabilitySet::empty(), |set, name| {
        let name = name.as_ref();
        let known = name.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
        known
            .map(|capability| set | capability)
            .ok_or_else(|| UnknownCapability { name: name.to_owned() })
    })
}

/// Sets the resource limits and the file mode mask to what Docker's containers have.
///
/// # Errors
/// The kernel's.
pub fn set_limits() -> Result<(), StepError> {
    umask(Mode::from_raw_mode(0o022));
    let limits = [
        (Resource::Nofile, Some(OPEN_FILES_MAX)),
        (Resource::Nproc, None),
        (Resource::Core, None),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        setrlimit(resource, limit).attempting(|| format!("set the resource limit {resource:?}"))?;
    }
    Ok(())
}

/// Gives up `capabilities` for good: neither this process nor any program that it executes can have them again.
///
/// # Errors
/// The kernel's.
pub fn forgo(capabilities: CapabilitySet) -> Result<(), StepError> {
    for capability in capabilities {
        match remove_capability_from_bounding_set(capability) {
            // The kernel does not know this one yet.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error).attempting(|| format!("give up the capability {capability:?}")),
        }
    }
    Ok(())
}

/// Becomes `identity` with no capability but `kept`. A user that is not root keeps none, but may get those that were not given up
/// from a file that carries them, unless `no_new_privileges` is asked for. This process is root and in no supplementary group.
///
/// # Errors
/// The kernel's.
pub fn reduce(identity: &Identity, kept: CapabilitySet, no_new_privileges: bool) -> Result<(), StepError> {
    let Identity { uid, gid, groups, .. } = identity;
    if !groups.is_empty() {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        set_thread_groups(&groups).attempting(|| "set the supplementary groups")?;
    }
    let (user, group) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
    if !group.is_root() {
        set_thread_res_gid(group, group, group).attempting(|| format!("become group {gid}"))?;
    }
    if !user.is_root() {
        set_thread_res_uid(user, user, user).attempting(|| format!("become user {uid}"))?;
    }
    let effective = if user.is_root() { kept } else { CapabilitySet::empty() };
    let sets = CapabilitySets {
        effective,
        permitted: effective,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).attempting(|| "set the capabilities")?;
    if no_new_privileges {
        set_no_new_privs(true).attempting(|| "forbid new privileges")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: Result<CapabilitySet, &str>) {
        let found = parse_capabilities(names).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn capabilities_have_the_kernels_names() {
        check(&[], Ok(CapabilitySet::empty()));
        check(
            &["CAP_CHOWN", "CAP_SETPCAP"],
            Ok(CapabilitySet::CHOWN | CapabilitySet::SETPCAP),
        );
    }

    #[test]
    fn an_unknown_capability_is_told_by_name() {
        check(&["CAP_FLY"], Err("there is no capability CAP_FLY"));
        check(&["CHOWN"], Err("there is no capability CHOWN"));
    }
}
