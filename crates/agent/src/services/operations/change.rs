//! `UpdateService` and `DeleteService`.

use api::ecs::error::EcsError;
use api::ecs::services::{DeleteServiceRequest, ServiceAnswer, UpdateServiceRequest};

use super::configuration::{desired, echo, grace_seconds, policy, propagate};
use super::{Context, answer, meant, not_found};
use crate::services::request::{self, RequestError, Update};
use crate::services::service::{Service, ServiceStatus, TaskOptions};

/// Changes a service.
///
/// # Errors
/// What is wrong with the request; `Service not found.`, `Service was not ACTIVE.`
pub async fn update(context: Context<'_>, request: UpdateServiceRequest) -> Result<ServiceAnswer, EcsError> {
    let (cluster, name) = meant(context, request.cluster.as_deref(), &request.service)?;
    let known = context.services.get(&cluster, &name).await?.ok_or_else(not_found)?;
    if known.status != ServiceStatus::Active {
        return Err(crate::services::ServiceError::from(RequestError::NotActive).into());
    }
    let update = changes(context, &known, &request)?;
    let change = move |service: &mut Service, now_ms, random: &mut dyn crate::services::journal::Random| {
        request::update(service, update, now_ms, random)
    };
    let service = context.services.change(&cluster, &name, change).await?;
    let told = answer::service(context, &service, None);
    Ok(ServiceAnswer { service: told })
}

fn changes(context: Context<'_>, known: &Service, request: &UpdateServiceRequest) -> Result<Update, EcsError> {
    let definition = (request.task_definition.as_deref())
        .map(|reference| context.catalogue.definition(reference))
        .transpose()?;
    let configuration = request.deployment_configuration.as_ref();
    let tasks = TaskOptions {
        propagate: match request.propagate_tags.as_deref() {
            Some(word) => propagate(word)?,
            None => known.tasks.propagate,
        },
        managed_tags: request.enable_ecs_managed_tags.unwrap_or(known.tasks.managed_tags),
        can_execute: request.enable_execute_command.unwrap_or(known.tasks.can_execute),
    };
    let mut echoed = serde_json::Map::new();
    echo(
        &mut echoed,
        "capacityProviderStrategy",
        request.capacity_provider_strategy.as_ref(),
    )?;
    echo(&mut echoed, "platformVersion", request.platform_version.as_ref())?;
    echo(
        &mut echoed,
        "networkConfiguration",
        request.network_configuration.as_ref(),
    )?;
    let zones = request.availability_zone_rebalancing.as_ref();
    echo(&mut echoed, "availabilityZoneRebalancing", zones)?;
    Ok(Update {
        desired: request.desired_count.map(desired).transpose()?,
        definition,
        forces_deployment: request.force_new_deployment.unwrap_or(false),
        policy: configuration.map(|wanted| policy(known.policy, wanted)).transpose()?,
        tasks: Some(tasks),
        grace_seconds: request
            .health_check_grace_period_seconds
            .map(grace_seconds)
            .transpose()?,
        echoed,
    })
}

/// Deletes a service: it drains.
///
/// # Errors
/// `Service not found.`, and `The service cannot be stopped while it is scaled above 0.` unless the request insists.
pub async fn delete(context: Context<'_>, request: DeleteServiceRequest) -> Result<ServiceAnswer, EcsError> {
    let (cluster, name) = meant(context, request.cluster.as_deref(), &request.service)?;
    let force = request.force.unwrap_or(false);
    let known = context.services.get(&cluster, &name).await?.ok_or_else(not_found)?;
    if known.status == ServiceStatus::Inactive {
        return Err(not_found());
    }
    let change =
        move |service: &mut Service, _, _: &mut dyn crate::services::journal::Random| request::delete(service, force);
    let service = context.services.change(&cluster, &name, change).await?;
    let told = answer::service(context, &service, None);
    Ok(ServiceAnswer { service: told })
}
