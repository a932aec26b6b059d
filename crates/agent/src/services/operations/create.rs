//! `CreateService`.

use api::ecs::arn;
use api::ecs::error::EcsError;
use api::ecs::services::{CreateServiceRequest, ServiceAnswer};
use sha2::{Digest, Sha256};

use super::configuration::{desired, echo, grace_seconds, pairs, policy, propagate};
use super::{Context, answer};
use crate::services::policy::Policy;
use crate::services::request::NewService;
use crate::services::service::TaskOptions;

/// Creates a service.
///
/// # Errors
/// What is wrong with the request; `Creation of service was not idempotent.` where the cluster has another service of that name.
pub async fn create(context: Context<'_>, mut request: CreateServiceRequest) -> Result<ServiceAnswer, EcsError> {
    let cluster = context.catalogue.cluster(request.cluster.as_deref())?;
    let name = arn::checked_name("service name", &request.service_name)?;
    let reference = request
        .task_definition
        .as_deref()
        .filter(|reference| !reference.is_empty());
    let reference = reference.ok_or_else(|| EcsError::invalid("TaskDefinition can not be blank."))?;
    let definition = context.catalogue.definition(reference)?;
    let count = (request.desired_count)
        .ok_or_else(|| EcsError::invalid("desiredCount is required for a service of kind REPLICA."))?;
    let fingerprint = fingerprint(&request)?;
    let tags = pairs(request.tags.take().unwrap_or_default());
    let new = NewService {
        desired: desired(count)?,
        policy: policy(
            Policy::default(),
            &request.deployment_configuration.clone().unwrap_or_default(),
        )?,
        tasks: TaskOptions {
            propagate: propagate(request.propagate_tags.as_deref().unwrap_or("NONE"))?,
            managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
            can_execute: request.enable_execute_command.unwrap_or(false),
        },
        grace_seconds: grace_seconds(request.health_check_grace_period_seconds.unwrap_or(0))?,
        echoed: echoed(&request)?,
        cluster: cluster.clone(),
        name: name.clone(),
        definition,
        fingerprint,
    };
    // Before its first task is started, which may get them. A service that is there already keeps its own.
    let known = context.services.get(&cluster, &name).await?;
    if known.is_none_or(|known| known.status == crate::services::service::ServiceStatus::Inactive) {
        context.catalogue.set_tags(&cluster, &name, &tags)?;
    }
    let service = context.services.create(new).await?;
    let told = answer::service(context, &service, Some(&tags));
    Ok(ServiceAnswer { service: told })
}

fn echoed(request: &CreateServiceRequest) -> Result<serde_json::Map<String, serde_json::Value>, EcsError> {
    let mut echoed = serde_json::Map::new();
    echo(&mut echoed, "launchType", request.launch_type.as_ref())?;
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
    Ok(echoed)
}

/// A digest of what a request says, by which the same request is known.
fn fingerprint(request: &CreateServiceRequest) -> Result<String, EcsError> {
    let mut request = request.clone();
    // Clients make up one for each call.
    request.client_token = None;
    let bytes = serde_json::to_vec(&request).map_err(|error| EcsError::server(error.to_string()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}
