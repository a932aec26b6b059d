//! The command line of `mote run`.

use std::path::PathBuf;

use api::task::{HostEntry, NetworkMode, PortMapping, Tmpfs, Ulimit};
use clap::{Args, ValueEnum};

use crate::value::{
    MemoryMib, PidsLimit, Rate, Seconds, VcpuMilli, Volume, parse_host_entry, parse_network, parse_pids_limit,
    parse_port, parse_tmpfs, parse_ulimit, parse_volume,
};

/// `mote run`.
#[derive(Debug, Args)]
pub struct Run {
    /// CPU, in vCPUs, to a thousandth
    #[arg(long, visible_aliases = ["cpus", "vcpu"], default_value = "1", value_name = "VCPUS")]
    pub cpu: VcpuMilli,
    /// Memory, in MiB, or with a unit: 64, 64m, 1g
    #[arg(short, long, default_value = "128", value_name = "MIB")]
    pub memory: MemoryMib,
    /// Run in the background and print the task's id
    #[arg(short, long, conflicts_with = "timing")]
    pub detach: bool,
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the process a terminal; Ctrl-P Ctrl-Q leaves it
    #[arg(short, long)]
    pub tty: bool,
    /// Forget the task when it has stopped
    #[arg(long)]
    pub rm: bool,
    /// The task's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write the task's id to a new file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// What the process gets
    #[command(flatten)]
    pub process: ProcessOptions,
    /// How the task reaches others, and they it
    #[command(flatten)]
    pub network: NetworkOptions,
    /// What it may write and use
    #[command(flatten)]
    pub resources: ResourceOptions,
    /// How its health is checked
    #[command(flatten)]
    pub health: HealthOptions,
    /// How it begins and ends
    #[command(flatten)]
    pub life: LifeOptions,
    /// When to pull the image
    #[arg(long, default_value = "missing", value_name = "POLICY")]
    pub pull: PullPolicy,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// What to sign in to the registry with
    #[command(flatten)]
    pub registry: Registry,
    /// Print the clock points of the start to standard error at the end
    #[arg(long)]
    pub timing: bool,
    /// The image: a reference, or oci-archive:FILE, docker-archive:FILE, oci:DIRECTORY
    pub image: String,
    /// The command and its arguments, instead of the image's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// What the process gets.
#[derive(Debug, Default, Args)]
pub struct ProcessOptions {
    /// Set an environment variable; without a value, take it from this environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read environment variables from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Set an environment variable to a secret of `mote secret`
    #[arg(long, value_name = "NAME=SECRET")]
    pub secret: Vec<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIRECTORY")]
    pub workdir: Option<String>,
    /// The user, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The program instead of the image's; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Options of the kernel's or the runtime's: no-new-privileges
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<SecurityOption>,
    /// Give a capability beside the usual ones, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Take a capability of the usual ones away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// Set a resource limit: nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = parse_ulimit)]
    pub ulimit: Vec<Ulimit>,
    /// The most processes and threads at a time; -1 for no limit
    #[arg(long, value_name = "NUMBER", value_parser = parse_pids_limit, allow_negative_numbers = true)]
    pub pids_limit: Option<PidsLimit>,
    /// Put a small first process in front that reaps orphans
    #[arg(long)]
    pub init: bool,
    /// Set a label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub label: Vec<String>,
    /// Read labels from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<PathBuf>,
}

/// How a task reaches others, and they it.
#[derive(Debug, Default, Args)]
pub struct NetworkOptions {
    /// Its network: default, none, or one of `mote network create`
    #[arg(
        long,
        alias = "net",
        default_value = "default",
        value_name = "NETWORK",
        hide_default_value = true,
        value_parser = parse_network
    )]
    pub network: NetworkMode,
    /// Publish a port on the host; on a free one where none is given
    #[arg(short, long, value_name = "[[ADDRESS:]HOST_PORT:]PORT[/udp]", value_parser = parse_port)]
    pub publish: Vec<PortMapping>,
    /// A name server instead of the host's
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<std::net::IpAddr>,
    /// Add a name to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = parse_host_entry)]
    pub add_host: Vec<HostEntry>,
    /// The bytes that it may receive in a second, and as many that it may send, or with a unit: 10m
    #[arg(long = "network-maxbandwidth", value_name = "BYTES")]
    pub network_max_bandwidth: Option<Rate>,
    /// The host name
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
}

