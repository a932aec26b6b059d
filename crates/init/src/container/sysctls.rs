//! Kernel settings: those of the whole guest, and those that each container has for itself.

use std::fs;
use std::io;
use std::path::{Component, Path};

use super::stage;
use crate::failure::{Attempt, StepError};

/// Where they are.
const SETTINGS: &str = "/proc/sys";

/// What belongs to the namespace of System V's and POSIX's message queues, semaphores and shared memory (ipc_namespaces(7)): beginnings of paths.
const OF_CONTAINERS: [&str; 4] = ["kernel/msg", "kernel/sem", "kernel/shm", "fs/mqueue/"];

/// Whether each container has this setting for itself.
pub fn is_of_containers(path: &str) -> bool {
    OF_CONTAINERS.iter().any(|begin| path.starts_with(begin))
}

/// Writes settings of the whole guest.
///
/// # Errors
/// The kernel's, or a path that leads elsewhere.
pub fn write(settings: &[(String, String)]) -> Result<(), StepError> {
    settings.iter().try_for_each(|(path, value)| {
        let place = Path::new(SETTINGS).join(path);
        let is_below = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let written = if is_below {
            fs::write(&place, value)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not below /proc/sys"))
        };
        written.attempting(|| format!("write {value} to {}", place.display()))
    })
}

/// Writes settings of the container that this process becomes, and leaves all of them read-only.
///
/// # Errors
/// As [`write`].
pub fn write_in_container(settings: &[(String, String)]) -> Result<(), StepError> {
    if settings.is_empty() {
        return Ok(());
    }
    stage::restore(SETTINGS)?;
    write(settings)?;
    stage::make_read_only(SETTINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_container_is_told_apart() {
        for path in [
            "kernel/msgmax",
            "kernel/sem",
            "kernel/shm_rmid_forced",
            "fs/mqueue/msg_max",
        ] {
            assert!(is_of_containers(path), "{path}");
        }
        for path in ["net/ipv4/tcp_fin_timeout", "kernel/pid_max", "fs/file-max"] {
            assert!(!is_of_containers(path), "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["../../etc/passwd", "/etc/passwd", "net/../../x"] {
            assert!(write(&[(path.to_owned(), "x".to_owned())]).is_err(), "{path}");
        }
    }
}
