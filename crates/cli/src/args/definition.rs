//! The command line of `mote task-definition` and `mote task`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::QuietListing;

/// `mote task-definition`.
#[derive(Debug, Subcommand)]
pub enum Definition {
    /// Register a definition, as JSON in the way of Amazon ECS
    #[command(
        after_help = "Examples:\n  mote task-definition register web.json\n  generate | mote task-definition register -"
    )]
    Register(DefinitionRegister),
    /// Show a definition, as JSON
    #[command(after_help = "Example:\n  mote task-definition describe web:3")]
    Describe(DefinitionDescribe),
    /// List definitions
    #[command(
        visible_alias = "ls",
        after_help = "Example:\n  mote task-definition list --family web"
    )]
    List(DefinitionLs),
    /// Let no more tasks be started from definitions
    #[command(after_help = "Example:\n  mote task-definition deregister web:1 web:2")]
    Deregister(DefinitionNames),
    /// Remove deregistered definitions
    #[command(after_help = "Example:\n  mote task-definition rm web:1")]
    Rm(DefinitionNames),
}

/// `mote task-definition register`.
#[derive(Debug, Args)]
pub struct DefinitionRegister {
    /// Its family, instead of what the file says
    #[arg(long, value_name = "FAMILY")]
    pub family: Option<String>,
    /// The file; standard input for -
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `mote task-definition describe`.
#[derive(Debug, Args)]
pub struct DefinitionDescribe {
    /// How to print: json, or a template such as '{{.revision}}'
    #[arg(short, long, default_value = "json", value_name = "FORMAT")]
    pub format: crate::value::Format,
    /// The family, for its newest revision, or FAMILY:REVISION
    pub definition: String,
}

/// `mote task-definition list`.
#[derive(Debug, Args)]
pub struct DefinitionLs {
    /// Show one family's alone
    #[arg(long, value_name = "FAMILY")]
    pub family: Option<String>,
    /// Show deregistered ones instead
    #[arg(long)]
    pub inactive: bool,
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
}

/// Some definitions.
#[derive(Debug, Args)]
pub struct DefinitionNames {
    /// Families with revisions
    #[arg(required = true, value_name = "FAMILY:REVISION")]
    pub definitions: Vec<String>,
}

/// `mote task`.
#[derive(Debug, Subcommand)]
pub enum TaskVerb {
    /// Run tasks from a definition, and print their ids
    #[command(
        after_help = "Examples:\n  mote task run web\n  mote task run job:4 --count 3 --cluster staging --wait\n  mote task run job -e DAY=monday -- ./work --fast"
    )]
    Run(TaskRun),
}

/// `mote task run`.
#[derive(Debug, Args)]
pub struct TaskRun {
    /// How many
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=10))]
    pub count: u8,
    /// The cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// The group; the family where absent
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Who starts them, in a word
    #[arg(long, value_name = "NAME")]
    pub started_by: Option<String>,
    /// Set a tag
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
    /// Let `aws ecs execute-command` into them
    #[arg(long)]
    pub enable_execute_command: bool,
    /// What differs from the definition, as JSON in the way of Amazon ECS
    #[arg(long, value_name = "FILE", conflicts_with_all = ["env", "command"])]
    pub overrides: Option<PathBuf>,
    /// Set an environment variable
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// The container that --env and the command are for, where the definition has several
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// Wait until they have stopped, and end as the first that failed
    #[arg(long)]
    pub wait: bool,
    /// The family, for its newest revision, or FAMILY:REVISION
    pub definition: String,
    /// The command and its arguments, instead of the definition's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}
