//! What is told of services and their deployments.

use serde::{Deserialize, Serialize};

use super::{DeploymentConfiguration, DeploymentController};
use crate::ecs::shapes::{CapacityProviderStrategyItem, Failure, NetworkConfiguration, Tag, Timestamp};

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Its ARN.
    pub service_arn: String,
    /// Its name.
    pub service_name: String,
    /// Its cluster's ARN.
    pub cluster_arn: String,
    /// Always empty.
    pub load_balancers: Vec<serde_json::Value>,
    /// Always empty.
    pub service_registries: Vec<serde_json::Value>,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    /// How many tasks it is to have.
    pub desired_count: i64,
    /// How many of its tasks run.
    pub running_count: i64,
    /// How many of its tasks are on their way.
    pub pending_count: i64,
    /// `FARGATE`.
    pub launch_type: Option<String>,
    /// Told again.
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// Told again.
    pub platform_version: Option<String>,
    /// `Linux`.
    pub platform_family: Option<String>,
    /// The definition's ARN.
    pub task_definition: String,
    /// How a deployment replaces another.
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// The newest first, as ECS has it.
    pub deployments: Vec<Deployment>,
    /// The newest first, at most 100.
    pub events: Vec<ServiceEvent>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// ARN of the deployment that goes on.
    pub current_service_deployment: Option<String>,
    /// The revisions that have tasks.
    pub current_service_revisions: Option<Vec<ServiceRevisionSummary>>,
    /// Always empty.
    pub placement_constraints: Vec<serde_json::Value>,
    /// Always empty.
    pub placement_strategy: Vec<serde_json::Value>,
    /// Told again.
    pub network_configuration: Option<NetworkConfiguration>,
    /// Seconds after a task's start in which it is not replaced for being unhealthy.
    pub health_check_grace_period_seconds: Option<i64>,
    /// `REPLICA`.
    pub scheduling_strategy: Option<String>,
    /// `ECS`.
    pub deployment_controller: Option<DeploymentController>,
    /// Its tags, where they were asked for.
    pub tags: Option<Vec<Tag>>,
    /// Who created it.
    pub created_by: Option<String>,
    /// Whether tasks get the tags of ECS.
    #[serde(rename = "enableECSManagedTags")]
    pub enable_ecs_managed_tags: bool,
    /// Whose tags tasks get.
    pub propagate_tags: Option<String>,
    /// Whether commands may be executed in its tasks.
    pub enable_execute_command: bool,
    /// Told again.
    pub availability_zone_rebalancing: Option<String>,
    /// `CUSTOMER`.
    pub resource_management_type: Option<String>,
}

/// A deployment, as a service tells of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    /// `ecs-svc/` and digits: what the tasks' `startedBy` says.
    pub id: String,
    /// `PRIMARY`, `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// The definition's ARN.
    pub task_definition: String,
    /// How many tasks it is to have.
    pub desired_count: i64,
    /// How many of its tasks are on their way.
    pub pending_count: i64,
    /// How many of its tasks run.
    pub running_count: i64,
    /// How many of its tasks failed to start, in a row.
    pub failed_tasks: i64,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
    /// Told again.
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// `FARGATE`.
    pub launch_type: Option<String>,
    /// Told again.
    pub platform_version: Option<String>,
    /// `Linux`.
    pub platform_family: Option<String>,
    /// Told again.
    pub network_configuration: Option<NetworkConfiguration>,
    /// `COMPLETED`, `FAILED` or `IN_PROGRESS`.
    pub rollout_state: Option<String>,
    /// Why, in a sentence.
    pub rollout_state_reason: Option<String>,
}

/// What happened to a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEvent {
    /// A UUID.
    pub id: String,
    /// When.
    pub created_at: Timestamp,
    /// What, in a sentence.
    pub message: String,
}

/// A revision of a service, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceRevisionSummary {
    /// Its ARN.
    pub arn: String,
    /// How many tasks it is to have.
    pub requested_task_count: i64,
    /// How many of its tasks run.
    pub running_task_count: i64,
    /// How many of its tasks are on their way.
    pub pending_task_count: i64,
}

/// A deployment on its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceDeployment {
    /// Its ARN.
    pub service_deployment_arn: String,
    /// Its service's ARN.
    pub service_arn: String,
    /// Its cluster's ARN.
    pub cluster_arn: String,
    /// When it was asked for.
    pub created_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was complete.
    pub finished_at: Option<Timestamp>,
    /// When it was stopped.
    pub stopped_at: Option<Timestamp>,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
    /// What it replaces.
    pub source_service_revisions: Option<Vec<ServiceRevisionSummary>>,
    /// What it brings.
    pub target_service_revision: Option<ServiceRevisionSummary>,
    /// `PENDING`, `SUCCESSFUL`, `STOPPED`, `STOP_REQUESTED`, `IN_PROGRESS`, `ROLLBACK_REQUESTED`, `ROLLBACK_IN_PROGRESS`,
    /// `ROLLBACK_SUCCESSFUL` or `ROLLBACK_FAILED`.
    pub status: String,
    /// Why, in a sentence.
    pub status_reason: Option<String>,
    /// How it replaces another.
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// Whether and why it was taken back.
    pub rollback: Option<Rollback>,
    /// How near it is to being given up.
    pub deployment_circuit_breaker: Option<ServiceDeploymentCircuitBreaker>,
}

/// Why a deployment was taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollback {
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// When.
    pub started_at: Option<Timestamp>,
    /// What came back.
    pub service_revision_arn: Option<String>,
}

/// How near a deployment is to being given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceDeploymentCircuitBreaker {
    /// `TRIGGERED`, `MONITORING`, `MONITORING_COMPLETE` or `DISABLED`.
    pub status: String,
    /// How many tasks failed.
    pub failure_count: i64,
    /// How many may.
    pub threshold: i64,
}

/// A deployment in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceDeploymentBrief {
    /// Its ARN.
    pub service_deployment_arn: String,
    /// Its service's ARN.
    pub service_arn: String,
    /// Its cluster's ARN.
    pub cluster_arn: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Option<Timestamp>,
    /// When it was complete.
    pub finished_at: Option<Timestamp>,
    /// What it brings.
    pub target_service_revision_arn: Option<String>,
    /// As in [`ServiceDeployment`].
    pub status: String,
    /// Why, in a sentence.
    pub status_reason: Option<String>,
}

/// The answer of `CreateService`, `UpdateService` and `DeleteService`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAnswer {
    /// The service as it is now.
    pub service: Service,
}

/// The answer of `DescribeServices`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeServicesAnswer {
    /// Those that are there.
    pub services: Vec<Service>,
    /// Those that are not.
    pub failures: Vec<Failure>,
}

/// The answer of `ListServices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListServicesAnswer {
    /// ARNs.
    pub service_arns: Vec<String>,
    /// Where the list goes on, if it does.
    pub next_token: Option<String>,
}

/// The answer of `ListServiceDeployments`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListServiceDeploymentsAnswer {
    /// The newest first.
    pub service_deployments: Vec<ServiceDeploymentBrief>,
    /// Where the list goes on, if it does.
    pub next_token: Option<String>,
}

/// The answer of `DescribeServiceDeployments`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeServiceDeploymentsAnswer {
    /// Those that are there.
    pub service_deployments: Vec<ServiceDeployment>,
    /// Those that are not.
    pub failures: Vec<Failure>,
}

/// The answer of `StopServiceDeployment`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopServiceDeploymentAnswer {
    /// The deployment.
    pub service_deployment_arn: String,
}
