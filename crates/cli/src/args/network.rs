//! The command line of `mote network`.

use clap::{Args, Subcommand};

use super::QuietListing;
use crate::value::{Filter, Format, Moment};

/// `mote network`.
#[derive(Debug, Subcommand)]
pub enum NetworkVerb {
    /// Make a network: its tasks reach each other, by address and by name
    #[command(
        after_help = "Examples:\n  mote network create front\n  mote network create --internal --subnet 10.20.30.0/24 back"
    )]
    Create(NetworkCreate),
    /// List networks
    #[command(
        visible_alias = "list",
        after_help = "Example:\n  mote network ls --filter label=team=web"
    )]
    Ls(NetworkLs),
    /// Show all that is known of networks
    #[command(after_help = "Example:\n  mote network inspect --format '{{.subnet}}' front")]
    Inspect(NetworkInspect),
    /// Remove networks that no task is in
    #[command(visible_alias = "remove", after_help = "Example:\n  mote network rm front")]
    Rm(NetworkRm),
    /// Remove all networks that no task is in
    #[command(after_help = "Example:\n  mote network prune --force --until 24h")]
    Prune(NetworkPrune),
}

/// `mote network create`.
#[derive(Debug, Args)]
pub struct NetworkCreate {
    /// Its addresses, such as 172.30.5.0/24; free ones where absent. Given twice, for IPv6 too
    #[arg(long, value_name = "CIDR")]
    pub subnet: Vec<String>,
    /// Give its tasks IPv6 addresses beside: those of --subnet, or local ones that are free
    #[arg(long)]
    pub ipv6: bool,
    /// Let its tasks reach nobody but each other
    #[arg(long)]
    pub internal: bool,
    /// Set a label
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Its name
    pub name: String,
}

/// `mote network ls`.
#[derive(Debug, Args)]
pub struct NetworkLs {
    /// Show only those that fit: name=TEXT, label=KEY or label=KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
}

/// `mote network inspect`.
#[derive(Debug, Args)]
pub struct NetworkInspect {
    /// How to print: json, table, or a template such as '{{.subnet}}'
    #[arg(short, long, default_value = "json", value_name = "FORMAT")]
    pub format: Format,
    /// Their names
    #[arg(required = true, value_name = "NETWORK")]
    pub names: Vec<String>,
}

/// `mote network rm`.
#[derive(Debug, Args)]
pub struct NetworkRm {
    /// Their names
    #[arg(required = true, value_name = "NETWORK")]
    pub names: Vec<String>,
}

/// `mote network prune`.
#[derive(Debug, Args)]
pub struct NetworkPrune {
    /// Do not ask first
    #[arg(short, long)]
    pub force: bool,
    /// Remove only what is older than this
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
}
