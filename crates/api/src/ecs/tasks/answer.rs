//! What is told of tasks.

use serde::{Deserialize, Serialize};

use super::TaskOverride;
use crate::ecs::definitions::EphemeralStorage;
use crate::ecs::shapes::{Attachment, Failure, NameValue, Tag, Timestamp};

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    /// Its network interface.
    pub attachments: Vec<Attachment>,
    /// What its host has.
    pub attributes: Vec<NameValue>,
    /// Where its host is.
    pub availability_zone: Option<String>,
    /// Told again.
    pub capacity_provider_name: Option<String>,
    /// Its cluster's ARN.
    pub cluster_arn: String,
    /// `CONNECTED` once its guest agent answered.
    pub connectivity: Option<String>,
    /// When it did.
    pub connectivity_at: Option<Timestamp>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// CPU, in units.
    pub cpu: String,
    /// When the request was acknowledged.
    pub created_at: Option<Timestamp>,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// Whether commands may be executed in it.
    pub enable_execute_command: bool,
    /// When its last container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// Its group.
    pub group: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
    /// Where it is on its way.
    pub last_status: String,
    /// `FARGATE`.
    pub launch_type: Option<String>,
    /// Memory, in MiB.
    pub memory: String,
    /// What its request changed of the definition.
    pub overrides: TaskOverride,
    /// Told again.
    pub platform_version: Option<String>,
    /// `Linux`.
    pub platform_family: Option<String>,
    /// When its first image began to be fetched.
    pub pull_started_at: Option<Timestamp>,
    /// When all its images were there.
    pub pull_stopped_at: Option<Timestamp>,
    /// When it ran.
    pub started_at: Option<Timestamp>,
    /// Who started it.
    pub started_by: Option<String>,
    /// What kind of end it has.
    pub stop_code: Option<String>,
    /// When all that it held was released.
    pub stopped_at: Option<Timestamp>,
    /// Why it stopped, in a sentence.
    pub stopped_reason: Option<String>,
    /// When it was decided that it ends.
    pub stopping_at: Option<Timestamp>,
    /// Its tags, where they were asked for.
    pub tags: Vec<Tag>,
    /// Its ARN.
    pub task_arn: String,
    /// Its definition's ARN.
    pub task_definition_arn: String,
    /// How many changes it went through.
    pub version: u64,
    /// The size of its writable layers and volumes.
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// The same.
    pub fargate_ephemeral_storage: Option<EphemeralStorage>,
}

/// A container of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its ARN.
    pub container_arn: String,
    /// Its task's ARN.
    pub task_arn: String,
    /// Its name.
    pub name: String,
    /// Its image, as the definition names it.
    pub image: String,
    /// The image's digest, once it is known.
    pub image_digest: Option<String>,
    /// The task's id, a hyphen, ten digits.
    pub runtime_id: Option<String>,
    /// `PENDING`, `RUNNING` or `STOPPED`.
    pub last_status: String,
    /// Its exit code, once it ended.
    pub exit_code: Option<i64>,
    /// Why it did not run, or ended otherwise than by itself.
    pub reason: Option<String>,
    /// What of it is published on the host.
    pub network_bindings: Vec<NetworkBinding>,
    /// The task's address.
    pub network_interfaces: Vec<NetworkInterface>,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
    /// What executes commands in it.
    pub managed_agents: Option<Vec<ManagedAgent>>,
    /// CPU units.
    pub cpu: String,
    /// Its memory limit, in MiB.
    pub memory: Option<String>,
    /// What is taken from it last, in MiB.
    pub memory_reservation: Option<String>,
}

/// A port that is published on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkBinding {
    /// The host's address.
    #[serde(rename = "bindIP")]
    pub bind_ip: String,
    /// The container's port.
    pub container_port: i64,
    /// The host's port.
    pub host_port: i64,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterface {
    /// The attachment's id.
    pub attachment_id: String,
    /// Its address.
    pub private_ipv4_address: Option<String>,
    /// Its IPv6 address.
    pub ipv6_address: Option<String>,
}

/// What executes commands in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedAgent {
    /// When it was there.
    pub last_started_at: Option<Timestamp>,
    /// `ExecuteCommandAgent`.
    pub name: String,
    /// `PENDING`, `RUNNING` or `STOPPED`.
    pub last_status: String,
}

/// The answer of `RunTask`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunTaskAnswer {
    /// Those that will run.
    pub tasks: Vec<Task>,
    /// Why there are not more.
    pub failures: Vec<Failure>,
}

/// The answer of `StopTask`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopTaskAnswer {
    /// The task as it is now.
    pub task: Task,
}

/// The answer of `DescribeTasks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeTasksAnswer {
    /// Those that are there.
    pub tasks: Vec<Task>,
    /// Those that are not.
    pub failures: Vec<Failure>,
}

/// The answer of `ListTasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTasksAnswer {
    /// ARNs.
    pub task_arns: Vec<String>,
    /// Where the list goes on, if it does.
    pub next_token: Option<String>,
}

/// The answer of `GetTaskProtection` and `UpdateTaskProtection`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskProtectionAnswer {
    /// Those that are there.
    pub protected_tasks: Vec<ProtectedTask>,
    /// Those that are not.
    pub failures: Vec<Failure>,
}

/// Whether a task is protected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtectedTask {
    /// Its ARN.
    pub task_arn: String,
    /// Whether it is.
    pub protection_enabled: bool,
    /// Until when.
    pub expiration_date: Option<Timestamp>,
}
