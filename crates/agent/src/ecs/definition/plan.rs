//! From a definition, and what a request changes of it, to what a task is to be.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use api::ecs::containers::ContainerDefinition;
use api::ecs::definitions::{EphemeralStorage, TaskDefinition};
use api::ecs::error::EcsError;
use api::ecs::tasks::{ContainerOverride, TaskOverride};
use protocol::vmm::Limits;

use super::container::{self, name};
use super::{HostPaths, order, size};
use crate::host::SCRATCH_MIB;
use crate::record::{NetworkPlan, Plan, PortPlan, VolumePlan};

/// What a plan depends on beside definition and request.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Which of the host's files may be named.
    pub paths: &'a HostPaths,
    /// Whether commands may be executed.
    pub can_execute: bool,
}

/// The most GiB of a task's writable layers and volumes.
const STORAGE_GIB_MAX: i64 = 16 << 10;

/// What a task is to be.
///
/// # Errors
/// The first thing that is wrong with the definition or with what the request changes of it.
pub fn plan(
    definition: &TaskDefinition,
    changes: Option<&TaskOverride>,
    options: Options<'_>,
) -> Result<Plan, EcsError> {
    let none = TaskOverride::default();
    let changes = changes.unwrap_or(&none);
    let containers = &definition.container_definitions;
    check_containers(containers, changes)?;
    order::check(containers)?;
    let changed = |own: &Option<String>, instead: &Option<String>| instead.clone().or_else(|| own.clone());
    let (cpu, memory) = (
        changed(&definition.cpu, &changes.cpu),
        changed(&definition.memory, &changes.memory),
    );
    let size = size::size(cpu.as_deref(), memory.as_deref(), containers)?;
    let storage = changes.ephemeral_storage.or(definition.ephemeral_storage);
    let volumes = volumes(definition, options.paths)?;
    let plans = containers.iter().map(|definition| {
        let change = (changes.container_overrides.iter().flatten()).find(|change| change.name == definition.name);
        container::plan(
            definition,
            change.unwrap_or(&ContainerOverride::default()),
            &volumes,
            options.paths,
        )
    });
    let plans: Vec<_> = plans.collect::<Result<_, _>>()?;
    for plan in &plans {
        let limits = [
            ("memory", plan.memory_mib),
            ("memoryReservation", plan.memory_reservation_mib),
        ];
        if let Some((member, _)) = limits
            .iter()
            .find(|(_, limit)| limit.is_some_and(|limit| limit > size.memory_mib))
        {
            return Err(EcsError::client(format!(
                "Invalid setting for container '{}'. The task's memory is {} MiB, less than the container's '{member}'.",
                plan.name, size.memory_mib
            )));
        }
    }
    Ok(Plan {
        vcpu_milli: size.vcpu_milli,
        memory_mib: size.memory_mib,
        scratch_mib: scratch_mib(storage)?,
        scratch_inodes: None,
        limits: Limits::default(),
        hostname: agreed(
            "hostname",
            containers.iter().filter_map(|container| container.hostname.clone()),
        )?,
        waits_for_vcpus: true,
        time_limit_seconds: None,
        can_execute: options.can_execute,
        network: network(definition)?,
        sysctls: sysctls(containers)?,
        volumes,
        containers: plans,
    })
}

