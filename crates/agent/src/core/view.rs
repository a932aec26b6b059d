//! A task as the API of our own tells it.

use std::num::NonZeroU64;

use api::task::{
    Container, ContainerStatus, Exit, Health, PublishedPort, Rates, Task, TaskNetwork, TaskService, Times,
    TransportProtocol,
};

use protocol::vmm::Limits;

use super::RUN_DEFINITION;
use crate::record::{self, ContainerPlan, ContainerRecord, NetworkRecord, StopCode, TaskRecord};

/// The task, in the words of the API.
#[must_use]
pub fn task(record: &TaskRecord) -> Task {
    let containers: Vec<Container> = record
        .plan
        .containers
        .iter()
        .zip(&record.containers)
        .map(container)
        .collect();
    let essential = containers
        .iter()
        .find(|container| container.is_essential)
        .or(containers.first());
    let essential = essential.cloned().unwrap_or_default();
    let labels = record
        .plan
        .containers
        .iter()
        .flat_map(|plan| plan.labels.iter().cloned());
    Task {
        id: record.id.clone(),
        name: record.name.clone(),
        image: essential.image,
        image_digest: essential.image_digest.unwrap_or_default(),
        command: essential.command,
        vcpu_milli: record.plan.vcpu_milli,
        memory_mib: record.plan.memory_mib,
        rates: rates(record.plan.limits),
        status: record.status,
        origin: record.origin,
        created_unix_ms: record.times.created_ms,
        clock: record.clock,
        exit: exit(record, essential.exit),
        stopped_reason: record
            .stop
            .as_ref()
            .map(|stop| reason(record, &stop.reason, essential.reason.as_deref())),
        stop_code: record.stop.as_ref().map(|stop| format!("{:?}", stop.code)),
        cluster: Some(record.cluster.clone()),
        definition: Some(record.definition.clone()).filter(|definition| definition != RUN_DEFINITION),
        group: Some(record.group.clone()),
        started_by: record.started_by.clone(),
        service: record.service.as_ref().map(|service| TaskService {
            name: service.service.clone(),
            deployment: service.deployment.clone(),
        }),
        health: health(&containers),
        times: times(record.times),
        network: record.network.as_ref().map(network),
        containers,
        labels: labels.collect(),
        tags: record.tags.iter().cloned().collect(),
    }
}

fn rates(limits: Limits) -> Rates {
    Rates {
        disk_bytes_per_second: limits.disk_bytes.map(NonZeroU64::get),
        disk_operations_per_second: limits.disk_operations.map(NonZeroU64::get),
        network_bytes_per_second: limits.network_bytes.map(NonZeroU64::get),
    }
}

/// A task that mote could not start has failed, whether or not any process can be blamed.
fn exit(record: &TaskRecord, essential: Option<Exit>) -> Option<Exit> {
    let failed = record
        .stop
        .as_ref()
        .is_some_and(|stop| stop.code == StopCode::TaskFailedToStart);
    essential.or_else(|| failed.then_some(Exit::Failed))
}

/// The task's reason; where it is only that its container ended, that one's adds something.
fn reason(record: &TaskRecord, reason: &str, essential: Option<&str>) -> String {
    let is_container = record
        .stop
        .as_ref()
        .is_some_and(|stop| stop.code == StopCode::EssentialContainerExited);
    match essential.filter(|text| is_container && !reason.contains(text)) {
        Some(text) => format!("{reason}: {text}"),
        None => reason.to_owned(),
    }
}

fn container((plan, record): (&ContainerPlan, &ContainerRecord)) -> Container {
    Container {
        name: plan.name.clone(),
        runtime_id: Some(record.runtime_id.clone()),
        image: plan.image.clone(),
        image_digest: record.image_digest.clone(),
        command: record.command.clone(),
        is_essential: plan.is_essential,
        has_terminal: plan.terminal.is_some(),
        has_stdin: plan.stdin,
        status: match record.status {
            record::ContainerStatus::Pending => ContainerStatus::Pending,
            record::ContainerStatus::Running => ContainerStatus::Running,
            record::ContainerStatus::Stopped => ContainerStatus::Stopped,
        },
        health: match record.health {
            record::Health::Unknown => Health::Unknown,
            record::Health::Healthy => Health::Healthy,
            record::Health::Unhealthy => Health::Unhealthy,
        },
        exit: record.exit,
        reason: record.reason.clone(),
        restarts: record.restarts,
        started_ms: record.started_ms,
        finished_ms: record.finished_ms,
    }
}

fn health(containers: &[Container]) -> Health {
    let essential = || containers.iter().filter(|container| container.is_essential);
    let any = |health| essential().any(|container| container.health == health);
    match (any(Health::Unhealthy), any(Health::Unknown)) {
        (true, _) => Health::Unhealthy,
        (false, true) => Health::Unknown,
        (false, false) if containers.is_empty() => Health::Unknown,
        (false, false) => Health::Healthy,
    }
}

const fn times(times: record::Times) -> Times {
    Times {
        pull_started_ms: times.pull_started_ms,
        pull_stopped_ms: times.pull_stopped_ms,
        connected_ms: times.connected_ms,
        started_ms: times.started_ms,
        stopping_ms: times.stopping_ms,
        execution_stopped_ms: times.execution_stopped_ms,
        stopped_ms: times.stopped_ms,
    }
}

fn network(network: &NetworkRecord) -> TaskNetwork {
    let bytes = network.mac.map(|byte| format!("{byte:02x}"));
    TaskNetwork {
        name: network
            .member
            .as_ref()
            .map_or_else(|| api::network::DEFAULT.to_owned(), |member| member.network.clone()),
        address: network.address,
        address_ipv6: network.address_ipv6,
        mac: bytes.join(":"),
        ports: network
            .places()
            .map(|port| PublishedPort {
                container: port.container,
                host_address: port.host_address,
                host_port: port.host_port,
                port: port.port,
                protocol: if port.is_udp {
                    TransportProtocol::Udp
                } else {
                    TransportProtocol::Tcp
                },
            })
            .collect(),
    }
}
