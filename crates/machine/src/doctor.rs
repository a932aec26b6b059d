//! What this host offers, found out by trying it.

mod kvm;
mod security;
mod system;
mod verdict;

use std::path::Path;

use serde::Serialize;

use crate::options::Accelerator;

pub use kvm::{Capabilities, KvmError, SLOWDOWN_MAX, Speed};
pub use verdict::{HardwareVirtualization, has_hardware_virtualization};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Something works less well than it could, or only inside a machine.
    Warn,
    /// Something that is needed is missing.
    Fail,
}

/// One finding about this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: a short name that stays the same.
    pub name: &'static str,
    /// How it came out.
    pub status: CheckStatus,
    /// What was found.
    pub finding: String,
    /// What to do about it, if anything.
    pub advice: Option<String>,
}

/// Where microVMs run on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On this host.
    Host,
    /// In a machine.
    Machine,
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where microVMs run.
    pub place: Place,
    /// The findings, most basic first.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether everything that is needed is there.
    pub fn is_usable(&self) -> bool {
        self.checks.iter().all(|check| check.status != CheckStatus::Fail)
    }
}

/// Looks at everything. Takes about a second where hardware virtualization is too slow, milliseconds elsewhere.
pub fn doctor() -> Report {
    let (kvm_checks, virtualization) = check_kvm();
    let place = if virtualization.is_usable() {
        Place::Host
    } else {
        Place::Machine
    };
    let mut checks = kvm_checks;
    if place == Place::Host {
        checks.push(system::nested());
    }
    checks.extend([
        system::cgroup(place),
        system::tun(place),
        system::tools(place),
        system::root(),
    ]);
    Report { place, checks }
}

/// Looks at what makes this host safer to run strangers' guests on.
pub fn security() -> Vec<Check> {
    security::security(Path::new("/"))
}

/// The fastest way to a machine on this host in which microVMs run.
pub fn best_accelerator() -> Accelerator {
    if has_hardware_virtualization().is_usable() && system::is_nested() {
        Accelerator::Kvm
    } else {
        Accelerator::Emulation
    }
}

/// What to do where KVM cannot be used; nothing is broken.
const USE_MACHINE: &str = "mote runs microVMs in a machine here: mote machine start";

fn check_kvm() -> (Vec<Check>, HardwareVirtualization) {
    let capabilities = match kvm::capabilities() {
        Ok(capabilities) => capabilities,
        Err(error) => {
            let finding = verdict::chain(&error);
            let check = Check {
                name: "kvm",
                status: CheckStatus::Warn,
                finding: finding.clone(),
                advice: Some(USE_MACHINE.to_owned()),
            };
            return (vec![check], HardwareVirtualization::Absent { reason: finding });
        }
    };
    let device = Check {
        name: "kvm",
        status: CheckStatus::Ok,
        finding: format!("/dev/kvm opens, API version {}", capabilities.api_version),
        advice: None,
    };
    let complete = capabilities.missing.is_empty();
    let abilities = Check {
        name: "kvm-capabilities",
        status: if complete { CheckStatus::Ok } else { CheckStatus::Warn },
        finding: if complete {
            "all that are needed".to_owned()
        } else {
            format!("missing: {}", capabilities.missing.join(", "))
        },
        advice: (!complete).then(|| USE_MACHINE.to_owned()),
    };
    let virtualization = verdict::judge(&capabilities);
    (vec![device, abilities, speed_check(&virtualization)], virtualization)
}

fn speed_check(virtualization: &HardwareVirtualization) -> Check {
    let usable = virtualization.is_usable();
    Check {
        name: "kvm-speed",
        status: if usable { CheckStatus::Ok } else { CheckStatus::Warn },
        finding: virtualization.to_string(),
        advice: (!usable).then(|| USE_MACHINE.to_owned()),
    }
}