fn check_containers(containers: &[ContainerDefinition], changes: &TaskOverride) -> Result<(), EcsError> {
    if containers.is_empty() {
        return Err(EcsError::client("Container definitions should not be null or empty."));
    }
    let mut names = HashSet::new();
    for container in containers {
        if name(container).is_empty() {
            return Err(EcsError::client("Container.name should not be null or empty."));
        }
        if !names.insert(name(container)) {
            return Err(EcsError::client(format!(
                "Container name '{}' is used twice.",
                name(container)
            )));
        }
    }
    if !containers.iter().any(|container| container.essential.unwrap_or(true)) {
        return Err(EcsError::client(
            "A task definition must have at least one essential container.",
        ));
    }
    let mut overrides = changes.container_overrides.iter().flatten();
    match overrides.find(|change| !names.contains(change.name.as_deref().unwrap_or_default())) {
        Some(change) => Err(EcsError::invalid(format!(
            "Override for container named {} is not a container in the TaskDefinition.",
            change.name.as_deref().unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

fn scratch_mib(storage: Option<EphemeralStorage>) -> Result<u32, EcsError> {
    let Some(storage) = storage else { return Ok(SCRATCH_MIB) };
    let gib = u32::try_from(storage.size_in_gib).ok();
    gib.filter(|_| (1..=STORAGE_GIB_MAX).contains(&storage.size_in_gib))
        .map(|gib| gib << 10)
        .ok_or_else(|| {
            EcsError::client(format!(
                "Invalid setting for ephemeralStorage: sizeInGiB is {}: it has to be 1 to {STORAGE_GIB_MAX}.",
                storage.size_in_gib
            ))
        })
}

fn volumes(definition: &TaskDefinition, paths: &HostPaths) -> Result<Vec<VolumePlan>, EcsError> {
    let mut names = HashSet::new();
    let plan = |volume: &api::ecs::definitions::Volume| {
        let name = volume.name.clone().unwrap_or_default();
        if name.is_empty() || !names.insert(name.clone()) {
            return Err(EcsError::client(format!(
                "Volume name '{name}' is empty or used twice."
            )));
        }
        let path = volume
            .host
            .as_ref()
            .and_then(|host| host.source_path.as_deref())
            .filter(|path| !path.is_empty());
        let host_path = path
            .map(|path| paths.check("volumes.host.sourcePath", path))
            .transpose()?;
        Ok(VolumePlan { name, host_path })
    };
    definition.volumes.iter().map(plan).collect()
}

fn network(definition: &TaskDefinition) -> Result<Option<NetworkPlan>, EcsError> {
    let containers = &definition.container_definitions;
    let mode = definition.network_mode.as_deref().unwrap_or("awsvpc");
    let mut ports = Vec::new();
    let mut taken = HashSet::new();
    for container in containers {
        for mapping in container.port_mappings.iter().flatten() {
            let invalid = |what: &str| {
                let name = name(container);
                EcsError::client(format!("Invalid setting for container '{name}': portMappings {what}."))
            };
            let number = |port: Option<i64>| port.and_then(|port| u16::try_from(port).ok());
            let port = number(mapping.container_port).filter(|port| *port > 0);
            let port = port.ok_or_else(|| invalid("needs a containerPort from 1 to 65535"))?;
            let host_port =
                number(mapping.host_port.or(Some(0))).ok_or_else(|| invalid("has a hostPort that is no port"))?;
            if mode == "awsvpc" && host_port != 0 && host_port != port {
                return Err(invalid(
                    "has a hostPort other than its containerPort, which networkMode awsvpc does not allow",
                ));
            }
            let is_udp = mapping.protocol.as_deref() == Some("udp");
            if !taken.insert((port, is_udp)) {
                return Err(invalid("names a port that a container of the task has already"));
            }
            ports.push(PortPlan {
                container: name(container).to_owned(),
                host_address: None,
                host_port: Some(host_port).filter(|port| *port > 0),
                port,
                is_udp,
            });
        }
    }
    let name_servers = containers.iter().filter_map(|container| container.dns_servers.as_ref());
    let name_servers = agreed(
        "dnsServers",
        name_servers.filter(|servers| !servers.is_empty()).cloned(),
    )?
    .unwrap_or_default();
    let name_servers = name_servers.iter().map(|server| {
        let address: Result<IpAddr, _> = server.parse();
        address.map_err(|_| EcsError::client(format!("dnsServers has to have addresses, not {server:?}.")))
    });
    let name_servers = name_servers.collect::<Result<_, _>>()?;
    Ok(match mode {
        "none" => None,
        "bridge" => Some(NetworkPlan {
            network: None,
            ports,
            name_servers,
        }),
        // The task has an address of its own: nothing of it is published on the host.
        _ => Some(NetworkPlan {
            network: None,
            ports: Vec::new(),
            name_servers,
        }),
    })
}

fn sysctls(containers: &[ContainerDefinition]) -> Result<Vec<(String, String)>, EcsError> {
    let mut settings = BTreeMap::new();
    for control in containers
        .iter()
        .flat_map(|container| container.system_controls.iter().flatten())
    {
        let (Some(name), Some(value)) = (&control.namespace, &control.value) else {
            return Err(EcsError::client("systemControls needs a namespace and a value."));
        };
        if settings
            .insert(name.clone(), value.clone())
            .is_some_and(|before| before != *value)
        {
            return Err(EcsError::client(format!(
                "systemControls has two values for {name}: the containers of a task share one kernel."
            )));
        }
    }
    Ok(settings.into_iter().collect())
}

/// What all containers that say it say, since a task has one.
fn agreed<T: PartialEq>(member: &str, mut said: impl Iterator<Item = T>) -> Result<Option<T>, EcsError> {
    let Some(first) = said.next() else { return Ok(None) };
    if said.all(|other| other == first) {
        return Ok(Some(first));
    }
    Err(EcsError::client(format!(
        "containers have different values of {member}: the containers of a task share one."
    )))
}
