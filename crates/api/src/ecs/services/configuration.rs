//! How services are deployed: in requests and answers alike.

use serde::{Deserialize, Serialize};

/// How a deployment replaces another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentConfiguration {
    /// When a deployment is given up.
    pub deployment_circuit_breaker: Option<DeploymentCircuitBreaker>,
    /// The most tasks while it goes on, in per cent of the desired count; 200 where absent.
    pub maximum_percent: Option<i64>,
    /// The fewest healthy tasks while it goes on, in per cent of the desired count; 100 where absent.
    pub minimum_healthy_percent: Option<i64>,
    /// `ROLLING` where given.
    pub strategy: Option<String>,
}

/// When a deployment is given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCircuitBreaker {
    /// Whether it ever is.
    pub enable: bool,
    /// Whether the last deployment that was complete then comes back.
    pub rollback: bool,
    /// Whether a task that becomes healthy has the failures forgotten; it has where absent.
    pub reset_on_healthy_task: Option<bool>,
    /// How many failures are too many; half the desired count where absent, 3 at least and 200 at most.
    pub threshold_configuration: Option<ThresholdConfiguration>,
}

/// How many failures are too many for a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ThresholdConfiguration {
    /// `COUNT`, `BOUNDED_PERCENT` or `UNBOUNDED_PERCENT`.
    pub r#type: String,
    /// So many, or so much of the desired count in per cent.
    pub value: i64,
}

/// Who deploys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentController {
    /// `ECS`: the host agent.
    pub r#type: String,
}
