//! `ListServiceDeployments`, `DescribeServiceDeployments` and `StopServiceDeployment`.

use std::sync::Arc;

use api::ecs::arn::{self, Resource};
use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::page;
use api::ecs::services::{
    DescribeServiceDeploymentsAnswer, DescribeServiceDeploymentsRequest, ListServiceDeploymentsAnswer,
    ListServiceDeploymentsRequest, Rollback, ServiceDeployment, ServiceDeploymentBrief,
    ServiceDeploymentCircuitBreaker, ServiceRevisionSummary, StopServiceDeploymentAnswer, StopServiceDeploymentRequest,
};
use api::ecs::shapes::{Failure, Timestamp};

use super::answer::{Names, digits};
use super::{Context, configuration, meant, not_found};
use crate::services::request::{self, StopDeployment};
use crate::services::service::{Deployment, Ending, Rollout, Service};

/// The deployments of one page, where a request does not say.
const PAGE_LEN: usize = 20;

/// The most deployments that one request may describe.
const DESCRIBED_MAX: usize = 20;

/// The deployments of a service, the newest first; what is too old is forgotten.
///
/// # Errors
/// What is wrong with the request; `Service not found.`
pub async fn list_deployments(
    context: Context<'_>,
    request: ListServiceDeploymentsRequest,
) -> Result<ListServiceDeploymentsAnswer, EcsError> {
    let (cluster, name) = meant(context, request.cluster.as_deref(), &request.service)?;
    let service = context.services.get(&cluster, &name).await?.ok_or_else(not_found)?;
    let size = page::size(request.max_results, PAGE_LEN)?;
    let list = format!("deployments/{cluster}/{name}");
    let behind = page::behind(&list, request.next_token.as_deref())?;
    let is_meant = |deployment: &&Deployment| {
        let is_status = (request.status.as_ref())
            .is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(|wanted| wanted == status(deployment)));
        let span = request.created_at.unwrap_or_default();
        let is_late = span.after.is_none_or(|after| after.unix_ms() <= deployment.created_ms);
        is_status
            && is_late
            && span
                .before
                .is_none_or(|before| deployment.created_ms <= before.unix_ms())
    };
    let mut known = all(&service);
    if let Some(behind) = behind {
        let place = known.iter().position(|deployment| deployment.id == behind);
        known.drain(..place.map_or(known.len(), |place| place + 1));
    }
    let meant = known.into_iter().filter(is_meant);
    let (shown, next_token) = page::cut(&list, meant, size, |deployment| deployment.id.clone());
    let names = Names::new(context.region, &service);
    Ok(ListServiceDeploymentsAnswer {
        service_deployments: shown.into_iter().map(|deployment| brief(&names, deployment)).collect(),
        next_token,
    })
}

/// Tells of deployments by their ARNs.
///
/// # Errors
/// What is wrong with the request.
pub async fn describe_deployments(
    context: Context<'_>,
    request: DescribeServiceDeploymentsRequest,
) -> Result<DescribeServiceDeploymentsAnswer, EcsError> {
    if request.service_deployment_arns.is_empty() || request.service_deployment_arns.len() > DESCRIBED_MAX {
        return Err(EcsError::invalid(format!(
            "serviceDeploymentArns has {} members: it has to have 1 to {DESCRIBED_MAX}",
            request.service_deployment_arns.len()
        )));
    }
    let mut told = DescribeServiceDeploymentsAnswer::default();
    for arn in &request.service_deployment_arns {
        match find(context, arn).await? {
            Some((service, id)) => told.service_deployments.extend(describe(context, &service, &id)),
            None => told.failures.push(Failure::missing(arn)),
        }
    }
    Ok(told)
}

/// Stops a deployment that is in progress, and returns to the last one that was complete unless the request says `ABORT`.
///
/// # Errors
/// Where it is not there or not in progress, or there is nothing to return to.
pub async fn stop_deployment(
    context: Context<'_>,
    request: StopServiceDeploymentRequest,
) -> Result<StopServiceDeploymentAnswer, EcsError> {
    let how = match request.stop_type.as_deref() {
        None | Some("ROLLBACK") => StopDeployment::RollBack,
        Some("ABORT") => StopDeployment::Abort,
        Some(other) => {
            return Err(EcsError::invalid(format!(
                "stopType is {other:?}: it has to be ROLLBACK or ABORT"
            )));
        }
    };
    let found = find(context, &request.service_deployment_arn).await?;
    let missing = || EcsError::new(ErrorKind::ServiceDeploymentNotFound, "Service deployment not found.");
    let (service, id) = found.ok_or_else(missing)?;
    let change = move |service: &mut Service, now_ms, random: &mut dyn crate::services::journal::Random| {
        request::stop_deployment(service, &id, how, now_ms, random)
    };
    context.services.change(&service.cluster, &service.name, change).await?;
    Ok(StopServiceDeploymentAnswer {
        service_deployment_arn: request.service_deployment_arn,
    })
}

