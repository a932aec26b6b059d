//! The command line, and the configuration that it makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use image::limits::Limits;

use crate::config::{Config, ImagesConfig, Listen, LogFormat, MetricsAddress, OnExit, RegistryMirror, Users};
use crate::memory;

/// The most clones that wait where nobody says how many: 24 MiB.
const POOL_SIZE_MAX: usize = 8;

/// The share of the host's memory that tasks do not get: for the kernel, the host agent, VMMs and page cache.
const MEMORY_RESERVE_SHARE: u64 = 16;

/// The host agent: runs containers in microVMs of exactly the size asked for, behind an API on a unix socket.
///
/// Once it listens it writes the line "ready" to standard output. SIGTERM and SIGINT end it in order. Tasks run on meanwhile, and the next host agent takes
/// them over: so an upgrade is a stop and a start. With --on-exit stop they are stopped first, and a second signal kills them.
/// MOTE_LOG sets what is logged to standard error: "warn", "debug", "agent::http=debug".
#[derive(Debug, Parser)]
#[command(name = "mote-agent", version)]
pub struct Arguments {
    /// The socket to listen on.
    #[arg(long, value_name = "PATH", default_value = api::route::SOCKET_PATH)]
    pub socket: PathBuf,

    /// Where images and scratch disks are kept.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mote")]
    pub state: PathBuf,

    /// Where the sockets of running tasks are.
    #[arg(long, value_name = "DIR", default_value = "/run/mote")]
    pub runtime: PathBuf,

    /// Where cgroup v2 is mounted.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/cgroup")]
    pub cgroups: PathBuf,

    /// The guest kernel, an uncompressed ELF image [default: ../share/mote/vmlinux beside this program's directory].
    #[arg(long, value_name = "PATH")]
    pub kernel: Option<PathBuf>,

    /// The initramfs with the guest agent [default: ../share/mote/initramfs.cpio beside this program's directory].
    #[arg(long, value_name = "PATH")]
    pub initramfs: Option<PathBuf>,

    /// The VMM [default: mote-vmm in this program's directory].
    #[arg(long, value_name = "PATH")]
    pub vmm: Option<PathBuf>,

    /// How many clones wait for a task [default: as many as the host has CPUs, at most 8].
    ///
    /// A clone that waits takes 2 to 3 MiB of memory and no CPU time. 0 has every clone made when its task starts.
    #[arg(long, value_name = "N")]
    pub pool: Option<usize>,

    /// Where templates are kept, best on a tmpfs mounted with huge=always [default: a tmpfs of their own in the runtime directory].
    #[arg(long, value_name = "DIR")]
    pub templates: Option<PathBuf>,

    /// Keep what each guest's kernel says in DIR/TASK.log: for debugging, since every task then boots in full.
    #[arg(long, value_name = "DIR")]
    pub consoles: Option<PathBuf>,

    /// A registry that may be spoken to without TLS; can be given several times.
    #[arg(long = "insecure-registry", value_name = "NAME")]
    pub insecure_registries: Vec<String>,

    /// Who is asked before a registry, as in docker.io=mirror.example:5000; can be given several times, and is asked in this order.
    ///
    /// A mirror gets its own credentials, as `mote login` keeps them, and never the registry's.
    #[arg(long = "registry-mirror", value_name = "REGISTRY=HOST[:PORT][/PREFIX]")]
    pub registry_mirrors: Vec<RegistryMirror>,

    /// A file of certificate authorities (PEM) that registries are trusted by, besides the host's; can be given several times.
    #[arg(long = "registry-ca", value_name = "FILE")]
    pub registry_authorities: Vec<PathBuf>,

    /// Throw layers away as they came once they are converted: saves about a third of an image's space, but `mote save` needs them.
    #[arg(long)]
    pub discard_blobs: bool,

    /// The most that an image's layers may take when they are uncompressed, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().image_bytes)]
    pub image_size_max: u64,

    /// The most files that an image's layers may have together.
    #[arg(long, value_name = "N", default_value_t = Limits::default().image_files)]
    pub image_files_max: u64,

    /// How many times its size a layer of more than some megabytes may expand to.
    #[arg(long, value_name = "FACTOR", default_value_t = Limits::default().image_expansion)]
    pub image_expansion_max: u64,

    /// Where to listen for signed requests over TCP, or none [default: 127.0.0.1:7711, unless somebody else listens there].
    ///
    /// Clients of Amazon ECS sign with a key of `mote credentials`. Nothing is encrypted: put a proxy with TLS before any address but 127.0.0.1.
    #[arg(long, value_name = "ADDRESS|none")]
    pub listen: Option<Listen>,

    /// A directory of the host that task definitions may name files in, and whose directories can be volumes; can be given several times.
    #[arg(long = "allow-host-path", value_name = "DIR")]
    pub host_paths: Vec<PathBuf>,

    /// End after so long without tasks and requests.
    #[arg(long, value_name = "SECONDS")]
    pub idle_exit: Option<u64>,

