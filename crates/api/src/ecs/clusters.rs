//! Clusters and capacity providers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shapes::{CapacityProviderStrategyItem, Failure, NameValue, Tag};

/// The request of `CreateCluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateClusterRequest {
    /// Its name; `default` where absent.
    pub cluster_name: Option<String>,
    /// Its tags.
    pub tags: Option<Vec<Tag>>,
    /// Told again.
    pub settings: Option<Vec<NameValue>>,
    /// Told again.
    pub configuration: Option<Value>,
    /// `FARGATE`, `FARGATE_SPOT`: told again.
    pub capacity_providers: Option<Vec<String>>,
    /// Told again.
    pub default_capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
}

/// The request of `DescribeClusters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeClustersRequest {
    /// At most 100, by name or ARN; `default` where absent.
    pub clusters: Option<Vec<String>>,
    /// `ATTACHMENTS`, `CONFIGURATIONS`, `SETTINGS`, `STATISTICS`, `TAGS`.
    pub include: Option<Vec<String>>,
}

/// The request of `ListClusters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListClustersRequest {
    /// Where the list goes on.
    pub next_token: Option<String>,
    /// The most clusters in an answer: 1 to 100, 100 where absent.
    pub max_results: Option<i64>,
}

/// The request of `DeleteCluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteClusterRequest {
    /// By name or ARN.
    pub cluster: String,
}

/// The request of `UpdateCluster` and `UpdateClusterSettings`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateClusterRequest {
    /// By name or ARN.
    pub cluster: String,
    /// Told again.
    pub settings: Option<Vec<NameValue>>,
    /// Told again.
    pub configuration: Option<Value>,
}

/// The request of `PutClusterCapacityProviders`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PutClusterCapacityProvidersRequest {
    /// By name or ARN.
    pub cluster: String,
    /// `FARGATE`, `FARGATE_SPOT`: told again.
    pub capacity_providers: Vec<String>,
    /// Told again.
    pub default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
}

/// The request of `DescribeCapacityProviders`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeCapacityProvidersRequest {
    /// By name or ARN; all where absent.
    pub capacity_providers: Option<Vec<String>>,
    /// The most of them in one page.
    pub max_results: Option<i64>,
    /// Where the list goes on.
    pub next_token: Option<String>,
}

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Its ARN.
    pub cluster_arn: String,
    /// Its name.
    pub cluster_name: String,
    /// Told again.
    pub configuration: Option<Value>,
    /// `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// Always 0.
    pub registered_container_instances_count: i64,
    /// Tasks that run.
    pub running_tasks_count: u64,
    /// Tasks on their way.
    pub pending_tasks_count: u64,
    /// Services that have not been deleted.
    pub active_services_count: u64,
    /// Counts by launch type, where they were asked for.
    pub statistics: Vec<NameValue>,
    /// Its tags, where they were asked for.
    pub tags: Vec<Tag>,
    /// Told again.
    pub settings: Vec<NameValue>,
    /// Told again.
    pub capacity_providers: Vec<String>,
    /// Told again.
    pub default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
}

/// The answer of the operations on one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAnswer {
    /// The cluster as it is now.
    pub cluster: Cluster,
}

/// The answer of `DescribeClusters`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeClustersAnswer {
    /// Those that are there.
    pub clusters: Vec<Cluster>,
    /// Those that are not.
    pub failures: Vec<Failure>,
}

/// The answer of `ListClusters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListClustersAnswer {
    /// ARNs.
    pub cluster_arns: Vec<String>,
    /// Where the list goes on, if it does.
    pub next_token: Option<String>,
}

/// A capacity provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityProvider {
    /// Its ARN.
    pub capacity_provider_arn: String,
    /// Its name.
    pub name: String,
    /// `ACTIVE`.
    pub status: String,
    /// The same as its name.
    pub r#type: String,
}

/// The answer of `DescribeCapacityProviders`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeCapacityProvidersAnswer {
    /// Those that are there.
    pub capacity_providers: Vec<CapacityProvider>,
    /// Those that are not.
    pub failures: Vec<Failure>,
    /// Where the list goes on, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
