//! The command line of `mote service`.

use clap::{Args, Subcommand};

use super::QuietListing;

/// `mote service`.
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Create a service
    #[command(after_help = "Example:\n  mote service create web --task-definition web:3 --count 2 --circuit-breaker")]
    Create(ServiceCreate),
    /// List services
    #[command(visible_alias = "ls", after_help = "Example:\n  mote service list --cluster staging")]
    List(ServiceLs),
    /// Show services, as JSON
    #[command(after_help = "Example:\n  mote service describe --format '{{.runningCount}}' web")]
    Describe(ServiceDescribe),
    /// Change how many tasks services have
    #[command(after_help = "Example:\n  mote service scale web=5 worker=0")]
    Scale(ServiceScale),
    /// Change a service; a new definition is rolled out
    #[command(
        after_help = "Examples:\n  mote service update web --task-definition web:4\n  mote service update web --force-new-deployment"
    )]
    Update(ServiceUpdate),
    /// Remove services
    #[command(after_help = "Example:\n  mote service rm --force web")]
    Rm(ServiceRm),
}

/// What a service is to be.
#[derive(Debug, Args)]
pub struct ServiceOptions {
    /// The cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// The definition: a family, for its newest revision, or FAMILY:REVISION
    #[arg(short = 'd', long, value_name = "DEFINITION")]
    pub task_definition: Option<String>,
    /// How many tasks
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<u32>,
    /// The least percentage of the tasks that run while a deployment goes on
    #[arg(long, value_name = "PERCENT")]
    pub minimum_healthy_percent: Option<u32>,
    /// The greatest percentage of the tasks that run while a deployment goes on
    #[arg(long, value_name = "PERCENT")]
    pub maximum_percent: Option<u32>,
    /// Give a deployment up whose tasks do not start, and go back to the last that worked
    #[arg(long)]
    pub circuit_breaker: bool,
    /// Let `aws ecs execute-command` into its tasks
    #[arg(long)]
    pub enable_execute_command: bool,
    /// Seconds after a task's start in which it is not replaced for being unhealthy
    #[arg(long, value_name = "SECONDS")]
    pub health_check_grace_period: Option<u32>,
}

/// `mote service create`.
#[derive(Debug, Args)]
pub struct ServiceCreate {
    /// What it is to be
    #[command(flatten)]
    pub options: ServiceOptions,
    /// Set a tag
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
    /// Its name
    pub name: String,
}

/// `mote service list`.
#[derive(Debug, Args)]
pub struct ServiceLs {
    /// The cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
}

/// `mote service describe`.
#[derive(Debug, Args)]
pub struct ServiceDescribe {
    /// The cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// How to print: json, or a template
    #[arg(short, long, default_value = "json", value_name = "FORMAT")]
    pub format: crate::value::Format,
    /// Their names
    #[arg(required = true, value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// `mote service scale`.
#[derive(Debug, Args)]
pub struct ServiceScale {
    /// The cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Services, and how many tasks each is to have
    #[arg(required = true, value_name = "SERVICE=NUMBER", value_parser = parse_scale)]
    pub services: Vec<(String, u32)>,
}

fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("'{text}' is no service with its number of tasks: write SERVICE=NUMBER");
    let (name, count) = text.split_once('=').ok_or_else(wrong)?;
    let count = count.parse().map_err(|_| wrong())?;
    Ok((name.to_owned(), count))
}

/// `mote service update`.
#[derive(Debug, Args)]
pub struct ServiceUpdate {
    /// What changes
    #[command(flatten)]
    pub options: ServiceOptions,
    /// Replace all tasks even where nothing changes
    #[arg(long)]
    pub force_new_deployment: bool,
    /// Its name
    pub name: String,
}

/// `mote service rm`.
#[derive(Debug, Args)]
pub struct ServiceRm {
    /// The cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Stop its tasks; otherwise it must have none
    #[arg(short, long)]
    pub force: bool,
    /// Their names
    #[arg(required = true, value_name = "SERVICE")]
    pub services: Vec<String>,
}
