//! What a machine is made of: plain data.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::MachineName;

/// The size and the parts of a machine.
// Read leniently: the record of a machine that another version started must be readable, if only to stop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The machine's name; one machine of a name runs at a time.
    pub name: MachineName,
    /// Memory in MiB. What the machine writes outside shares and data disk lies in it too.
    pub memory_mib: u32,
    /// CPUs; one, whatever is said here, with [`Accelerator::InstructionCount`].
    pub cpus: u8,
    /// How the machine's CPUs come to be.
    pub accelerator: Accelerator,
    /// Directories of the host that are writable in the machine, at the same path. The rest of the host's files is visible, and what the
    /// machine changes in it stays in the machine.
    pub shares: Vec<PathBuf>,
    /// How the machine caches the host's files.
    pub host_files: HostFiles,
    /// A disk that outlives the machine, at `/var/lib/mote`.
    pub data_disk: Option<DataDisk>,
    /// TCP ports of the host's loopback that lead into the machine.
    pub forwards: Vec<Forward>,
    /// Where the kernel's console goes; into the machine's state directory if absent, which goes with the machine.
    pub console: Option<PathBuf>,
    /// What the kernel's command line has besides ours.
    pub kernel_arguments: Vec<String>,
    /// How long the machine may take to boot.
    pub boot_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: MachineName::default(),
            memory_mib: 4096,
            cpus: Accelerator::Emulation.cpus_default(),
            accelerator: Accelerator::Emulation,
            shares: Vec::new(),
            host_files: HostFiles::Changing,
            data_disk: None,
            forwards: Vec::new(),
            console: None,
            kernel_arguments: Vec::new(),
            boot_timeout: Duration::from_secs(180),
        }
    }
}

/// Directories that a machine has its own of: the host's files there are not visible without a share.
pub const HIDDEN_DIRECTORIES: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];

/// Whether the machine sees something else under `path`, an absolute path of the host.
pub fn is_hidden(path: &std::path::Path) -> bool {
    HIDDEN_DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}

/// How the machine's CPUs come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// Emulated: works everywhere.
    Emulation,
    /// Emulated one instruction at a time, and the machine's clock counts them: 1 instruction = 1 ns. Slow; for path lengths.
    InstructionCount,
    /// The host's KVM, which must nest.
    Kvm,
}

impl Accelerator {
    /// How many CPUs a machine has unless somebody says otherwise. With several, QEMU 10.0's emulated SVM now and then saves the host's
    /// registers as the guest's, and the guest hangs.
    #[must_use]
    pub const fn cpus_default(self) -> u8 {
        match self {
            Self::Emulation | Self::InstructionCount => 1,
            Self::Kvm => 2,
        }
    }
}

/// Whether the host's files may change while the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostFiles {
    /// They may: the machine sees a change within a second.
    Changing,
    /// They do not: the machine asks for each once. Faster.
    Fixed,
}

/// A raw disk with ext4 on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDisk {
    /// The file; created at the first start.
    pub path: PathBuf,
    /// Its size in MiB when it is created; it takes the space of what is written to it.
    pub size_mib: u64,
}

/// A TCP port of the host's loopback that leads into the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// The port on 127.0.0.1 of the host.
    pub host_port: u16,
    /// The port in the machine.
    pub machine_port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_own_directories_hide_the_hosts() {
        for (path, hidden) in [
            ("/tmp/a", true),
            ("/run", true),
            ("/tmpfiles", false),
            ("/usr/bin/mote", false),
        ] {
            assert_eq!(is_hidden(std::path::Path::new(path)), hidden, "{path}");
        }
    }
}
