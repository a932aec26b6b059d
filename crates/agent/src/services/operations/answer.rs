//! A service and its deployments in ECS's words.

use std::collections::HashMap;

use api::ecs::arn::Resource;
use api::ecs::services::{
    Deployment as ToldDeployment, DeploymentController, Service as ToldService, ServiceEvent, ServiceRevisionSummary,
};
use api::ecs::shapes::{Tag, Timestamp};
use serde::de::DeserializeOwned;

use super::{Context, configuration};
use crate::services::Counts;
use crate::services::service::{Deployment, Rollout, Service, ServiceStatus};

/// The platform version that tasks have.
const PLATFORM_VERSION: &str = "1.4.0";

/// A service.
pub fn service(context: Context<'_>, service: &Service, tags: Option<&[(String, String)]>) -> ToldService {
    let names = Names::new(context.region, service);
    let counts = context.services.counts(&service.cluster, &service.name);
    let definition = (service.primary().or(service.history.first())).map_or("", |deployment| &deployment.definition);
    let is_primary_ongoing = service.primary().map(|primary| names.deployment(primary));
    let tag = |(key, value): &(String, String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    ToldService {
        service_arn: names.service(),
        service_name: service.name.clone(),
        cluster_arn: names.cluster(),
        status: status(service.status).to_owned(),
        desired_count: service.desired.into(),
        running_count: counts.values().map(|count| i64::from(count.running)).sum(),
        pending_count: counts.values().map(|count| i64::from(count.pending)).sum(),
        launch_type: launch_type(service),
        capacity_provider_strategy: echoed(service, "capacityProviderStrategy"),
        platform_version: Some(echoed(service, "platformVersion").unwrap_or_else(|| "LATEST".to_owned())),
        platform_family: Some("Linux".to_owned()),
        task_definition: names.definition(definition),
        deployment_configuration: Some(configuration::told(&service.policy)),
        deployments: deployments(service, &names, &counts),
        events: events(service),
        created_at: Some(Timestamp::from_unix_ms(service.created_ms)),
        current_service_deployment: is_primary_ongoing,
        current_service_revisions: Some(revisions(service, &names, &counts)),
        network_configuration: echoed(service, "networkConfiguration"),
        health_check_grace_period_seconds: Some(service.grace_seconds.into()),
        scheduling_strategy: Some("REPLICA".to_owned()),
        deployment_controller: Some(DeploymentController {
            r#type: "ECS".to_owned(),
        }),
        tags: tags.map(|tags| tags.iter().map(tag).collect()),
        enable_ecs_managed_tags: service.tasks.managed_tags,
        propagate_tags: Some(configuration::propagate_told(service.tasks.propagate).to_owned()),
        enable_execute_command: service.tasks.can_execute,
        availability_zone_rebalancing: Some(
            echoed(service, "availabilityZoneRebalancing").unwrap_or_else(|| "DISABLED".to_owned()),
        ),
        resource_management_type: Some("CUSTOMER".to_owned()),
        ..ToldService::default()
    }
}

fn deployments(service: &Service, names: &Names<'_>, counts: &HashMap<String, Counts>) -> Vec<ToldDeployment> {
    let told = |(index, deployment): (usize, &Deployment)| {
        let count = counts.get(&deployment.id).copied().unwrap_or_default();
        let desired = if index == 0 {
            service.desired
        } else {
            count.running + count.pending
        };
        ToldDeployment {
            id: deployment.id.clone(),
            status: if index == 0 { "PRIMARY" } else { "ACTIVE" }.to_owned(),
            task_definition: names.definition(&deployment.definition),
            desired_count: desired.into(),
            pending_count: count.pending.into(),
            running_count: count.running.into(),
            failed_tasks: deployment.failed.into(),
            created_at: Some(Timestamp::from_unix_ms(deployment.created_ms)),
            updated_at: Some(Timestamp::from_unix_ms(deployment.updated_ms)),
            capacity_provider_strategy: echoed(service, "capacityProviderStrategy"),
            launch_type: launch_type(service),
            platform_version: Some(PLATFORM_VERSION.to_owned()),
            platform_family: Some("Linux".to_owned()),
            network_configuration: echoed(service, "networkConfiguration"),
            rollout_state: Some(rollout(deployment.rollout).to_owned()),
            rollout_state_reason: Some(deployment.reason.clone()),
        }
    };
    service.deployments.iter().enumerate().map(told).collect()
}

fn revisions(service: &Service, names: &Names<'_>, counts: &HashMap<String, Counts>) -> Vec<ServiceRevisionSummary> {
    let told = |(index, deployment): (usize, &Deployment)| {
        let count = counts.get(&deployment.id).copied().unwrap_or_default();
        let requested = if index == 0 {
            service.desired
        } else {
            count.running + count.pending
        };
        ServiceRevisionSummary {
            arn: names.revision(deployment),
            requested_task_count: requested.into(),
            running_task_count: count.running.into(),
            pending_task_count: count.pending.into(),
        }
    };
    service.deployments.iter().enumerate().map(told).collect()
}

fn events(service: &Service) -> Vec<ServiceEvent> {
    (service.notes.iter())
        .map(|note| ServiceEvent {
            id: note.id.clone(),
            created_at: Timestamp::from_unix_ms(note.at_ms),
            message: note.message.clone(),
        })
        .collect()
}

/// A service has a launch type or a strategy, and where its request had neither, the only launch type that there is.
fn launch_type(service: &Service) -> Option<String> {
    let has_strategy = service.echoed.contains_key("capacityProviderStrategy");
    echoed(service, "launchType").or_else(|| (!has_strategy).then(|| "FARGATE".to_owned()))
}

fn echoed<T: DeserializeOwned>(service: &Service, member: &str) -> Option<T> {
    T::deserialize(service.echoed.get(member)?).ok()
}

const fn status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

const fn rollout(rollout: Rollout) -> &'static str {
    match rollout {
        Rollout::InProgress => "IN_PROGRESS",
        Rollout::Completed => "COMPLETED",
        Rollout::Failed => "FAILED",
    }
}

