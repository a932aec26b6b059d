//! The command line of the verbs about images.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{QuietListing, Registry};
use crate::value::{Filter, Moment};

/// `mote image`.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// List the images in the store
    #[command(visible_alias = "list", after_help = "Example:\n  mote image ls --tree")]
    Ls(Images),
    /// Bring an image from its registry into the store
    #[command(after_help = "Example:\n  mote image pull registry.example/team/app:2")]
    Pull(Pull),
    /// Bring the images of an archive or OCI layout into the store
    #[command(after_help = "Example:\n  mote image load -i app.tar")]
    Load(Load),
    /// Write images as an OCI archive
    #[command(after_help = "Example:\n  mote image save -o app.tar app:2")]
    Save(Save),
    /// Remove images from the store
    #[command(visible_alias = "remove", after_help = "Example:\n  mote image rm app:1")]
    Rm(ImageNames),
    /// Remove images without a name
    #[command(after_help = "Examples:\n  mote image prune\n  mote image prune --all --force --filter until=24h")]
    Prune(ImagePrune),
}

/// `mote images`.
#[derive(Debug, Args)]
pub struct Images {
    /// Show which layers images share
    #[arg(long, conflicts_with_all = ["quiet", "format"])]
    pub tree: bool,
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
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

/// `mote save`.
#[derive(Debug, Args)]
pub struct Save {
    /// The file; standard output where absent
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// References or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// Some images.
#[derive(Debug, Args)]
pub struct ImageNames {
    /// References or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// `mote image prune`.
#[derive(Debug, Args)]
pub struct ImagePrune {
    /// Remove all images that no task uses
    #[arg(short, long)]
    pub all: bool,
    /// Do not ask first
    #[arg(short, long)]
    pub force: bool,
    /// Remove only what fits: until=TIME for what came into the store before
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
}

impl ImagePrune {
    /// Until when images must have come to be removed.
    ///
    /// # Errors
    /// One sentence about a filter that there is not.
    pub fn until(&self) -> Result<Option<Moment>, String> {
        let mut until: Option<Moment> = None;
        for filter in &self.filter {
            if filter.key != "until" {
                return Err(format!("there is no filter '{}': there is until", filter.key));
            }
            let moment: Moment = filter.value.parse()?;
            until = Some(until.filter(|until| until.unix_ms < moment.unix_ms).unwrap_or(moment));
        }
        Ok(until)
    }
}

/// `mote login`.
#[derive(Debug, Args)]
pub struct Login {
    /// The user name; asked for where absent
    #[arg(short, long)]
    pub username: Option<String>,
    /// The password; others may see it in the list of processes, so better give --password-stdin
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Speak plain HTTP to the registry
    #[arg(long)]
    pub insecure: bool,
    /// The registry, as in images' names
    #[arg(default_value = "docker.io", value_name = "REGISTRY")]
    pub registry: String,
}

/// `mote logout`.
#[derive(Debug, Args)]
pub struct Logout {
    /// The registry, as in images' names
    #[arg(default_value = "docker.io", value_name = "REGISTRY")]
    pub registry: String,
}
