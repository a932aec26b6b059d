//! The configuration: plain data, made once from the command line and passed on.

use std::net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use api::error::{ApiError, ErrorCode};

/// Where things are and how the host agent behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket that it listens on.
    pub socket: PathBuf,
    /// What outlives it: images, scratch disks.
    pub state: PathBuf,
    /// What does not outlive the host: sockets, the directories of running tasks.
    pub runtime: PathBuf,
    /// Where the cgroup v2 hierarchy is mounted.
    pub cgroups: PathBuf,
    /// The guest kernel: an uncompressed ELF image.
    pub kernel: PathBuf,
    /// The initramfs with the guest agent.
    pub initramfs: PathBuf,
    /// The VMM's program.
    pub vmm: PathBuf,
    /// Where templates are kept; on a tmpfs of their own in [`Self::runtime`] where absent.
    pub templates: Option<PathBuf>,
    /// How many clones wait for a task.
    pub pool: usize,
    /// Where the guests' kernels' messages are kept, a file per task; nowhere where absent.
    pub consoles: Option<PathBuf>,
    /// How images get into the store, and what they may cost.
    pub images: ImagesConfig,
    /// Where it listens for signed requests over TCP.
    pub listen: Listen,
    /// Directories of the host that task definitions may name files in, and whose directories can be volumes.
    pub host_paths: Vec<PathBuf>,
    /// How long it stays without tasks and requests; for ever where absent.
    pub idle_exit: Option<Duration>,
    /// What becomes of tasks when it is asked to end.
    pub on_exit: OnExit,
    /// Whether tasks can have a network.
    pub has_network: bool,
    /// The network that tasks are in; a free one where absent.
    pub network_subnet: Option<network::Subnet>,
    /// Memory that is not given to tasks, in MiB.
    pub memory_reserve_mib: u64,
    /// How often the rest of the memory is given away.
    pub memory_overcommit: u32,
    /// How often the host's CPUs are given away.
    pub cpu_overcommit: u32,
    /// Where metrics are to be had over TCP.
    pub metrics: MetricsAddress,
    /// The users that VMMs are, one each.
    pub users: Users,
}

/// Users, and groups with the same numbers, that nobody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// The first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl Users {
    /// Those that VMMs are where nobody says which: behind the numbers that systemd gives to containers, and before those that are signed
    /// negative.
    pub const DEFAULT: Self = Self {
        first: 0x7000_0000,
        count: 0x1_0000,
    };
}

/// Why a range of users cannot be one.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no range of users: give one like 1879048192-1879113727, without root and with no more than 65536 in it"
)]
pub struct UsersError(String);

impl FromStr for Users {
    type Err = UsersError;

    fn from_str(text: &str) -> Result<Self, UsersError> {
        let parse = || {
            let (first, last) = text.split_once('-')?;
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            // The last number of all means nobody in system calls.
            let count = last.checked_sub(first)?.checked_add(1)?;
            (first > 0 && last < u32::MAX && count <= Self::DEFAULT.count).then_some(Self { first, count })
        };
        parse().ok_or_else(|| UsersError(text.to_owned()))
    }
}

/// How images get into the store, and what they may cost.
#[derive(Clone, Debug, Default)]
pub struct ImagesConfig {
    /// Registries that may be spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// Who is asked before a registry, in this order.
    pub mirrors: Vec<RegistryMirror>,
    /// Files of certificate authorities that registries are trusted by, besides the host's.
    pub authority_files: Vec<PathBuf>,
    /// Whether layers are thrown away as they came once they are converted.
    pub discards_blobs: bool,
    /// What an image and its layers may cost.
    pub limits: image::limits::Limits,
}

/// Another registry that has what a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryMirror {
    /// As in images' names: `docker.io`, `registry.example:5000`.
    pub registry: String,
    /// `host[:port][/prefix]`
    pub location: String,
}

/// Why a text names no mirror.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no mirror: it must be REGISTRY=HOST[:PORT][/PREFIX], as in docker.io=mirror.example:5000")]
pub struct RegistryMirrorError(String);

impl FromStr for RegistryMirror {
    type Err = RegistryMirrorError;

    fn from_str(text: &str) -> Result<Self, RegistryMirrorError> {
        let refused = || RegistryMirrorError(text.to_owned());
        let (registry, location) = text.split_once('=').ok_or_else(refused)?;
        // Both begin as images' names do.
        let is_registry = |name: &str| {
            let reference = image::Reference::parse(&format!("{name}/image")).ok();
            let host = name.split('/').next().unwrap_or_default();
            reference.is_some_and(|reference| reference.domain() == host)
        };
        if is_registry(registry) && !registry.contains('/') && is_registry(location) {
            Ok(Self {
                registry: registry.to_owned(),
                location: location.to_owned(),
            })
        } else {
            Err(refused())
        }
    }
}

