//! The command line.

mod machine;
mod run;
mod template;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use machine::{Machine, MachineShell, MachineStart, MachineStatus};
pub use run::{PullPolicy, Registry, Run, SecurityOption};
pub use template::{Template, TemplateBuild, TemplateLs, TemplateRm};

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

impl Arguments {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// What is wrong with it, or what was asked to be told of it.
    pub fn read() -> Result<Self, clap::Error> {
        Self::parse_words(std::env::args_os().collect())
    }

    fn parse_words(words: Vec<OsString>) -> Result<Self, clap::Error> {
        // Half of what a `mote run` executes would be the making of a parser for all the other verbs.
        let quick = words.get(1).is_some_and(|verb| verb == "run");
        // Whatever is wrong with it, the whole parser tells.
        match quick.then(|| run::RunAlone::try_parse_from(&words)) {
            Some(Ok(alone)) => Ok(alone.into()),
            _ => Self::try_parse_from(words),
        }
    }
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
    fn run_alone_is_read_as_by_the_whole_parser() {
        for line in [
            "mote run busybox",
            "mote run --host unix:///a --cpu 0.25 --rm -it -e A=1 -e B busybox sh -c exit --host b",
            "mote run --no-cpu-wait --timeout 5 --timeout 6 oci:dir -- ls -l",
            "mote run --pull never --creds a:b --security-opt no-new-privileges app",
            "mote --host unix:///b run app",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let whole = Arguments::try_parse_from(&words).unwrap();
            assert_eq!(
                format!("{:?}", Arguments::parse_words(words).unwrap()),
                format!("{whole:?}"),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_run_is_told_by_the_whole_parser() {
        for line in [
            "mote run",
            "mote run --help",
            "mote run --cpu x app",
            "mote run --nope app",
            "mote run --version",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let whole = Arguments::try_parse_from(&words).unwrap_err();
            assert_eq!(
                Arguments::parse_words(words).unwrap_err().to_string(),
                whole.to_string(),
                "{line}"
            );
        }
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
