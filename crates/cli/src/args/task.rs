//! The command line of the verbs about tasks.

use clap::{Args, ValueEnum};

use super::{Listing, QuietListing};
use crate::value::{Filter, Moment, Signal};

/// `mote ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// Show stopped tasks as well
    #[arg(short, long)]
    pub all: bool,
    /// Show only some: name=, id=, status=, image=, label=, cluster=, service=, family=, health=, exited=; all of different kinds must fit
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// Show whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// How to print
    #[command(flatten)]
    pub listing: QuietListing,
}

/// `mote inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// How to print: json, or a template such as '{{.status}}'
    #[arg(short, long, default_value = "json", value_name = "FORMAT")]
    pub format: crate::value::Format,
    /// What the names are of; where absent, tasks are looked for first
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<InspectKind>,
    /// Names, ids or unique beginnings of ids of tasks; references or digests of images
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// What `mote inspect` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectKind {
    /// Tasks
    Task,
    /// Images
    Image,
}

/// `mote logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on with what comes, until the task has stopped
    #[arg(short, long)]
    pub follow: bool,
    /// Show nothing before this time: 10m ago, or 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Show nothing from this time on
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Show only so many of the last lines, or all
    #[arg(short = 'n', long, default_value = "all", value_name = "LINES", value_parser = parse_tail)]
    pub tail: Tail,
    /// Show when each line came
    #[arg(short, long)]
    pub timestamps: bool,
    /// Show one container's alone
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// How to print: table, which is the text itself, or json, a document a line
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    pub format: crate::value::Format,
    /// The task
    pub task: String,
}

/// So many of the last lines; all of them where absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail(pub Option<u64>);

fn parse_tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        _ => text
            .parse()
            .map(|lines| Tail(Some(lines)))
            .map_err(|_| "write a number of lines, or all".to_owned()),
    }
}

/// `mote exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// Leave it to itself; what it writes is lost
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    pub detach: bool,
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the process a terminal; Ctrl-P Ctrl-Q leaves it
    #[arg(short, long)]
    pub tty: bool,
    /// Set an environment variable; without a value, take it from this environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read environment variables from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<std::path::PathBuf>,
    /// The user, by name or number; the container's where absent
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The working directory; the container's where absent
    #[arg(short, long, value_name = "DIRECTORY")]
    pub workdir: Option<String>,
    /// The container, where the task has several
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// The task, or TASK/CONTAINER
    pub task: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `mote attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// Do not connect standard input
    #[arg(long)]
    pub no_stdin: bool,
    /// The container, where the task has several
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// The task, or TASK/CONTAINER
    pub task: String,
}

/// `mote stats`.
#[derive(Debug, Args)]
pub struct Stats {
    /// Print one reading; CPU is then the average since the start
    #[arg(long)]
    pub no_stream: bool,
    /// How to print; anything but a table is one reading
    #[command(flatten)]
    pub listing: Listing,
    /// Names, ids or unique beginnings of ids; all running tasks where absent
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
}

/// `mote top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Show one container's alone
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
    /// The task
    pub task: String,
}

/// `mote port`.
#[derive(Debug, Args)]
pub struct Port {
    /// How to print
    #[command(flatten)]
    pub listing: Listing,
    /// The task
    pub task: String,
    /// One port of the task's: prints where on the host it is published, and nothing else
    #[arg(value_name = "PORT[/udp]")]
    pub port: Option<String>,
}

/// `mote cp`.
#[derive(Debug, Args)]
pub struct Cp {
    /// The container, where the task has several
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// What to copy: TASK:PATH, a path of this host, or - for an archive from standard input
    pub source: String,
    /// Where to: TASK:PATH, a path of this host, or - for an archive to standard output
    pub destination: String,
}

/// `mote wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// The tasks
    #[command(flatten)]
    pub tasks: TaskNames,
}

/// `mote stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// Seconds between the stop signal and the kill
    #[arg(short, long, value_name = "SECONDS")]
    pub time: Option<u32>,
    /// The tasks
    #[command(flatten)]
    pub tasks: TaskNames,
}

/// `mote kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// The signal, by name or number
    #[arg(short, long, default_value = "KILL", value_name = "SIGNAL")]
    pub signal: Signal,
    /// Send it to one container alone
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// The tasks
    #[command(flatten)]
    pub tasks: TaskNames,
}

/// `mote rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Kill running tasks first
    #[arg(short, long)]
    pub force: bool,
    /// The tasks
    #[command(flatten)]
    pub tasks: TaskNames,
}

/// Some tasks.
#[derive(Debug, Args)]
pub struct TaskNames {
    /// Names, ids or unique beginnings of ids
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
}

/// `mote events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Begin with what happened at this time: 10m ago, or 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// End with this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Show only some: subject=, action=, id=, name=, or any attribute; all of different kinds must fit
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// How to print: table, json for a document a line, or a template
    #[command(flatten)]
    pub listing: Listing,
}