/// Where a host agent listens for signed requests over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At [`LISTEN_DEFAULT`], unless somebody else does.
    Default,
    /// At this address.
    At(SocketAddr),
    /// Nowhere.
    Nowhere,
}

/// Where a host agent listens that nobody told: for this host alone.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7711);

impl FromStr for Listen {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::Nowhere),
            address => address.parse().map(Self::At),
        }
    }
}

/// Where metrics are to be had over TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Nowhere.
    #[default]
    None,
    /// Here.
    At(SocketAddr),
}

/// Why an address cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address for metrics: give one like 127.0.0.1:9477, or none")]
pub struct MetricsAddressError(String);

impl FromStr for MetricsAddress {
    type Err = MetricsAddressError;

    fn from_str(text: &str) -> Result<Self, MetricsAddressError> {
        match text {
            "none" => Ok(Self::None),
            text => text
                .parse()
                .map(Self::At)
                .map_err(|_| MetricsAddressError(text.to_owned())),
        }
    }
}

/// What becomes of tasks when the host agent is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnExit {
    /// They run on, and the next host agent takes them over.
    Keep,
    /// They are stopped.
    Stop,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line, with its time, level, origin and members: a task's id is in `task`.
    Json,
}

impl Config {
    /// Where the directories of running microVMs are.
    #[must_use]
    pub fn microvms_directory(&self) -> PathBuf {
        self.runtime.join("microvms")
    }

    /// Where templates are.
    #[must_use]
    pub fn templates_directory(&self) -> PathBuf {
        let own = || self.runtime.join("templates");
        self.templates.clone().unwrap_or_else(own)
    }

    /// Where the formatted scratch disk is, and what tasks write to theirs.
    #[must_use]
    pub fn scratch_directory(&self) -> PathBuf {
        self.state.join("scratch")
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state.join("mote.db")
    }

    /// Where the output of containers is kept.
    #[must_use]
    pub fn logs_directory(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Where the image store is.
    #[must_use]
    pub fn images_directory(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Checks that every file a microVM needs is there.
    ///
    /// # Errors
    /// [`ErrorCode::HostUnable`] with what is missing and how to get it.
    pub fn check_files(&self) -> Result<(), ApiError> {
        let files = [
            (
                "the guest kernel",
                &self.kernel,
                "build it with `make kernel` or name one with --kernel",
            ),
            (
                "the initramfs",
                &self.initramfs,
                "build it with `make build` or name one with --initramfs",
            ),
            (
                "the VMM",
                &self.vmm,
                "install mote-vmm beside mote-agent or name it with --vmm",
            ),
        ];
        let missing = |path: &Path| !path.is_file();
        match files.into_iter().find(|(_, path, _)| missing(path)) {
            None => Ok(()),
            Some((what, path, remedy)) => Err(ApiError {
                code: ErrorCode::HostUnable,
                message: format!("cannot find {what} at {}; {remedy}", path.display()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_a_range_without_root() {
        let users = Users { first: 7, count: 3 };
        assert_eq!("7-9".parse::<Users>().unwrap(), users);
        for wrong in ["", "7", "0-9", "9-7", "1-4294967295", "1-70000", "a-b"] {
            assert!(wrong.parse::<Users>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mirror_is_a_registry_and_a_place() {
        let mirror: RegistryMirror = "docker.io=mirror.example:5000/hub".parse().unwrap();
        assert_eq!(
            (mirror.registry.as_str(), mirror.location.as_str()),
            ("docker.io", "mirror.example:5000/hub")
        );
        for text in [
            "docker.io",
            "docker.io=",
            "=a.example",
            "a.example/b=c.example",
            "a.example=https://b.example",
            "x=UPPER CASE",
        ] {
            assert!(text.parse::<RegistryMirror>().is_err(), "{text}");
        }
    }

    #[test]
    fn metrics_have_an_address_or_none() {
        assert_eq!("none".parse::<MetricsAddress>().unwrap(), MetricsAddress::None);
        assert_eq!(
            "127.0.0.1:9477".parse::<MetricsAddress>().unwrap(),
            MetricsAddress::At(SocketAddr::from(([127, 0, 0, 1], 9477)))
        );
        assert!("9477".parse::<MetricsAddress>().is_err());
    }
}
