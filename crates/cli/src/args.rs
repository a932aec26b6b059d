//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::value::{MemoryMib, VcpuMilli};

/// Run OCI images in microVMs of exactly the size asked for.
#[derive(Debug, Parser)]
#[command(name = "mote", version, about, max_term_width = 100, args_override_self = true)]
pub struct Arguments {
    /// The host agent's socket, as unix:///PATH; found or started on this host, or in the machine, where absent
    #[arg(long, global = true, env = "MOTE_HOST", value_name = "ADDRESS")]
    pub host: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a new microVM
    Run(Box<Run>),
    /// List tasks
    Ps(Ps),
    /// Show everything about tasks, as JSON
    Inspect(TaskNames),
    /// Show what running tasks use, refreshed every second
    Stats(Stats),
    /// Stop tasks: the stop signal first, then a kill
    Stop(Stop),
    /// Forget stopped tasks
    Rm(Rm),
    /// Bring an image from its registry into the store
    Pull(Pull),
    /// Bring the images of an OCI layout, OCI archive or `docker save` archive into the store
    Load(Load),
    /// List the images in the store
    Images(Listing),
    /// Remove images from the store
    Rmi(ImageNames),
    /// Templates: the booted guests that microVMs are cloned from
    #[command(subcommand)]
    Template(Template),
    /// Show what the host agent has
    Info(Listing),
    /// Tell what this host offers, by trying it
    Doctor(Listing),
    /// The QEMU VM that plays the host where hardware virtualization is missing
    #[command(subcommand)]
    Machine(Machine),
    /// Run the host agent
    Agent(Agent),
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

/// `mote pull`.
#[derive(Debug, Args)]
pub struct Pull {
    /// How to speak to the registry
    #[command(flatten)]
    pub registry: Registry,
    /// The platform, where the image is for several
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub platform: Option<String>,
    /// Print the digest alone
    #[arg(short, long)]
    pub quiet: bool,
    /// The image
    pub image: String,
}

/// `mote load`.
#[derive(Debug, Args)]
pub struct Load {
    /// The archive or layout; standard input where absent
    #[arg(short, long, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// A name for an image that the archive does not name
    #[arg(long, value_name = "REFERENCE")]
    pub name: Option<String>,
    /// Print names alone
    #[arg(short, long)]
    pub quiet: bool,
    /// The archive or layout, in place of --input
    #[arg(conflicts_with = "input", value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Anything that lists.
#[derive(Debug, Args)]
pub struct Listing {
    /// How to print
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// How to print a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// `mote ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// Show stopped tasks as well
    #[arg(short, long)]
    pub all: bool,
    /// Print ids alone
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
}

/// `mote stats`.
#[derive(Debug, Args)]
pub struct Stats {
    /// Print one reading; CPU is then the average since the start
    #[arg(long)]
    pub no_stream: bool,
    /// How to print; JSON is one reading
    #[command(flatten)]
    pub listing: Listing,
    /// Names, ids or unique beginnings of ids; all running tasks where absent
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
}

/// `mote template`.
#[derive(Debug, Subcommand)]
pub enum Template {
    /// Make the template that tasks need, if it is not there
    Build(TemplateBuild),
    /// List templates
    Ls(TemplateLs),
    /// Remove templates; running tasks go on, the next start makes a new one
    Rm(TemplateRm),
}

/// `mote template build`.
#[derive(Debug, Args)]
pub struct TemplateBuild {
    /// Make a new one even where one is there
    #[arg(long)]
    pub force: bool,
}

/// `mote template ls`.
#[derive(Debug, Args)]
pub struct TemplateLs {
    /// Print keys alone
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
}

/// `mote template rm`.
#[derive(Debug, Args)]
pub struct TemplateRm {
    /// Remove all
    #[arg(short, long, conflicts_with = "templates")]
    pub all: bool,
    /// Keys or unique beginnings of keys
    #[arg(required_unless_present = "all", value_name = "TEMPLATE")]
    pub templates: Vec<String>,
}

/// `mote stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// Seconds between the stop signal and the kill
    #[arg(short, long, value_name = "SECONDS")]
    pub time: Option<u32>,
    /// The tasks
    #[command(flatten)]
    pub tasks: TaskNames,
}

/// `mote rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Kill running tasks first
    #[arg(short, long)]
    pub force: bool,
    /// The tasks
    #[command(flatten)]
    pub tasks: TaskNames,
}

/// Some tasks.
#[derive(Debug, Args)]
pub struct TaskNames {
    /// Names, ids or unique beginnings of ids
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
}

/// Some images.
#[derive(Debug, Args)]
pub struct ImageNames {
    /// References or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// `mote machine`.
#[derive(Debug, Subcommand)]
pub enum Machine {
    /// Start the machine
    Start(MachineStart),
    /// Stop the machine
    Stop(MachineName),
    /// Tell whether the machine runs
    Status(MachineStatus),
    /// Run a command in the machine, a shell where none is given
    Shell(MachineShell),
}

/// Which machine.
#[derive(Debug, Args)]
pub struct MachineName {
    /// The machine's name
    #[arg(long = "machine", default_value = "default", value_name = "NAME")]
    pub name: String,
}

/// `mote machine start`.
#[derive(Debug, Args)]
pub struct MachineStart {
    /// Which machine
    #[command(flatten)]
    pub name: MachineName,
    /// Its CPUs; one where they are emulated, two otherwise
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    pub cpus: Option<u8>,
    /// Its memory, in MiB, or with a unit
    #[arg(short, long, default_value = "4096", value_name = "MIB")]
    pub memory: MemoryMib,
    /// Share a directory of this host, writable, under the same path
    #[arg(long, value_name = "DIRECTORY")]
    pub share: Option<PathBuf>,
    /// Let the machine's clock count instructions: one CPU, times that repeat
    #[arg(long)]
    pub icount: bool,
    /// Keep nothing: the machine's image store is gone when it stops
    #[arg(long)]
    pub ephemeral: bool,
}

/// `mote machine status`.
#[derive(Debug, Args)]
pub struct MachineStatus {
    /// Which machine
    #[command(flatten)]
    pub name: MachineName,
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
}

/// `mote machine shell`.
#[derive(Debug, Args)]
pub struct MachineShell {
    /// Which machine
    #[command(flatten)]
    pub name: MachineName,
    /// Set an environment variable
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIRECTORY")]
    pub workdir: Option<String>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `mote agent`.
#[derive(Debug, Args)]
pub struct Agent {
    /// Run in the background; return as soon as it can be reached
    #[arg(long)]
    pub detach: bool,
    /// Options of the host agent's own; `mote agent -- --help` tells them
    #[arg(last = true, value_name = "OPTION")]
    pub options: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_after_the_image_belong_to_the_command() {
        let arguments = Arguments::try_parse_from(["mote", "run", "--cpu", "0.25", "busybox", "ls", "-l"]).unwrap();
        let Command::Run(run) = arguments.command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["ls", "-l"]);
    }

    #[test]
    fn templates_are_removed_by_name_or_all_at_once() {
        let parse = |rest: &[&str]| Arguments::try_parse_from([&["mote", "template", "rm"], rest].concat());
        assert!(parse(&["3f2a"]).is_ok());
        assert!(parse(&["--all"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--all", "3f2a"]).is_err());
    }
}