/// The names of a service's things.
pub struct Names<'a> {
    region: &'a str,
    service: &'a Service,
}

impl<'a> Names<'a> {
    /// Of this service, in this region.
    pub const fn new(region: &'a str, service: &'a Service) -> Self {
        Self { region, service }
    }

    /// The cluster's ARN.
    pub fn cluster(&self) -> String {
        let name = self.service.cluster.clone();
        Resource::Cluster { name }.arn(self.region)
    }

    /// The service's ARN.
    pub fn service(&self) -> String {
        let (cluster, name) = (self.service.cluster.clone(), self.service.name.clone());
        Resource::Service { cluster, name }.arn(self.region)
    }

    /// The ARN of a deployment on its own.
    pub fn deployment(&self, deployment: &Deployment) -> String {
        let (cluster, service) = (self.service.cluster.clone(), self.service.name.clone());
        let id = digits(&deployment.id).to_owned();
        Resource::ServiceDeployment { cluster, service, id }.arn(self.region)
    }

    /// The ARN of what a deployment brings.
    pub fn revision(&self, deployment: &Deployment) -> String {
        self.revision_of(&deployment.id)
    }

    /// The ARN of what the deployment with this id brings.
    pub fn revision_of(&self, id: &str) -> String {
        let (cluster, service) = (self.service.cluster.clone(), self.service.name.clone());
        let id = digits(id).to_owned();
        Resource::ServiceRevision { cluster, service, id }.arn(self.region)
    }

    /// The ARN of a definition, by `family:revision`.
    pub fn definition(&self, name: &str) -> String {
        let (family, revision) = name.rsplit_once(':').unwrap_or((name, ""));
        let (family, revision) = (family.to_owned(), revision.parse().unwrap_or(0));
        Resource::TaskDefinition { family, revision }.arn(self.region)
    }
}

/// The digits of a deployment's id.
pub fn digits(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, digits)| digits)
}
