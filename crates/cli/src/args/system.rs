//! The command line of `mote system`.

use clap::{Args, Subcommand};

use super::Listing;
use crate::value::Moment;

/// `mote system`.
#[derive(Debug, Subcommand)]
pub enum System {
    /// Show the host, its host agent and what tasks may take
    #[command(after_help = "Example:\n  mote system info --format '{{.capacity.memory_mib}}'")]
    Info(Listing),
    /// Show what everything takes
    #[command(after_help = "Example:\n  mote system df")]
    Df(Listing),
    /// Remove stopped tasks, networks that no task is in, and images without a name
    #[command(after_help = "Examples:\n  mote system prune\n  mote system prune --all --force --until 24h")]
    Prune(Prune),
}

/// `mote doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Tell what makes this host safer to run strangers' programs on, instead
    #[arg(long)]
    pub security: bool,
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
}

/// `mote system prune`.
#[derive(Debug, Args)]
pub struct Prune {
    /// Remove all images that no task uses
    #[arg(short, long)]
    pub all: bool,
    /// Do not ask first
    #[arg(short, long)]
    pub force: bool,
    /// Remove only what is older than this
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// How to print what is gone
    #[command(flatten)]
    pub listing: Listing,
}
