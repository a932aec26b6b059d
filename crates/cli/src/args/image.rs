//! The command line of the verbs about images.

use std::path::PathBuf;

use clap::Args;

use super::Registry;

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

/// Some images.
#[derive(Debug, Args)]
pub struct ImageNames {
    /// References or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}
