//! The command line of `mote run`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{Arguments, Command};
use crate::value::{MemoryMib, VcpuMilli};

/// [`Arguments`] with no other verb.
#[derive(Debug, Parser)]
#[command(name = "mote", args_override_self = true)]
pub(super) struct RunAlone {
    #[arg(long, global = true, env = "MOTE_HOST")]
    host: Option<String>,
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Debug, Subcommand)]
enum RunCommand {
    Run(Box<Run>),
}

impl From<RunAlone> for Arguments {
    fn from(RunAlone { host, command }: RunAlone) -> Self {
        let RunCommand::Run(run) = command;
        Self {
            host,
            command: Command::Run(run),
        }
    }
}

/// `mote run`.
#[derive(Debug, Args)]
pub struct Run {
    /// CPU, in vCPUs, to a thousandth
    #[arg(long, default_value = "1", value_name = "VCPUS")]
    pub cpu: VcpuMilli,
    /// Memory, in MiB, or with a unit: 64, 64m, 1g
    #[arg(short, long, default_value = "128", value_name = "MIB")]
    pub memory: MemoryMib,
    /// Set an environment variable; without a value, take it from this environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read environment variables from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// The working directory
    #[arg(short, long, value_name = "DIRECTORY")]
    pub workdir: Option<String>,
    /// The user, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The program instead of the image's; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// The host name
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the process a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Forget the task when it has stopped
    #[arg(long)]
    pub rm: bool,
    /// The task's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Stop the task after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
    /// Seconds between the stop signal and the kill
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub stop_timeout: u32,
    /// Options of the kernel's or the runtime's: no-new-privileges
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<SecurityOption>,
    /// When to pull the image
    #[arg(long, default_value = "missing", value_name = "POLICY")]
    pub pull: PullPolicy,
    /// What to sign in to the registry with
    #[command(flatten)]
    pub registry: Registry,
    /// Start on the first vCPU, while the others are brought online; a program that counts CPUs once may then count too few
    #[arg(long)]
    pub no_cpu_wait: bool,
    /// Print the clock points of the start to standard error at the end
    #[arg(long)]
    pub timing: bool,
    /// The image: a reference, or oci-archive:FILE, docker-archive:FILE, oci:DIRECTORY
    pub image: String,
    /// The command and its arguments, instead of the image's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
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

/// How to speak to a registry.
#[derive(Debug, Args)]
pub struct Registry {
    /// The user name and password; otherwise the Docker configuration of the host agent's user is asked
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,
    /// Speak plain HTTP to the registry
    #[arg(long)]
    pub insecure: bool,
}
