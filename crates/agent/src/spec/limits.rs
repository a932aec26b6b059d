//! Capabilities and shares, from how they are asked for to how the kernel has them.

use api::error::ApiError;
use protocol::usual;

use super::{invalid, owned};

/// Every capability of Linux 6.12 (capability.h), by number.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What stands for all of them.
const ALL: &str = "ALL";

/// The fewest and the most shares that a container can have, as Docker and ECS count them (1024 to a CPU).
const SHARES_MIN: u32 = 2;
const SHARES_MAX: u32 = 262_144;

/// The heaviest weight of a cgroup v2 (cgroup-v2.rst, `cpu.weight`).
const WEIGHT_MAX: u32 = 10_000;

/// The usual capabilities, with those added and without those dropped. `ALL` goes before names.
///
/// # Errors
/// A name that is none.
pub fn capabilities(added: &[String], dropped: &[String]) -> Result<Vec<String>, ApiError> {
    let (added, adds_all) = known(added)?;
    let (dropped, drops_all) = known(dropped)?;
    let mut kept: Vec<&str> = match (adds_all, drops_all) {
        (true, _) => CAPABILITIES.to_vec(),
        (false, true) => vec![],
        (false, false) => usual::CAPABILITIES.to_vec(),
    };
    kept.retain(|name| !dropped.contains(name));
    kept.extend(
        added
            .iter()
            .filter(|name| !kept.contains(name))
            .copied()
            .collect::<Vec<_>>(),
    );
    Ok(owned(&kept))
}

/// The kernel's names, and whether all are meant.
fn known(names: &[String]) -> Result<(Vec<&'static str>, bool), ApiError> {
    let mut known = vec![];
    let mut all = false;
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let same = |capability: &&&str| capability.strip_prefix("CAP_") == Some(bare);
        match CAPABILITIES.iter().find(same) {
            Some(capability) => known.push(*capability),
            None if bare == ALL => all = true,
            None => {
                return invalid(format!(
                    "{name:?} is no capability: it must be one of Linux's, such as NET_ADMIN, or ALL"
                ));
            }
        }
    }
    Ok((known, all))
}

/// Shares as a weight: the line through both ends of both scales.
pub fn cpu_weight(shares: u32) -> u16 {
    let above = u64::from(shares.clamp(SHARES_MIN, SHARES_MAX) - SHARES_MIN);
    let weight = 1 + above * u64::from(WEIGHT_MAX - 1) / u64::from(SHARES_MAX - SHARES_MIN);
    u16::try_from(weight).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(added: &[&str], dropped: &[&str]) -> Vec<String> {
        capabilities(&owned(added), &owned(dropped)).unwrap()
    }

    #[test]
    fn capabilities_are_added_and_dropped_by_either_name() {
        assert_eq!(check(&[], &[]), usual::CAPABILITIES);
        assert!(check(&["net_admin"], &[]).contains(&"CAP_NET_ADMIN".to_owned()));
        assert!(!check(&[], &["CAP_CHOWN"]).contains(&"CAP_CHOWN".to_owned()));
        assert_eq!(check(&["SYS_TIME"], &["ALL"]), ["CAP_SYS_TIME"]);
        assert_eq!(check(&["ALL"], &["SYS_ADMIN"]).len(), CAPABILITIES.len() - 1);
        assert!(capabilities(&owned(&["FLY"]), &[]).is_err());
    }

    #[test]
    fn shares_become_weights_within_the_kernels_limits() {
        assert_eq!((cpu_weight(0), cpu_weight(1024), cpu_weight(u32::MAX)), (1, 39, 10_000));
    }
}