/// The service that an ARN of a deployment names, and the deployment's id, where there are both.
async fn find(context: Context<'_>, arn: &str) -> Result<Option<(Arc<Service>, String)>, EcsError> {
    let Resource::ServiceDeployment { cluster, service, id } = arn::parse(arn)? else {
        return Err(EcsError::invalid(
            "Invalid identifier: it is not the ARN of a service deployment",
        ));
    };
    let Some(service) = context.services.get(&cluster, &service).await? else {
        return Ok(None);
    };
    let known = all(&service)
        .into_iter()
        .find(|deployment| digits(&deployment.id) == id);
    let id = known.map(|deployment| deployment.id.clone());
    Ok(id.map(|id| (service, id)))
}

/// All deployments that are remembered, the newest first.
fn all(service: &Service) -> Vec<&Deployment> {
    let mut all: Vec<&Deployment> = service.deployments.iter().chain(&service.history).collect();
    all.sort_by(|one, other| (other.created_ms, &other.id).cmp(&(one.created_ms, &one.id)));
    all
}

/// ECS's status of a deployment on its own.
fn status(deployment: &Deployment) -> &'static str {
    match (deployment.rollout, deployment.ending, &deployment.rollback) {
        (_, _, Some(rollback)) if rollback.finished_ms.is_none() => "ROLLBACK_IN_PROGRESS",
        (_, _, Some(_)) => "ROLLBACK_SUCCESSFUL",
        (Rollout::Completed, _, None) => "SUCCESSFUL",
        (_, Some(Ending::Broken | Ending::Stopped | Ending::Replaced), None) | (Rollout::Failed, None, None) => {
            "STOPPED"
        }
        // What is returned to, was successful before.
        (Rollout::InProgress, None, None) if deployment.rolls_back.is_some() => "SUCCESSFUL",
        (Rollout::InProgress, None, None) => "IN_PROGRESS",
    }
}

fn time(at_ms: u64) -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(at_ms))
}

fn brief(names: &Names<'_>, deployment: &Deployment) -> ServiceDeploymentBrief {
    ServiceDeploymentBrief {
        service_deployment_arn: names.deployment(deployment),
        service_arn: names.service(),
        cluster_arn: names.cluster(),
        started_at: time(deployment.created_ms),
        created_at: time(deployment.created_ms),
        finished_at: deployment.finished_ms.and_then(time),
        target_service_revision_arn: Some(names.revision(deployment)),
        status: status(deployment).to_owned(),
        status_reason: Some(deployment.reason.clone()),
    }
}

fn describe(context: Context<'_>, service: &Service, id: &str) -> Option<ServiceDeployment> {
    let known = all(service);
    let index = known.iter().position(|deployment| deployment.id == id)?;
    let deployment = known[index];
    let names = Names::new(context.region, service);
    let counts = context.services.counts(&service.cluster, &service.name);
    let revision = |deployment: &Deployment| {
        let count = counts.get(&deployment.id).copied().unwrap_or_default();
        ServiceRevisionSummary {
            arn: names.revision(deployment),
            requested_task_count: service.desired.into(),
            running_task_count: count.running.into(),
            pending_task_count: count.pending.into(),
        }
    };
    let rollback = deployment.rollback.as_ref().map(|rollback| Rollback {
        reason: Some(deployment.reason.clone()),
        started_at: time(rollback.started_ms),
        service_revision_arn: Some(names.revision_of(&rollback.to)),
    });
    Some(ServiceDeployment {
        service_deployment_arn: names.deployment(deployment),
        service_arn: names.service(),
        cluster_arn: names.cluster(),
        created_at: time(deployment.created_ms),
        started_at: time(deployment.created_ms),
        finished_at: deployment.finished_ms.and_then(time),
        stopped_at: (deployment.ending == Some(Ending::Stopped))
            .then_some(deployment.finished_ms)
            .flatten()
            .and_then(time),
        updated_at: time(deployment.updated_ms),
        source_service_revisions: Some(
            known
                .get(index + 1)
                .map(|before| revision(before))
                .into_iter()
                .collect(),
        ),
        target_service_revision: Some(revision(deployment)),
        status: status(deployment).to_owned(),
        status_reason: Some(deployment.reason.clone()),
        deployment_configuration: Some(configuration::told(&service.policy)),
        rollback,
        deployment_circuit_breaker: Some(breaker(service, deployment)),
    })
}

fn breaker(service: &Service, deployment: &Deployment) -> ServiceDeploymentCircuitBreaker {
    let breaker = service.policy.breaker;
    let status = if deployment.ending == Some(Ending::Broken) {
        "TRIGGERED"
    } else if !breaker.is_enabled {
        "DISABLED"
    } else if deployment.rollout == Rollout::InProgress {
        "MONITORING"
    } else {
        "MONITORING_COMPLETE"
    };
    ServiceDeploymentCircuitBreaker {
        status: status.to_owned(),
        failure_count: deployment.failed.into(),
        threshold: breaker.threshold(service.desired).into(),
    }
}
