//! What others ask of the tasks' core, and how it says no.

use api::error::{ApiError, ErrorCode};

use crate::record::{Plan, ServiceOrigin, Stop};

/// A task that is wanted: its record, as far as the core does not make it up.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// The name of its cluster.
    pub cluster: String,
    /// The user's name for it; made up where absent.
    pub name: Option<String>,
    /// `family:revision`.
    pub definition: String,
    /// ECS's `group`.
    pub group: String,
    /// ECS's `startedBy`.
    pub started_by: Option<String>,
    /// The service and the deployment that want it.
    pub service: Option<ServiceOrigin>,
    /// Key and value.
    pub tags: Vec<(String, String)>,
    /// What is only told again: ECS's members by name.
    pub echoed: serde_json::Map<String, serde_json::Value>,
    /// What it is to be.
    pub plan: Plan,
    /// Whether it is forgotten as soon as it has stopped.
    pub is_removed_when_stopped: bool,
    /// Whether it waits, holding nothing, until somebody starts it or attaches to it.
    pub waits_for_start: bool,
}

/// How a task is to be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopTask {
    /// Who wants it, and why: becomes the task's, unless it stops for another reason already.
    pub stop: Stop,
    /// Seconds between the stop signal and the kill, instead of each container's own; 0 kills at once.
    pub timeout_seconds: Option<u32>,
}

/// A process to be run in a container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// `NAME=value`, beside the container's.
    pub env: Vec<String>,
    /// The container's where absent.
    pub working_directory: Option<String>,
    /// The container's where absent.
    pub user: Option<String>,
    /// The terminal's first size, where it gets one: columns and rows.
    pub terminal: Option<(u16, u16)>,
    /// Whether standard input is connected.
    pub stdin: bool,
}

/// Which of the host's means are too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// ECS's `RESOURCE:CPU`.
    Cpu,
    /// ECS's `RESOURCE:MEMORY`.
    Memory,
}

/// Why the core does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The host could not hold such a task if it held no other.
    #[error("{message}")]
    NeverFits {
        /// What there is too little of.
        resource: Resource,
        /// How much is wanted, and how much there is.
        message: String,
    },
    /// Anything else.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl From<CoreError> for ApiError {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::NeverFits { message, .. } => Self {
                code: ErrorCode::HostUnable,
                message,
            },
            CoreError::Refused(error) => error,
        }
    }
}
