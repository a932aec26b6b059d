//! What is asked of tasks.

use serde::{Deserialize, Serialize};

use super::TaskOverride;
use crate::ecs::shapes::{CapacityProviderStrategyItem, NetworkConfiguration, Tag};

/// The most tasks that one `RunTask` may start.
pub const RUN_COUNT_MAX: i64 = 10;

/// The most tasks that one `DescribeTasks` may name.
pub const DESCRIBE_TASKS_MAX: usize = 100;

/// The request of `RunTask`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunTaskRequest {
    /// Told again.
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// How many: 1 to [`RUN_COUNT_MAX`]; 1 where absent.
    pub count: Option<i64>,
    /// Whether the tasks get the tag `aws:ecs:clusterName`.
    #[serde(rename = "enableECSManagedTags")]
    pub enable_ecs_managed_tags: Option<bool>,
    /// Whether commands may be executed in them.
    pub enable_execute_command: Option<bool>,
    /// Their group; `family:…` where absent.
    pub group: Option<String>,
    /// `FARGATE` where given.
    pub launch_type: Option<String>,
    /// Told again.
    pub network_configuration: Option<NetworkConfiguration>,
    /// What is changed of the definition.
    pub overrides: Option<TaskOverride>,
    /// Told again.
    pub platform_version: Option<String>,
    /// `TASK_DEFINITION` or `NONE`: whose tags they get beside their own.
    pub propagate_tags: Option<String>,
    /// Told again.
    pub reference_id: Option<String>,
    /// Who starts them.
    pub started_by: Option<String>,
    /// Their tags.
    pub tags: Option<Vec<Tag>>,
    /// `family`, `family:revision` or an ARN.
    pub task_definition: String,
    /// The same token with the same request means the same tasks.
    pub client_token: Option<String>,
}

/// The request of `StopTask`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopTaskRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// By id or ARN.
    pub task: String,
    /// Becomes the task's `stoppedReason`.
    pub reason: Option<String>,
}

/// The request of `DescribeTasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeTasksRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// At most [`DESCRIBE_TASKS_MAX`], by id or ARN.
    pub tasks: Vec<String>,
    /// `TAGS` where tags are wanted.
    pub include: Option<Vec<String>>,
}

/// The request of `ListTasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTasksRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// Only tasks of this family.
    pub family: Option<String>,
    /// Where the list goes on.
    pub next_token: Option<String>,
    /// The most tasks in an answer: 1 to 100, 100 where absent.
    pub max_results: Option<i64>,
    /// Only tasks that this started; no other filter may be there.
    pub started_by: Option<String>,
    /// Only tasks of this service.
    pub service_name: Option<String>,
    /// `RUNNING`, also where absent, `STOPPED`, or `PENDING`, which no task is.
    pub desired_status: Option<String>,
    /// Only tasks of this launch type.
    pub launch_type: Option<String>,
}

/// The request of `GetTaskProtection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetTaskProtectionRequest {
    /// The cluster, by name or ARN.
    pub cluster: Option<String>,
    /// By id or ARN.
    pub tasks: Option<Vec<String>>,
}

/// The request of `UpdateTaskProtection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateTaskProtectionRequest {
    /// The cluster, by name or ARN.
    pub cluster: Option<String>,
    /// At most 10, by id or ARN.
    pub tasks: Vec<String>,
    /// Whether they are to be protected.
    pub protection_enabled: bool,
    /// For how long: 1 to 2880; 120 where absent.
    pub expires_in_minutes: Option<i64>,
}
