//! The command line of `mote template`.

use clap::{Args, Subcommand};

use super::QuietListing;

/// `mote template`.
#[derive(Debug, Subcommand)]
pub enum Template {
    /// Make the template that tasks need, if it is not there
    #[command(after_help = "Example:\n  mote template build --force")]
    Build(TemplateBuild),
    /// List templates
    #[command(after_help = "Example:\n  mote template ls")]
    Ls(TemplateLs),
    /// Remove templates; running tasks go on, the next start makes a new one
    #[command(after_help = "Example:\n  mote template rm --all")]
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
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
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
