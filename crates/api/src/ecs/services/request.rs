//! What is asked of services and their deployments.

use serde::{Deserialize, Serialize};

use super::{DeploymentConfiguration, DeploymentController};
use crate::ecs::shapes::{CapacityProviderStrategyItem, NetworkConfiguration, Tag, Timestamp};

/// The request of `CreateService`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateServiceRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// The service's name.
    pub service_name: String,
    /// `family`, `family:revision` or an ARN.
    pub task_definition: Option<String>,
    /// How many tasks; required, since only services of kind `REPLICA` are there.
    pub desired_count: Option<i64>,
    /// The same token with the same request creates one service.
    pub client_token: Option<String>,
    /// `FARGATE` where given: told again.
    pub launch_type: Option<String>,
    /// Told again.
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// Told again.
    pub platform_version: Option<String>,
    /// How a deployment replaces another.
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// Told again.
    pub network_configuration: Option<NetworkConfiguration>,
    /// Seconds after a task's start in which it is not replaced for being unhealthy.
    pub health_check_grace_period_seconds: Option<i64>,
    /// `REPLICA` where given.
    pub scheduling_strategy: Option<String>,
    /// `ECS` where given.
    pub deployment_controller: Option<DeploymentController>,
    /// The service's tags.
    pub tags: Option<Vec<Tag>>,
    /// Whether tasks get the tags `aws:ecs:clusterName` and `aws:ecs:serviceName`.
    #[serde(rename = "enableECSManagedTags")]
    pub enable_ecs_managed_tags: Option<bool>,
    /// `TASK_DEFINITION`, `SERVICE` or `NONE`: whose tags tasks get.
    pub propagate_tags: Option<String>,
    /// Whether commands may be executed in its tasks.
    pub enable_execute_command: Option<bool>,
    /// Told again.
    pub availability_zone_rebalancing: Option<String>,
}

/// The request of `UpdateService`. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateServiceRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// The service, by name or ARN.
    pub service: String,
    /// How many tasks.
    pub desired_count: Option<i64>,
    /// `family`, `family:revision` or an ARN.
    pub task_definition: Option<String>,
    /// Told again.
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// How a deployment replaces another.
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// Told again.
    pub availability_zone_rebalancing: Option<String>,
    /// Told again.
    pub network_configuration: Option<NetworkConfiguration>,
    /// Told again.
    pub platform_version: Option<String>,
    /// Whether all tasks are replaced although nothing else changed.
    pub force_new_deployment: Option<bool>,
    /// Seconds after a task's start in which it is not replaced for being unhealthy.
    pub health_check_grace_period_seconds: Option<i64>,
    /// `ECS` where given.
    pub deployment_controller: Option<DeploymentController>,
    /// Whether commands may be executed in its tasks.
    pub enable_execute_command: Option<bool>,
    /// Whether tasks get the tags `aws:ecs:clusterName` and `aws:ecs:serviceName`.
    #[serde(rename = "enableECSManagedTags")]
    pub enable_ecs_managed_tags: Option<bool>,
    /// `TASK_DEFINITION`, `SERVICE` or `NONE`: whose tags tasks get.
    pub propagate_tags: Option<String>,
}

/// The request of `DescribeServices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeServicesRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// At most [`DESCRIBE_SERVICES_MAX`], by name or ARN.
    pub services: Vec<String>,
    /// `TAGS` where tags are wanted.
    pub include: Option<Vec<String>>,
}

/// The most services that one `DescribeServices` may name.
pub const DESCRIBE_SERVICES_MAX: usize = 10;

/// The request of `ListServices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListServicesRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// Where the list goes on.
    pub next_token: Option<String>,
    /// The most services in an answer: 1 to 100, 10 where absent.
    pub max_results: Option<i64>,
    /// Only services of this launch type.
    pub launch_type: Option<String>,
    /// Only services of this strategy.
    pub scheduling_strategy: Option<String>,
    /// `CUSTOMER` or `ECS`; no service is ECS's own.
    pub resource_management_type: Option<String>,
}

/// The request of `DeleteService`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteServiceRequest {
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// The service, by name or ARN.
    pub service: String,
    /// Whether it is deleted although it is scaled above 0.
    pub force: Option<bool>,
}

/// The request of `ListServiceDeployments`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListServiceDeploymentsRequest {
    /// The service, by name or ARN.
    pub service: String,
    /// The cluster, by name or ARN; `default` where absent.
    pub cluster: Option<String>,
    /// Only deployments with one of these states.
    pub status: Option<Vec<String>>,
    /// Only deployments of this time.
    pub created_at: Option<CreatedAt>,
    /// Where the list goes on.
    pub next_token: Option<String>,
    /// The most deployments in an answer: 1 to 100, 20 where absent.
    pub max_results: Option<i64>,
}

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreatedAt {
    /// Not later than this.
    pub before: Option<Timestamp>,
    /// Not earlier than this.
    pub after: Option<Timestamp>,
}

/// The request of `DescribeServiceDeployments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeServiceDeploymentsRequest {
    /// At most 20 ARNs.
    pub service_deployment_arns: Vec<String>,
}

/// The request of `StopServiceDeployment`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopServiceDeploymentRequest {
    /// The deployment.
    pub service_deployment_arn: String,
    /// `ROLLBACK`, also where absent, or `ABORT`.
    pub stop_type: Option<String>,
}
