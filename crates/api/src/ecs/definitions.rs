//! Task definitions.

use serde::{Deserialize, Serialize};

use super::containers::ContainerDefinition;
use super::shapes::{Failure, NameValue, Tag, Timestamp};

/// The request of `RegisterTaskDefinition`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterTaskDefinitionRequest {
    /// The family that it becomes a revision of.
    pub family: String,
    /// Told again.
    pub task_role_arn: Option<String>,
    /// Told again.
    pub execution_role_arn: Option<String>,
    /// `awsvpc`, also where absent and the definition is for Fargate; `bridge`; `none`.
    pub network_mode: Option<String>,
    /// Its containers, at least one.
    pub container_definitions: Vec<ContainerDefinition>,
    /// Its volumes.
    pub volumes: Option<Vec<Volume>>,
    /// `FARGATE`, `EC2`: told again.
    pub requires_compatibilities: Option<Vec<String>>,
    /// CPU: `256` units or `.25 vCPU`.
    pub cpu: Option<String>,
    /// Memory: `512` MiB or `0.5 GB`.
    pub memory: Option<String>,
    /// The definition's tags.
    pub tags: Option<Vec<Tag>>,
    /// `task` where given: containers of a task see each other's processes as `init` puts them.
    pub ipc_mode: Option<String>,
    /// The size of the task's writable layers and volumes.
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// `X86_64` and `LINUX`.
    pub runtime_platform: Option<RuntimePlatform>,
    /// Told again: every task is isolated by a microVM.
    pub trusted_execution_configuration: Option<TrustedExecutionConfiguration>,
}

/// A task definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskDefinition {
    /// Its ARN.
    pub task_definition_arn: String,
    /// Its containers.
    pub container_definitions: Vec<ContainerDefinition>,
    /// Its family.
    pub family: String,
    /// Told again.
    pub task_role_arn: Option<String>,
    /// Told again.
    pub execution_role_arn: Option<String>,
    /// `awsvpc`, `bridge` or `none`.
    pub network_mode: Option<String>,
    /// Its revision.
    pub revision: u64,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// `ACTIVE`, `INACTIVE` or `DELETE_IN_PROGRESS`.
    pub status: String,
    /// What a host has to have for it.
    pub requires_attributes: Vec<NameValue>,
    /// Always empty.
    pub placement_constraints: Vec<serde_json::Value>,
    /// Where it could run.
    pub compatibilities: Vec<String>,
    /// `X86_64` and `LINUX`.
    pub runtime_platform: Option<RuntimePlatform>,
    /// Told again.
    pub requires_compatibilities: Option<Vec<String>>,
    /// CPU, in units; `0.001 vCPU` where that is no whole number of units.
    pub cpu: Option<String>,
    /// Memory, in MiB.
    pub memory: Option<String>,
    /// Told again.
    pub ipc_mode: Option<String>,
    /// When it was registered.
    pub registered_at: Option<Timestamp>,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// When it was asked to go.
    pub delete_requested_at: Option<Timestamp>,
    /// Who registered it.
    pub registered_by: Option<String>,
    /// The size of the task's writable layers and volumes.
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Told again.
    pub trusted_execution_configuration: Option<TrustedExecutionConfiguration>,
}

/// A volume that containers of a task share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name.
    pub name: Option<String>,
    /// The host's directory that it shows; an empty volume where that is absent.
    pub host: Option<HostVolume>,
}

/// The host's side of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostVolume {
    /// The host's directory; an empty volume where absent.
    pub source_path: Option<String>,
}

/// The size of a task's writable layers and volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EphemeralStorage {
    /// In GiB.
    #[serde(rename = "sizeInGiB")]
    pub size_in_gib: i64,
}

/// What a task runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimePlatform {
    /// `X86_64`.
    pub cpu_architecture: Option<String>,
    /// `LINUX`.
    pub operating_system_family: Option<String>,
}

/// How tasks are isolated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrustedExecutionConfiguration {
    /// `SHARED` or `ISOLATED_SANDBOX`.
    pub isolation_mode: String,
}

/// The request of `DescribeTaskDefinition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeTaskDefinitionRequest {
    /// `family`, `family:revision` or an ARN.
    pub task_definition: String,
    /// `TAGS` where tags are wanted.
    pub include: Option<Vec<String>>,
}

/// The request of `DeregisterTaskDefinition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeregisterTaskDefinitionRequest {
    /// `family:revision` or an ARN.
    pub task_definition: String,
}

/// The request of `DeleteTaskDefinitions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteTaskDefinitionsRequest {
    /// At most 10, each `family:revision` or an ARN.
    pub task_definitions: Vec<String>,
}

/// The request of `ListTaskDefinitions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTaskDefinitionsRequest {
    /// Only this family.
    pub family_prefix: Option<String>,
    /// `ACTIVE`, also where absent, `INACTIVE` or `DELETE_IN_PROGRESS`.
    pub status: Option<String>,
    /// `ASC`, also where absent, or `DESC`.
    pub sort: Option<String>,
    /// Where the list goes on.
    pub next_token: Option<String>,
    /// The most definitions in an answer: 1 to 100, 100 where absent.
    pub max_results: Option<i64>,
}

/// The request of `ListTaskDefinitionFamilies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTaskDefinitionFamiliesRequest {
    /// What names begin with.
    pub family_prefix: Option<String>,
    /// `ACTIVE`, also where absent, `INACTIVE` or `ALL`.
    pub status: Option<String>,
    /// Where the list goes on.
    pub next_token: Option<String>,
    /// The most families in an answer: 1 to 100, 100 where absent.
    pub max_results: Option<i64>,
}

/// The answer of `RegisterTaskDefinition`, `DeregisterTaskDefinition` and `DescribeTaskDefinition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefinitionAnswer {
    /// The definition.
    pub task_definition: TaskDefinition,
    /// Its tags, where they were given or asked for.
    pub tags: Option<Vec<Tag>>,
}

/// The answer of `DeleteTaskDefinitions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteTaskDefinitionsAnswer {
    /// Those that go.
    pub task_definitions: Vec<TaskDefinition>,
    /// Those that do not.
    pub failures: Vec<Failure>,
}

/// The answer of `ListTaskDefinitions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTaskDefinitionsAnswer {
    /// ARNs.
    pub task_definition_arns: Vec<String>,
    /// Where the list goes on, if it does.
    pub next_token: Option<String>,
}

/// The answer of `ListTaskDefinitionFamilies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTaskDefinitionFamiliesAnswer {
    /// Names.
    pub families: Vec<String>,
    /// Where the list goes on, if it does.
    pub next_token: Option<String>,
}
