//! The verdict on hardware virtualization, and its memory: the timing takes time, and the answer holds until the next boot.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::kvm::{self, Capabilities, SLOWDOWN_MAX, Speed};
use crate::state::base_directory;

const MEMORY: &str = "hardware-virtualization.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Whether microVMs can run on this host itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardwareVirtualization {
    /// They can.
    Works {
        /// How many times longer a loop takes in a guest.
        slowdown: f64,
    },
    /// There is a `/dev/kvm`, but its guests are emulated.
    TooSlow {
        /// How many times longer a loop takes in a guest.
        slowdown: f64,
    },
    /// They cannot.
    Absent {
        /// Why.
        reason: String,
    },
}

impl HardwareVirtualization {
    /// Whether microVMs can run on this host itself.
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Works { .. })
    }
}

impl fmt::Display for HardwareVirtualization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works { slowdown } => write!(
                formatter,
                "a loop in a guest takes {slowdown:.1} times as long as on this host"
            ),
            Self::TooSlow { slowdown } => {
                write!(
                    formatter,
                    "a loop in a guest takes {slowdown:.0} times as long as on this host: guests are emulated"
                )
            }
            Self::Absent { reason } => formatter.write_str(reason),
        }
    }
}

/// Whether microVMs can run on this host itself. Tried once after each boot of the host and remembered in
/// the state directory.
pub fn has_hardware_virtualization() -> HardwareVirtualization {
    match kvm::capabilities() {
        Ok(capabilities) => remembered(&base_directory(), || judge(&capabilities)),
        Err(error) => HardwareVirtualization::Absent { reason: chain(&error) },
    }
}

/// Judges a KVM by trying it.
pub fn judge(capabilities: &Capabilities) -> HardwareVirtualization {
    if !capabilities.missing.is_empty() {
        return HardwareVirtualization::Absent {
            reason: format!("KVM lacks {}", capabilities.missing.join(", ")),
        };
    }
    // On a busy host a guest may have had no CPU to run on; emulation is as slow the second time.
    let first = measured();
    if matches!(first, HardwareVirtualization::TooSlow { .. }) {
        measured()
    } else {
        first
    }
}

fn measured() -> HardwareVirtualization {
    match kvm::measure_speed() {
        Ok(speed) => from_speed(speed),
        Err(error) => HardwareVirtualization::Absent { reason: chain(&error) },
    }
}

fn from_speed(speed: Speed) -> HardwareVirtualization {
    let slowdown = speed.slowdown();
    if slowdown <= SLOWDOWN_MAX {
        HardwareVirtualization::Works { slowdown }
    } else {
        HardwareVirtualization::TooSlow { slowdown }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    boot_id: String,
    verdict: HardwareVirtualization,
}

fn remembered(directory: &Path, judge: impl FnOnce() -> HardwareVirtualization) -> HardwareVirtualization {
    let path = directory.join(MEMORY);
    let boot_id = fs::read_to_string(BOOT_ID).unwrap_or_default();
    let memory = fs::read(&path)
        .ok()
        .and_then(|json| serde_json::from_slice::<Memory>(&json).ok());
    match memory {
        Some(memory) if memory.boot_id == boot_id => memory.verdict,
        _ => {
            let memory = Memory {
                boot_id,
                verdict: judge(),
            };
            // What is absent may be mended, and costs no time to find absent again.
            if !matches!(memory.verdict, HardwareVirtualization::Absent { .. }) {
                // Without a memory the next call takes the time again.
                let _ = remember(directory, &path, &memory);
            }
            memory.verdict
        }
    }
}

fn remember(directory: &Path, path: &Path, memory: &Memory) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&temporary, serde_json::to_vec(memory)?)?;
    fs::rename(&temporary, path)
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_answer_is_remembered_until_the_next_boot() {
        let directory = tempfile::tempdir().unwrap();
        let works = HardwareVirtualization::Works { slowdown: 1.5 };
        assert_eq!(remembered(directory.path(), || works.clone()), works);
        assert_eq!(remembered(directory.path(), || panic!("asked again")), works);
        let old = Memory {
            boot_id: "another".into(),
            verdict: works,
        };
        fs::write(directory.path().join(MEMORY), serde_json::to_vec(&old).unwrap()).unwrap();
        let slow = HardwareVirtualization::TooSlow { slowdown: 1000.0 };
        assert_eq!(remembered(directory.path(), || slow.clone()), slow);
    }

    #[test]
    fn what_is_absent_is_looked_for_again() {
        let directory = tempfile::tempdir().unwrap();
        let absent = HardwareVirtualization::Absent {
            reason: "no device".into(),
        };
        assert_eq!(remembered(directory.path(), || absent.clone()), absent);
        let works = HardwareVirtualization::Works { slowdown: 1.0 };
        assert_eq!(remembered(directory.path(), || works.clone()), works);
    }

    #[test]
    fn a_broken_memory_is_no_memory() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(MEMORY), "{").unwrap();
        let works = HardwareVirtualization::Works { slowdown: 1.0 };
        assert_eq!(remembered(directory.path(), || works.clone()), works);
    }

    #[test]
    fn emulation_is_told_by_its_speed() {
        let check = |rounds: u32, usable: bool| {
            let speed = Speed {
                native_rounds: 1_000_000,
                native_time: Duration::from_millis(1),
                rounds,
                time: Duration::from_millis(1),
            };
            assert_eq!(from_speed(speed).is_usable(), usable, "{rounds} rounds");
        };
        check(1_000_000, true);
        check(400_000, true);
        check(1_000, false);
        check(0, false);
    }
}
