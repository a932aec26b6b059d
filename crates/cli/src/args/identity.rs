//! The command line of `mote credentials` and `mote secret`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::QuietListing;

/// `mote credentials`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Credentials {
    /// How to print: lines for a shell, a profile for ~/.aws/config, or JSON
    #[arg(long, default_value = "env", value_name = "FORMAT")]
    pub format: CredentialsFormat,
    /// Of which access key; the first where absent
    #[arg(long, value_name = "ACCESS_KEY_ID")]
    pub key: Option<String>,
    /// What to do instead of printing
    #[command(subcommand)]
    pub verb: Option<CredentialsVerb>,
}

/// How to print an access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CredentialsFormat {
    /// Lines for a shell
    Env,
    /// A profile for ~/.aws/config
    Profile,
    /// For programs
    Json,
}

/// The verbs of `mote credentials`.
#[derive(Debug, Subcommand)]
pub enum CredentialsVerb {
    /// Make an access key, and print it
    #[command(
        after_help = "Example:\n  mote credentials create --role read-only --description dashboard --format profile"
    )]
    Create(CredentialsCreate),
    /// List access keys, without their secret halves
    #[command(visible_alias = "ls", after_help = "Example:\n  mote credentials list")]
    List(QuietListing),
    /// Remove access keys
    #[command(after_help = "Example:\n  mote credentials rm AKIAEXAMPLE")]
    Rm(CredentialsRm),
}

/// `mote credentials create`.
#[derive(Debug, Args)]
pub struct CredentialsCreate {
    /// What it allows
    #[arg(long, default_value = "run", value_name = "ROLE")]
    pub role: RoleName,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// How to print it
    #[arg(long, default_value = "env", value_name = "FORMAT")]
    pub format: CredentialsFormat,
}

/// What an access key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything that is not for the unix socket alone
    Admin,
    /// See everything; run, stop and enter tasks; change services
    Run,
    /// See everything
    ReadOnly,
}

/// `mote credentials rm`.
#[derive(Debug, Args)]
pub struct CredentialsRm {
    /// The access keys
    #[arg(required = true, value_name = "ACCESS_KEY_ID")]
    pub keys: Vec<String>,
}

/// `mote secret`.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Store a secret
    #[command(
        after_help = "Examples:\n  printf %s \"$PASSWORD\" | mote secret create db-password\n  mote secret create --replace tls-key key.pem"
    )]
    Create(SecretCreate),
    /// List secrets, without their values
    #[command(visible_alias = "ls", after_help = "Example:\n  mote secret list")]
    List(QuietListing),
    /// Remove secrets
    #[command(after_help = "Example:\n  mote secret rm db-password")]
    Rm(SecretRm),
}

/// `mote secret create`.
#[derive(Debug, Args)]
pub struct SecretCreate {
    /// Replace the value of a secret that is there
    #[arg(long)]
    pub replace: bool,
    /// Its name
    pub name: String,
    /// The file that holds its value; standard input where absent or -
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `mote secret rm`.
#[derive(Debug, Args)]
pub struct SecretRm {
    /// Their names
    #[arg(required = true, value_name = "SECRET")]
    pub names: Vec<String>,
}
