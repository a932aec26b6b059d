//! Further processes in a container that runs, and what processes it has.

use serde::{Deserialize, Serialize};

use crate::task::{Exit, TerminalSize};

/// What to execute: the body of a `POST` to [`crate::route::TASK_EXEC`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The container; may be left out where the task has only one that runs.
    #[serde(default)]
    pub container: Option<String>,
    /// The program and its arguments, at least one word; a program without a slash is looked up in the container's `PATH`.
    pub command: Vec<String>,
    /// `NAME=value`, on top of the container's.
    #[serde(default)]
    pub env: Vec<String>,
    /// Instead of the container's: `user[:group]`.
    #[serde(default)]
    pub user: Option<String>,
    /// Instead of the container's.
    #[serde(default)]
    pub working_directory: Option<String>,
    /// The size of the terminal, where the process gets one.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
    /// Whether standard input is connected.
    #[serde(default)]
    pub stdin: bool,
}

/// How an executed process ended: the payload of [`crate::attach::Frame::Exited`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecEnd {
    /// How.
    pub exit: Exit,
    /// Why it did not run, in a sentence, where it did not.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The answer to a `GET` of [`crate::route::TASK_PROCESSES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessList {
    /// By container, then by number.
    pub processes: Vec<Process>,
}

/// A process in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The container.
    pub container: String,
    /// Its number, as the container sees it.
    pub pid: u32,
    /// Its parent's number.
    pub parent_pid: u32,
    /// The number of the user that it runs as.
    pub user: u32,
    /// CPU time so far, in milliseconds.
    pub cpu_ms: u64,
    /// Memory that it has mapped and that is there, in bytes.
    pub memory_bytes: u64,
    /// Its command line.
    pub command: Vec<String>,
}
