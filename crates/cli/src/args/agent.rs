//! The command line of `mote agent`, `mote completions` and `mote man`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `mote agent`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Agent {
    /// Run in the background; return as soon as it can be reached
    #[arg(long)]
    pub detach: bool,
    /// Options of the host agent's own; `mote agent -- --help` tells them
    #[arg(last = true, value_name = "OPTION")]
    pub options: Vec<String>,
    /// What to do instead of running it
    #[command(subcommand)]
    pub verb: Option<AgentVerb>,
}

/// The verbs of `mote agent`.
#[derive(Debug, Subcommand)]
pub enum AgentVerb {
    /// Have systemd run the host agent
    #[command(after_help = "Examples:\n  mote agent install\n  mote agent install --print -- --listen 127.0.0.1:7711")]
    Install(AgentInstall),
}

/// `mote agent install`.
#[derive(Debug, Args)]
pub struct AgentInstall {
    /// Print the unit and write nothing
    #[arg(long)]
    pub print: bool,
    /// Where to write it
    #[arg(long, default_value = "/etc/systemd/system/mote.service", value_name = "FILE")]
    pub unit: PathBuf,
    /// Options of the host agent's own
    #[arg(last = true, value_name = "OPTION")]
    pub options: Vec<String>,
}

/// `mote completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `mote man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The directory
    pub directory: PathBuf,
}
