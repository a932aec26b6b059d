//! The parts of requests that say how a service is deployed and what its tasks are given.

use api::ecs::error::EcsError;
use api::ecs::services::{DeploymentCircuitBreaker, DeploymentConfiguration, ThresholdConfiguration};
use api::ecs::shapes::Tag;

use crate::services::policy::{Breaker, Policy, Threshold};
use crate::services::service::Propagate;

/// The most tasks that a service may have, as ECS has it.
pub const DESIRED_MAX: u32 = 5_000;

/// How many tasks a request wants.
pub fn desired(count: i64) -> Result<u32, EcsError> {
    u32::try_from(count)
        .ok()
        .filter(|count| *count <= DESIRED_MAX)
        .ok_or_else(|| EcsError::invalid(format!("desiredCount is {count}: it has to be 0 to {DESIRED_MAX}")))
}

/// Seconds in which failed health checks do not count.
pub fn grace_seconds(seconds: i64) -> Result<u32, EcsError> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| i32::try_from(*seconds).is_ok())
        .ok_or_else(|| {
            EcsError::invalid(format!(
                "healthCheckGracePeriodSeconds is {seconds}: it has to be 0 to {}",
                i32::MAX
            ))
        })
}

/// The policy that was `known`, with what a request says otherwise.
pub fn policy(known: Policy, wanted: &DeploymentConfiguration) -> Result<Policy, EcsError> {
    let mut policy = known;
    if let Some(percent) = wanted.minimum_healthy_percent {
        policy.minimum_healthy_percent = within("minimumHealthyPercent", percent, 0, 100)?;
    }
    if let Some(percent) = wanted.maximum_percent {
        policy.maximum_percent = within("maximumPercent", percent, 100, 200)?;
    }
    if let Some(breaker) = &wanted.deployment_circuit_breaker {
        policy.breaker = self::breaker(breaker)?;
    }
    Ok(policy)
}

fn breaker(wanted: &DeploymentCircuitBreaker) -> Result<Breaker, EcsError> {
    let usual = Breaker::default();
    let threshold = wanted.threshold_configuration.as_ref().map(threshold).transpose()?;
    Ok(Breaker {
        is_enabled: wanted.enable,
        rolls_back: wanted.rollback,
        resets: wanted.reset_on_healthy_task.unwrap_or(usual.resets),
        threshold: threshold.unwrap_or(usual.threshold),
    })
}

fn threshold(wanted: &ThresholdConfiguration) -> Result<Threshold, EcsError> {
    let member = "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration";
    let value = u32::try_from(wanted.value)
        .ok()
        .filter(|value| (1..=DESIRED_MAX).contains(value))
        .ok_or_else(|| {
            EcsError::invalid(format!(
                "{member}.value is {}: it has to be 1 to {DESIRED_MAX}",
                wanted.value
            ))
        })?;
    match wanted.r#type.as_str() {
        "COUNT" => Ok(Threshold::Count(value)),
        "BOUNDED_PERCENT" => Ok(Threshold::BoundedPercent(value)),
        "UNBOUNDED_PERCENT" => Ok(Threshold::UnboundedPercent(value)),
        other => Err(EcsError::invalid(format!(
            "{member}.type is {other:?}: it has to be COUNT, BOUNDED_PERCENT or UNBOUNDED_PERCENT"
        ))),
    }
}

fn within(member: &str, percent: i64, min: u32, max: u32) -> Result<u32, EcsError> {
    u32::try_from(percent)
        .ok()
        .filter(|percent| (min..=max).contains(percent))
        .ok_or_else(|| {
            EcsError::invalid(format!(
                "deploymentConfiguration.{member} is {percent}: it has to be {min} to {max}"
            ))
        })
}

/// A policy in ECS's words.
pub fn told(policy: &Policy) -> DeploymentConfiguration {
    DeploymentConfiguration {
        deployment_circuit_breaker: Some(DeploymentCircuitBreaker {
            enable: policy.breaker.is_enabled,
            rollback: policy.breaker.rolls_back,
            reset_on_healthy_task: Some(policy.breaker.resets),
            threshold_configuration: Some(threshold_told(policy.breaker.threshold)),
        }),
        maximum_percent: Some(policy.maximum_percent.into()),
        minimum_healthy_percent: Some(policy.minimum_healthy_percent.into()),
        strategy: Some("ROLLING".to_owned()),
    }
}

fn threshold_told(threshold: Threshold) -> ThresholdConfiguration {
    let (kind, value) = match threshold {
        Threshold::Count(count) => ("COUNT", count),
        Threshold::BoundedPercent(percent) => ("BOUNDED_PERCENT", percent),
        Threshold::UnboundedPercent(percent) => ("UNBOUNDED_PERCENT", percent),
    };
    ThresholdConfiguration {
        r#type: kind.to_owned(),
        value: value.into(),
    }
}

/// Whose tags tasks get.
pub fn propagate(word: &str) -> Result<Option<Propagate>, EcsError> {
    match word {
        "NONE" => Ok(None),
        "TASK_DEFINITION" => Ok(Some(Propagate::Definition)),
        "SERVICE" => Ok(Some(Propagate::Service)),
        other => Err(EcsError::invalid(format!(
            "propagateTags is {other:?}: it has to be TASK_DEFINITION, SERVICE or NONE"
        ))),
    }
}

/// Whose tags tasks get, in ECS's words.
pub const fn propagate_told(propagate: Option<Propagate>) -> &'static str {
    match propagate {
        None => "NONE",
        Some(Propagate::Definition) => "TASK_DEFINITION",
        Some(Propagate::Service) => "SERVICE",
    }
}

/// Tags as pairs.
pub fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// Notes what is only told again, by its member's name.
pub fn echo(
    echoed: &mut serde_json::Map<String, serde_json::Value>,
    member: &str,
    value: Option<&impl serde::Serialize>,
) -> Result<(), EcsError> {
    if let Some(value) = value {
        let value = serde_json::to_value(value).map_err(|error| EcsError::server(error.to_string()))?;
        echoed.insert(member.to_owned(), value);
    }
    Ok(())
}
