//! What a request changes of a definition for its tasks alone.

use serde::{Deserialize, Serialize};

use crate::ecs::containers::EnvironmentFile;
use crate::ecs::definitions::EphemeralStorage;
use crate::ecs::shapes::NameValue;

/// What a request changes of a definition for its tasks alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskOverride {
    /// Of containers.
    pub container_overrides: Option<Vec<ContainerOverride>>,
    /// CPU: `256` units or `.25 vCPU`.
    pub cpu: Option<String>,
    /// Told again: always empty.
    pub inference_accelerator_overrides: Option<Vec<serde_json::Value>>,
    /// Told again.
    pub execution_role_arn: Option<String>,
    /// Memory: `512` MiB or `0.5 GB`.
    pub memory: Option<String>,
    /// Told again.
    pub task_role_arn: Option<String>,
    /// The size of the task's writable layers and volumes.
    pub ephemeral_storage: Option<EphemeralStorage>,
}

/// What a request changes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerOverride {
    /// The container.
    pub name: Option<String>,
    /// Instead of the definition's command.
    pub command: Option<Vec<String>>,
    /// On top of the definition's environment.
    pub environment: Option<Vec<NameValue>>,
    /// On top of the definition's files.
    pub environment_files: Option<Vec<EnvironmentFile>>,
    /// CPU units.
    pub cpu: Option<i64>,
    /// Its memory limit, in MiB.
    pub memory: Option<i64>,
    /// What is taken from it last, in MiB.
    pub memory_reservation: Option<i64>,
}
