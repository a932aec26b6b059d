//! Checks of everything but KVM.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Check, CheckStatus, Place};

/// Where KVM's two halves say whether guests may have guests.
const NESTED_PARAMETERS: &[&str] = &[
    "/sys/module/kvm_amd/parameters/nested",
    "/sys/module/kvm_intel/parameters/nested",
];

const CGROUP_ROOT: &str = "/sys/fs/cgroup";
const CONTROLLERS: &[&str] = &["cpu", "io", "memory", "pids"];

/// What the host agent calls, and what brings it.
const HOST_TOOLS: &[(&str, &str)] = &[("ip", "iproute2"), ("mke2fs", "e2fsprogs"), ("nft", "nftables")];
/// What the machine is prepared and started with.
const MACHINE_TOOLS: &[(&str, &str)] = &[
    ("cpio", "cpio"),
    ("dpkg", "dpkg"),
    ("mke2fs", "e2fsprogs"),
    ("modprobe", "kmod"),
    ("objcopy", "binutils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("setpriv", "util-linux"),
    ("virtiofsd", "qemu-system-common"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];
const SYSTEM_DIRECTORIES: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/qemu"];

/// What is missing on the host matters only if microVMs run there.
fn missing_on_host(place: Place) -> CheckStatus {
    match place {
        Place::Host => CheckStatus::Fail,
        Place::Machine => CheckStatus::Warn,
    }
}

/// Whether guests of this host's KVM may have guests.
pub fn is_nested() -> bool {
    let enabled = |path: &&str| matches!(fs::read_to_string(path).unwrap_or_default().trim(), "1" | "Y");
    NESTED_PARAMETERS.iter().any(enabled)
}

/// Whether a machine could use this host's KVM.
pub fn nested() -> Check {
    let finding = if is_nested() {
        "guests can have guests"
    } else {
        "guests cannot have guests: a machine would be emulated"
    };
    Check {
        name: "nested-virtualization",
        status: CheckStatus::Ok,
        finding: finding.to_owned(),
        advice: None,
    }
}

/// Whether cgroup v2 is there with its controllers, and gives out groups.
pub fn cgroup(place: Place) -> Check {
    let root = Path::new(CGROUP_ROOT);
    let result = match fs::read_to_string(root.join("cgroup.controllers")) {
        Ok(controllers) => missing_controllers(&controllers).and_then(|()| try_group(root)),
        Err(_) => Err(format!("{CGROUP_ROOT} is not cgroup v2")),
    };
    Check {
        name: "cgroup-v2",
        status: if result.is_ok() {
            CheckStatus::Ok
        } else {
            missing_on_host(place)
        },
        advice: (result.is_err() && place == Place::Host)
            .then(|| "boot the host with systemd.unified_cgroup_hierarchy=1 (cgroup v1 switched off)".to_owned()),
        finding: match result {
            Ok(()) => format!(
                "controllers {} are there, and groups can be made",
                CONTROLLERS.join(", ")
            ),
            Err(problem) => problem,
        },
    }
}

fn missing_controllers(present: &str) -> Result<(), String> {
    let missing: Vec<&str> = CONTROLLERS
        .iter()
        .copied()
        .filter(|wanted| !present.split_whitespace().any(|name| name == *wanted))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("cgroup v2 lacks the controllers {}", missing.join(", ")))
    }
}

fn try_group(root: &Path) -> Result<(), String> {
    let group = root.join(format!("mote-doctor-{}", std::process::id()));
    fs::create_dir(&group)
        .and_then(|()| fs::remove_dir(&group))
        .map_err(|error| format!("no cgroup can be made in {}: {error}", root.display()))
}

/// Whether TAP devices can be had.
pub fn tun(place: Place) -> Check {
    let opened = File::options().read(true).write(true).open("/dev/net/tun");
    Check {
        name: "tun",
        status: if opened.is_ok() {
            CheckStatus::Ok
        } else {
            missing_on_host(place)
        },
        advice: opened.is_err().then(|| "load the module: modprobe tun".to_owned()),
        finding: match opened {
            Ok(_) => "/dev/net/tun opens".to_owned(),
            Err(error) => format!("/dev/net/tun does not open: {error}"),
        },
    }
}

/// Whether the programs are there that mote calls.
pub fn tools(place: Place) -> Check {
    let (wanted, list) = match place {
        Place::Host => (HOST_TOOLS, "run"),
        Place::Machine => (MACHINE_TOOLS, "machine"),
    };
    let directories = search_directories();
    let missing: Vec<&(&str, &str)> = wanted
        .iter()
        .filter(|(tool, _)| !directories.iter().any(|at| at.join(tool).is_file()))
        .collect();
    if missing.is_empty() {
        return Check {
            name: "tools",
            status: CheckStatus::Ok,
            finding: "all that are needed".to_owned(),
            advice: None,
        };
    }
    let names: Vec<&str> = missing.iter().map(|(tool, _)| *tool).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    Check {
        name: "tools",
        status: CheckStatus::Fail,
        finding: format!("missing: {}", names.join(", ")),
        advice: Some(format!(
            "install the packages {} (scripts/setup.sh {list})",
            packages.join(", ")
        )),
    }
}

/// The `PATH`, and where system programs are even if it does not say so.
fn search_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .collect()
}

/// Whether this user may do what has to be done.
pub fn root() -> Check {
    let root = rustix::process::geteuid().is_root();
    Check {
        name: "root",
        status: if root { CheckStatus::Ok } else { CheckStatus::Fail },
        finding: if root { "this is root" } else { "this is not root" }.to_owned(),
        advice: (!root).then(|| "run mote as root".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_controller_is_named() {
        assert_eq!(missing_controllers("cpuset cpu io memory pids\n"), Ok(()));
        assert_eq!(
            missing_controllers("cpu memory"),
            Err("cgroup v2 lacks the controllers io, pids".to_owned())
        );
    }

    #[test]
    fn what_the_host_lacks_fails_only_where_the_host_is_used() {
        assert_eq!(missing_on_host(Place::Host), CheckStatus::Fail);
        assert_eq!(missing_on_host(Place::Machine), CheckStatus::Warn);
    }
}
