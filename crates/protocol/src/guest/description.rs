//! What a guest agent is to run, described to the last detail.

use serde::{Deserialize, Serialize};

/// The bootstrap message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The name of the microVM, which its containers see as theirs.
    pub hostname: String,
    /// Fresh random bytes that are credited to the kernel's entropy pool before any process starts.
    pub entropy: Vec<u8>,
    /// How many vCPUs to have online; at least one.
    pub vcpus: u8,
    /// Whether containers start only when all vCPUs are online, so that a program that counts them once counts right.
    pub waits_for_vcpus: bool,
    /// How much memory is plugged after [`DOORBELL_MEMORY`](super::DOORBELL_MEMORY), in MiB. Containers start without it, and are slowed down rather than killed where
    /// they need it before it is there.
    pub growth_mib: u32,
    /// The network, where the microVM has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Kernel settings, path below `/proc/sys` and value, written before any container starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<(String, String)>,
    /// What containers may mount together: directories of the scratch file system, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What to run. Each is prepared at once; the host releases them in the order it wants.
    pub containers: Vec<Container>,
}

/// How the guest reaches others, over the standing network device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The interface's hardware address, as in [`Device::Network`](crate::vmm::Device::Network): a template's driver knows another one.
    pub mac: [u8; 6],
    /// The interface's address.
    pub address: std::net::Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Where everything else is reached.
    pub gateway: std::net::Ipv4Addr,
    /// The same for IPv6, where there is any: address, prefix, gateway.
    pub ipv6: Option<(std::net::Ipv6Addr, u8, std::net::Ipv6Addr)>,
    /// The largest packet, in bytes.
    pub mtu: u16,
    /// Lines of the containers' `/etc/resolv.conf`: name servers.
    pub name_servers: Vec<std::net::IpAddr>,
    /// Domains that are tried for short names.
    pub search_domains: Vec<String>,
    /// Options of the resolver.
    pub resolver_options: Vec<String>,
}

/// One container, described to the last detail: the guest agent adds nothing of its own. What few containers have is left out of the message where it is
/// not asked for: every container's start reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Its name; no other container of the microVM has it.
    pub name: String,
    /// The number of its first process.
    pub process: u32,
    /// The slot of the block or pmem device that holds its rootfs snapshot, an EROFS file system.
    pub rootfs_slot: u8,
    /// The slot of its scratch disk, an ext4 file system for the overlay's upper layer; none keeps the upper layer in memory. The standing
    /// scratch disk is mounted before the doorbell is rung.
    pub scratch_slot: Option<u8>,
    /// The program and its arguments. A program without a slash is looked up in the `PATH` of [`Self::env`].
    pub argv: Vec<String>,
    /// The whole environment, `NAME=value`. `HOME` is added from the user's entry in `/etc/passwd` where it is missing.
    pub env: Vec<String>,
    /// The working directory; created where it does not exist.
    pub working_directory: String,
    /// `user[:group]`, each a name from the image's own databases or a number; empty means root. A user without a group gets the group and the supplementary groups of the databases.
    pub user: String,
    /// The terminal's first size, where the process gets a terminal instead of three pipes.
    pub terminal: Option<TerminalSize>,
    /// Whether standard input is connected; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// The capabilities that root keeps, by kernel name (`CAP_CHOWN`): bounding, permitted and effective set.
    pub capabilities: Vec<String>,
    /// Whether `execve` may not raise privileges any more.
    pub no_new_privileges: bool,
    /// Paths that are made unreadable.
    pub masked_paths: Vec<String>,
    /// Paths that are made read-only.
    pub read_only_paths: Vec<String>,
    /// The memory limit of its cgroup, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// The limit on its number of processes and threads.
    pub pids_max: Option<u64>,
    /// Memory that is taken from it last, in bytes: `memory.low`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_low: Option<u64>,
    /// Its share of the CPU against the other containers of the microVM: `cpu.weight`, 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u16>,
    /// Whether it cannot write to its root file system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether a small first process of the guest agent's reaps orphans and forwards signals, and the program is its child.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_init_process: bool,
    /// The size of `/dev/shm`, in bytes; 64 MiB where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory_bytes: Option<u64>,
    /// What is mounted beside what every container has, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Resource limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// Lines for `/etc/hosts`, address and name, beside those that every container has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<(std::net::IpAddr, String)>,
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, an absolute path in the container; made where it does not exist. A volume that is still empty gets what the image has there.
    pub target: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum MountSource {
    /// One of [`Start::volumes`].
    Volume(String),
    /// The read-only EROFS file system in this slot.
    Disk(u8),
    /// The directory of the host in this slot.
    Directory(u8),
    /// A file system in memory, which counts towards the container's limit.
    Tmpfs {
        /// Its size, in bytes.
        bytes: u64,
        /// Mount options of tmpfs and of mount(8), such as `noexec` or `mode=1777`.
        options: Vec<String>,
    },
}

/// A resource limit (getrlimit(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// Its name as in ECS and Docker: `nofile`, `nproc`, `core` and so on.
    pub name: String,
    /// The limit in force; none is no limit.
    pub soft: Option<u64>,
    /// What it can be raised to; none is no limit.
    pub hard: Option<u64>,
}

/// The size of a terminal's window, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

/// A process to be run in a container that runs: it gets the container's namespaces, cgroup, capabilities and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// Its number, [`EXECUTED_FIRST`](super::EXECUTED_FIRST) or above.
    pub process: u32,
    /// The container's name.
    pub container: String,
    /// The program and its arguments, as [`Container::argv`].
    pub argv: Vec<String>,
    /// Added to the container's environment, or instead of what has the same name there.
    pub env: Vec<String>,
    /// The container's where absent.
    pub working_directory: Option<String>,
    /// The container's where absent; as [`Container::user`].
    pub user: Option<String>,
    /// The terminal's first size, where the process gets a terminal.
    pub terminal: Option<TerminalSize>,
    /// Whether standard input is connected; otherwise it is `/dev/null`.
    pub stdin: bool,
}
