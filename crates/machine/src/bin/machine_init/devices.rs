//! Device files and names that udev would make on a host.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// For everybody, as on a host: the jailed VMM opens them under a user of its own.
const PUBLIC: &[&str] = &["/dev/net/tun", "/dev/kvm"];

/// The TUN driver's number, see the kernel's `admin-guide/devices`.
const TUN: (u32, u32) = (10, 200);

/// Makes the names and sets the modes.
pub fn prepare() -> Result<()> {
    for (target, link) in LINKS {
        ignore_existing(symlink(target, link)).with_context(|| format!("cannot create {link}"))?;
    }
    fs::create_dir_all("/dev/net").context("cannot create /dev/net")?;
    let made = mknodat(
        CWD,
        "/dev/net/tun",
        FileType::CharacterDevice,
        Mode::from(0o666),
        makedev(TUN.0, TUN.1),
    );
    ignore_existing(made.map_err(io::Error::from)).context("cannot create /dev/net/tun")?;
    for device in PUBLIC.iter().filter(|device| Path::new(device).exists()) {
        fs::set_permissions(device, Permissions::from_mode(0o666))
            .with_context(|| format!("cannot open up {device}"))?;
    }
    Ok(())
}

fn ignore_existing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Ok(())
        } else {
            Err(error)
        }
    })
}
