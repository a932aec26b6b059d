//! The command line of `mote machine`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Listing;
use crate::value::MemoryMib;

/// `mote machine`.
#[derive(Debug, Subcommand)]
pub enum Machine {
    /// Start the machine
    #[command(after_help = "Example:\n  mote machine start --cpus 2 --memory 8g")]
    Start(MachineStart),
    /// Stop the machine
    #[command(after_help = "Example:\n  mote machine stop")]
    Stop(MachineName),
    /// Tell whether the machine runs
    #[command(after_help = "Example:\n  mote machine status")]
    Status(MachineStatus),
    /// Run a command in the machine, a shell where none is given
    #[command(after_help = "Example:\n  mote machine shell -- uname -a")]
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