/// What a task may write and use.
#[derive(Debug, Default, Args)]
pub struct ResourceOptions {
    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Mount a file system in memory
    #[arg(long, value_name = "PATH[:OPTION,...]", value_parser = parse_tmpfs)]
    pub tmpfs: Vec<Tmpfs>,
    /// Mount an empty volume, which is gone with the task, or a directory of the host that the host agent may use (--allow-host-path)
    #[arg(short, long, value_name = "[HOST-PATH:]PATH[:ro]", value_parser = parse_volume)]
    pub volume: Vec<Volume>,
    /// The size of /dev/shm, in MiB, or with a unit
    #[arg(long, value_name = "MIB")]
    pub shm_size: Option<MemoryMib>,
    /// The size of what it can write to its file systems, in MiB, or with a unit
    #[arg(long, value_name = "MIB")]
    pub storage: Option<MemoryMib>,
    /// About how many files and directories it can make there; as many as is usual for the size where nothing is said
    #[arg(long, value_name = "NUMBER")]
    pub storage_inodes: Option<u32>,
    /// The bytes that it may read from and write to its disks in a second, or with a unit: 10m
    #[arg(long = "io-maxbandwidth", value_name = "BYTES")]
    pub io_max_bandwidth: Option<Rate>,
    /// The requests to its disks in a second
    #[arg(long = "io-maxiops", value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub io_max_iops: Option<u64>,
    /// Set a kernel setting of the guest's
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
}

/// How the health of a task is checked.
#[derive(Debug, Default, Args)]
pub struct HealthOptions {
    /// A line for the container's shell that fails where it is unhealthy
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// The time between checks
    #[arg(long, value_name = "SECONDS")]
    pub health_interval: Option<Seconds>,
    /// The time that a check may take
    #[arg(long, value_name = "SECONDS")]
    pub health_timeout: Option<Seconds>,
    /// How many failures in a row make it unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<u32>,
    /// The time after the start in which failures do not count
    #[arg(long, value_name = "SECONDS")]
    pub health_start_period: Option<Seconds>,
    /// Do not check, whatever the image says
    #[arg(long, conflicts_with = "health_cmd")]
    pub no_healthcheck: bool,
}

/// How a task begins and ends.
#[derive(Debug, Args)]
pub struct LifeOptions {
    /// Start the process again when it ends: no, always, on-failure, unless-stopped
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<Restart>,
    /// Stop the task after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
    /// Seconds between the stop signal and the kill
    #[arg(long, default_value_t = api::task::stop_timeout_seconds(), value_name = "SECONDS")]
    pub stop_timeout: u32,
    /// Keep the output in this log group
    #[arg(long, value_name = "GROUP")]
    pub log_group: Option<String>,
    /// Begin the name of the log stream with this
    #[arg(long, value_name = "PREFIX")]
    pub log_stream_prefix: Option<String>,
    /// Start on the first vCPU, while the others are brought online; a program that counts CPUs once may then count too few
    #[arg(long)]
    pub no_cpu_wait: bool,
}

impl Default for LifeOptions {
    fn default() -> Self {
        Self {
            restart: None,
            timeout: None,
            stop_timeout: api::task::stop_timeout_seconds(),
            log_group: None,
            log_stream_prefix: None,
            no_cpu_wait: false,
        }
    }
}

/// When `mote run` pulls the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    /// Every time
    Always,
    /// Where it is not in the store
    Missing,
    /// Not at all
    Never,
}

/// What `--security-opt` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SecurityOption {
    /// The process and its children gain no privileges by executing set-user-ID programs
    NoNewPrivileges,
}

/// When a process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// Never
    No,
    /// Whenever it ends
    Always,
    /// Where it fails
    OnFailure,
    /// As always: a task that was stopped stays so
    UnlessStopped,
}

/// How to speak to a registry.
#[derive(Debug, Default, Args)]
pub struct Registry {
    /// The user name and password; otherwise the Docker configuration of the host agent's user is asked
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,
    /// Speak plain HTTP to the registry
    #[arg(long)]
    pub insecure: bool,
}