    /// What becomes of tasks when the host agent is asked to end [default: keep, but stop with --idle-exit].
    #[arg(long, value_name = "WHAT")]
    pub on_exit: Option<OnExit>,

    /// Give tasks no network: without it, this needs the right to make interfaces and the programs ip, bridge and nft.
    #[arg(long)]
    pub no_network: bool,

    /// The network that tasks are in, such as 10.200.0.0/16 [default: a free one].
    #[arg(long, value_name = "NETWORK")]
    pub network_subnet: Option<network::Subnet>,

    /// Memory of the host, in MiB, that is not given to tasks [default: a sixteenth of the host's].
    #[arg(long, value_name = "MIB")]
    pub memory_reserve: Option<u64>,

    /// How many times over the rest of the memory may be given to tasks that do not all use theirs.
    #[arg(long, value_name = "FACTOR", default_value_t = 1)]
    pub memory_overcommit: u32,

    /// How many times over the host's CPUs may be given to tasks: a limit bounds what each takes.
    #[arg(long, value_name = "FACTOR", default_value_t = 16)]
    pub cpu_overcommit: u32,

    /// Where metrics and health are to be had over TCP, without a signature: an address like 127.0.0.1:9477, or none.
    ///
    /// They are on the unix socket in any case: /metrics, /healthz, /readyz.
    #[arg(long, value_name = "ADDRESS", default_value = "none")]
    pub metrics: MetricsAddress,

    /// The users that VMMs are, one each, and their groups: numbers that nobody else has [default: 1879048192-1879113727].
    #[arg(long, value_name = "FIRST-LAST")]
    pub vmm_users: Option<Users>,

    /// The form of log lines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

impl Arguments {
    /// The configuration, where this program lies in `program_directory`.
    #[must_use]
    pub fn into_config(self, program_directory: &Path) -> Config {
        let share = program_directory
            .parent()
            .unwrap_or(program_directory)
            .join("share/mote");
        Config {
            socket: self.socket,
            state: self.state,
            runtime: self.runtime,
            cgroups: self.cgroups,
            kernel: self.kernel.unwrap_or_else(|| share.join("vmlinux")),
            initramfs: self.initramfs.unwrap_or_else(|| share.join("initramfs.cpio")),
            vmm: self.vmm.unwrap_or_else(|| program_directory.join("mote-vmm")),
            templates: self.templates,
            pool: self.pool.unwrap_or_else(pool_size),
            consoles: self.consoles,
            images: ImagesConfig {
                insecure_registries: self.insecure_registries,
                mirrors: self.registry_mirrors,
                authority_files: self.registry_authorities,
                discards_blobs: self.discard_blobs,
                limits: limits(self.image_size_max, self.image_files_max, self.image_expansion_max),
            },
            listen: self.listen.unwrap_or(Listen::Default),
            host_paths: self.host_paths,
            idle_exit: self.idle_exit.map(Duration::from_secs),
            on_exit: self.on_exit.unwrap_or(if self.idle_exit.is_some() {
                OnExit::Stop
            } else {
                OnExit::Keep
            }),
            has_network: !self.no_network,
            network_subnet: self.network_subnet,
            memory_reserve_mib: self
                .memory_reserve
                .unwrap_or_else(|| memory::total_mib() / MEMORY_RESERVE_SHARE),
            memory_overcommit: self.memory_overcommit,
            cpu_overcommit: self.cpu_overcommit,
            metrics: self.metrics,
            users: self.vmm_users.unwrap_or(Users::DEFAULT),
        }
    }
}

/// What an image may cost, and each of its layers: no layer may be larger than the image.
fn limits(image_bytes: u64, image_files: u64, image_expansion: u64) -> Limits {
    let usual = Limits::default();
    Limits {
        image_bytes,
        image_files,
        image_expansion,
        stream_bytes: image_bytes,
        data_bytes: image_bytes,
        // The image's own bound comes first: its refusal names the option.
        entries: usize::try_from(image_files.saturating_add(1)).unwrap_or(usize::MAX),
        ..usual
    }
}

/// So many starts can be under way on this host without one waiting for another's CPU: a deeper pool would save work, but no time, and takes
/// memory while nothing starts.
fn pool_size() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(POOL_SIZE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_lies_beside_the_program() {
        let arguments = Arguments::try_parse_from(["mote-agent", "--vmm", "/v", "--idle-exit", "5"]).unwrap();
        let config = arguments.into_config(Path::new("/opt/mote/bin"));
        assert_eq!(config.kernel, Path::new("/opt/mote/share/mote/vmlinux"));
        assert_eq!(config.initramfs, Path::new("/opt/mote/share/mote/initramfs.cpio"));
        assert_eq!(config.vmm, Path::new("/v"));
        assert_eq!(
            (config.idle_exit, config.on_exit),
            (Some(Duration::from_secs(5)), OnExit::Stop)
        );
        assert!((1..=POOL_SIZE_MAX).contains(&config.pool));
    }
}
