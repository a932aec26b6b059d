//! Commands in containers that run.

use serde::{Deserialize, Serialize};

/// The request of `ExecuteCommand`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecuteCommandRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// The container; may be left out where the task has only one.
    pub container: Option<String>,
    /// The command line, split at spaces as a shell does.
    pub command: String,
    /// Has to be true.
    pub interactive: bool,
    /// By id or ARN.
    pub task: String,
}

/// The answer of `ExecuteCommand`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecuteCommandAnswer {
    /// Its cluster's ARN.
    pub cluster_arn: String,
    /// The container's ARN.
    pub container_arn: String,
    /// The container's name.
    pub container_name: String,
    /// Always true.
    pub interactive: bool,
    /// Where the command is reached.
    pub session: Session,
    /// The task's ARN.
    pub task_arn: String,
}

/// Where a command is reached.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Session {
    /// Its name.
    pub session_id: String,
    /// A web socket that speaks the data channel of Session Manager.
    pub stream_url: String,
    /// What opens it, once.
    pub token_value: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token belongs into no log.
        formatter
            .debug_struct("Session")
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}
