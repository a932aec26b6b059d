//! The command line.

mod agent;
mod cluster;
mod definition;
mod identity;
mod image;
mod machine;
mod network;
mod quick;
mod run;
mod service;
mod system;
mod task;
mod template;
mod unsupported;
mod usage;
mod verbs;

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser};

use crate::value::Format;

pub use agent::{Agent, AgentInstall, AgentVerb, Completions, Man};
pub use cluster::{Cluster, ClusterCreate, ClusterLs};
pub use definition::{Definition, DefinitionDescribe, DefinitionLs, DefinitionRegister, TaskRun, TaskVerb};
pub use identity::{
    Credentials, CredentialsCreate, CredentialsFormat, CredentialsVerb, RoleName, Secret, SecretCreate,
};
pub use image::{ImageNames, ImagePrune, ImageVerb, Images, Load, Login, Logout, Pull, Save};
pub use machine::{Machine, MachineShell, MachineStart, MachineStatus};
pub use network::{NetworkCreate, NetworkInspect, NetworkLs, NetworkPrune, NetworkVerb};
pub use run::{HealthOptions, PullPolicy, Registry, Restart, Run, SecurityOption};
pub use service::{
    Service, ServiceCreate, ServiceDescribe, ServiceLs, ServiceOptions, ServiceRm, ServiceScale, ServiceUpdate,
};
pub use system::{Doctor, Prune, System};
pub use task::{Attach, Cp, Events, Exec, Inspect, InspectKind, Kill, Logs, Port, Ps, Rm, Stats, Stop, Top, Wait};
pub use template::{Template, TemplateBuild, TemplateLs, TemplateRm};
pub use usage::{Usage, UsageFormat};
pub use verbs::Command;

/// Run OCI images in microVMs of exactly the size asked for.
#[derive(Debug, Parser)]
#[command(name = "mote", version, about, max_term_width = 100, args_override_self = true)]
pub struct Arguments {
    /// The host agent: unix:///PATH, or tcp://HOST:PORT with an access key in the environment; found or started where absent
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
        // Whatever is wrong with it, the whole parser tells.
        if let Some(arguments) = quick::parse(&words, std::env::var_os("MOTE_HOST")) {
            return Ok(arguments);
        }
        Self::try_parse_from(words).map_err(|error| match unsupported::sentence(&error) {
            Some(sentence) => Self::command().error(clap::error::ErrorKind::UnknownArgument, sentence),
            None => error,
        })
    }
}

/// Anything that lists.
#[derive(Debug, Args)]
pub struct Listing {
    /// How to print: table, json, or a template such as '{{.name}}'
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}

/// Anything that lists, with names that can be had alone.
#[derive(Debug, Args)]
pub struct QuietListing {
    /// Print names or ids alone
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
}

#[cfg(test)]
mod tests;
