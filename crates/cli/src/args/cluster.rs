//! The command line of `mote cluster`.

use clap::{Args, Subcommand};

use super::QuietListing;

/// `mote cluster`.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Create a cluster
    #[command(after_help = "Example:\n  mote cluster create staging --tag team=blue")]
    Create(ClusterCreate),
    /// List clusters
    #[command(visible_alias = "ls", after_help = "Example:\n  mote cluster list")]
    List(ClusterLs),
    /// Remove clusters that have no tasks and no services
    #[command(after_help = "Example:\n  mote cluster rm staging")]
    Rm(ClusterRm),
}

/// `mote cluster create`.
#[derive(Debug, Args)]
pub struct ClusterCreate {
    /// Set a tag
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
    /// Its name
    pub name: String,
}

/// `mote cluster list`.
#[derive(Debug, Args)]
pub struct ClusterLs {
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
}

/// `mote cluster rm`.
#[derive(Debug, Args)]
pub struct ClusterRm {
    /// Their names
    #[arg(required = true, value_name = "CLUSTER")]
    pub clusters: Vec<String>,
}
