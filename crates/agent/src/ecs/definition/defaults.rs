//! What ECS fills in when a definition is registered.

use api::ecs::arn;
use api::ecs::containers::ContainerDefinition;
use api::ecs::definitions::{RegisterTaskDefinitionRequest, TaskDefinition, Volume};
use api::ecs::error::EcsError;
use api::ecs::shapes::NameValue;

use super::size;

/// The definition that a request registers, but for its revision, its times and its ARN.
///
/// # Errors
/// What ECS itself would not take. [`super::plan`] finds the rest.
pub fn normalise(request: RegisterTaskDefinitionRequest) -> Result<TaskDefinition, EcsError> {
    let is_for_fargate = request
        .requires_compatibilities
        .iter()
        .flatten()
        .any(|name| name == "FARGATE");
    let network_mode = request.network_mode.unwrap_or_else(|| "awsvpc".to_owned());
    if is_for_fargate {
        check_fargate(&network_mode, request.cpu.as_deref(), request.memory.as_deref())?;
    }
    let mut definition = TaskDefinition {
        family: arn::checked_name("family", &request.family)?,
        task_role_arn: request.task_role_arn,
        execution_role_arn: request.execution_role_arn,
        status: "ACTIVE".to_owned(),
        requires_attributes: attributes(),
        compatibilities: compatibilities(&network_mode),
        runtime_platform: request.runtime_platform,
        requires_compatibilities: request.requires_compatibilities,
        ipc_mode: request.ipc_mode,
        ephemeral_storage: request.ephemeral_storage,
        trusted_execution_configuration: request.trusted_execution_configuration,
        container_definitions: request.container_definitions,
        volumes: request.volumes.unwrap_or_default().into_iter().map(volume).collect(),
        ..TaskDefinition::default()
    };
    let containers = &mut definition.container_definitions;
    containers
        .iter_mut()
        .for_each(|definition| container(definition, &network_mode));
    let size = size::size(request.cpu.as_deref(), request.memory.as_deref(), containers)?;
    definition.cpu = request.cpu.map(|_| size::cpu_text(size.vcpu_milli));
    definition.memory = request.memory.map(|_| size.memory_mib.to_string());
    definition.network_mode = Some(network_mode);
    Ok(definition)
}

fn check_fargate(network_mode: &str, cpu: Option<&str>, memory: Option<&str>) -> Result<(), EcsError> {
    if network_mode != "awsvpc" {
        return Err(EcsError::client("Fargate only supports network mode ‘awsvpc’."));
    }
    let missing = [("cpu", cpu), ("memory", memory)]
        .into_iter()
        .find(|(_, value)| value.is_none());
    missing.map_or(Ok(()), |(member, _)| {
        Err(EcsError::client(format!(
            "Fargate requires that '{member}' be defined at the task level."
        )))
    })
}

fn compatibilities(network_mode: &str) -> Vec<String> {
    let names: &[&str] = if network_mode == "awsvpc" {
        &["EC2", "FARGATE"]
    } else {
        &["EC2"]
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn attributes() -> Vec<NameValue> {
    let names = [
        "com.amazonaws.ecs.capability.docker-remote-api.1.18",
        "ecs.capability.task-eni",
    ];
    let attribute = |name: &str| NameValue {
        name: Some(name.to_owned()),
        value: None,
    };
    names.into_iter().map(attribute).collect()
}

/// An empty volume has an empty host.
fn volume(mut volume: Volume) -> Volume {
    volume.host.get_or_insert_default();
    volume
}

fn container(container: &mut ContainerDefinition, network_mode: &str) {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    for mapping in container.port_mappings.get_or_insert_default() {
        mapping.protocol.get_or_insert_with(|| "tcp".to_owned());
        let port = if network_mode == "awsvpc" {
            mapping.container_port
        } else {
            Some(0)
        };
        if mapping.host_port.is_none() {
            mapping.host_port = port;
        }
    }
    if let Some(check) = &mut container.health_check {
        check.interval.get_or_insert(30);
        check.timeout.get_or_insert(5);
        check.retries.get_or_insert(3);
    }
}
