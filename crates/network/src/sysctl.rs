//! The kernel's settings that networks need, and those for IPv6 on the host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Settings of interfaces, a directory each, where the kernel has IPv6.
const IPV6: &str = "net/ipv6/conf";

/// Why the kernel does not have it so.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A setting cannot be changed.
    #[error("cannot write the kernel's setting {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The host has no IPv6.
    #[error("this host's kernel has IPv6 switched off; switch it on, or make the network without --ipv6")]
    NoIpv6,
}

/// Sets the setting `name`, a path below `/proc/sys`.
///
/// # Errors
/// [`SettingError::Write`]
pub fn set(name: &str, value: &str) -> Result<(), SettingError> {
    if is_set(name, value) {
        return Ok(());
    }
    let path = file(name);
    fs::write(&path, value).map_err(|source| SettingError::Write { path, source })
}

/// Whether there is IPv6 at all, switched on or not.
#[must_use]
pub fn has_ipv6() -> bool {
    file(IPV6).exists()
}

/// Checks that interfaces can have IPv6 addresses.
///
/// # Errors
/// [`SettingError::NoIpv6`]
pub fn check_ipv6() -> Result<(), SettingError> {
    if is_set(&format!("{IPV6}/all/disable_ipv6"), "0") {
        Ok(())
    } else {
        Err(SettingError::NoIpv6)
    }
}

/// Lets an interface have the IPv6 addresses that it is given, or none. It makes up none, neither of its hardware address nor of what others announce.
///
/// # Errors
/// [`SettingError::Write`]
pub fn set_ipv6(interface: &str, is_on: bool) -> Result<(), SettingError> {
    let settings: &[_] = match is_on {
        true => &[("accept_ra", "0"), ("addr_gen_mode", "1"), ("disable_ipv6", "0")],
        false if !has_ipv6() => &[],
        false => &[("disable_ipv6", "1")],
    };
    let mut settings = settings.iter();
    settings.try_for_each(|(name, value)| set(&format!("{IPV6}/{interface}/{name}"), value))
}

/// Has the host pass on IPv6 packets, as it does IPv4 ones. An interface that takes its address from a router's announcements goes on to do so, which it
/// would otherwise end on a host that is a router itself (`accept_ra` in the kernel's ip-sysctl.rst).
///
/// # Errors
/// [`SettingError::Write`]
pub fn forward_ipv6() -> Result<(), SettingError> {
    let forwarding = format!("{IPV6}/all/forwarding");
    if is_set(&forwarding, "1") {
        return Ok(());
    }
    let interfaces = fs::read_dir(file(IPV6)).into_iter().flatten().flatten();
    for interface in interfaces.filter_map(|entry| entry.file_name().into_string().ok()) {
        let announcements = format!("{IPV6}/{interface}/accept_ra");
        if is_set(&announcements, "1") {
            set(&announcements, "2")?;
        }
    }
    set(&forwarding, "1")
}

fn file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn is_set(name: &str, value: &str) -> bool {
    fs::read_to_string(file(name)).is_ok_and(|now| now.trim() == value)
}
