//! A task's record in the words of ECS.

use api::ecs::arn::Resource;
use api::ecs::definitions::EphemeralStorage;
use api::ecs::shapes::{Attachment, CapacityProviderStrategyItem, NameValue, NetworkConfiguration, Tag, Timestamp};
use api::ecs::tasks::{Container, ManagedAgent, NetworkBinding, NetworkInterface, Task};
use api::task::{Exit, Status};
use serde::de::DeserializeOwned;

use super::new::echo;
use crate::ecs::definition::cpu_text;
use crate::record::{ContainerPlan, ContainerRecord, ContainerStatus, Health, NetworkRecord, StopCode, TaskRecord};

/// The platform version that all tasks have.
const PLATFORM_VERSION: &str = "1.4.0";

/// What executes commands in a container.
const EXECUTE_AGENT: &str = "ExecuteCommandAgent";

/// A task's record in the words of ECS.
#[must_use]
pub fn describe(record: &TaskRecord, region: &str, tags: Vec<Tag>) -> Task {
    let time = |unix_ms: Option<u64>| unix_ms.map(Timestamp::from_unix_ms);
    let times = &record.times;
    let storage = EphemeralStorage {
        size_in_gib: i64::from(record.plan.scratch_mib.div_ceil(1024)),
    };
    let strategy: Vec<CapacityProviderStrategyItem> = echoed(record, echo::STRATEGY).unwrap_or_default();
    let (family, revision) = record.definition.split_once(':').unwrap_or((&record.definition, "0"));
    let definition = Resource::TaskDefinition {
        family: family.to_owned(),
        revision: revision.parse().unwrap_or_default(),
    };
    let desired = if record.is_wanted && record.status != Status::Stopped {
        "RUNNING"
    } else {
        "STOPPED"
    };
    Task {
        attachments: attachment(record).into_iter().collect(),
        attributes: vec![NameValue::new("ecs.cpu-architecture", "x86_64")],
        availability_zone: Some(format!("{region}a")),
        capacity_provider_name: strategy.into_iter().next().map(|item| item.capacity_provider),
        cluster_arn: Resource::Cluster {
            name: record.cluster.clone(),
        }
        .arn(region),
        connectivity: times.connected_ms.map(|_| "CONNECTED".to_owned()),
        connectivity_at: time(times.connected_ms),
        containers: containers(record, region),
        cpu: cpu_text(record.plan.vcpu_milli),
        created_at: time(Some(times.created_ms)),
        desired_status: desired.to_owned(),
        enable_execute_command: record.plan.can_execute,
        execution_stopped_at: time(times.execution_stopped_ms),
        group: record.group.clone(),
        health_status: health_of_task(record).to_owned(),
        last_status: status(record.status).to_owned(),
        launch_type: Some("FARGATE".to_owned()),
        memory: record.plan.memory_mib.to_string(),
        overrides: echoed(record, echo::OVERRIDES).unwrap_or_default(),
        platform_version: Some(PLATFORM_VERSION.to_owned()),
        platform_family: Some("Linux".to_owned()),
        pull_started_at: time(times.pull_started_ms),
        pull_stopped_at: time(times.pull_stopped_ms),
        started_at: time(times.started_ms),
        started_by: record.started_by.clone(),
        stop_code: record.stop.as_ref().map(|stop| code(stop.code).to_owned()),
        stopped_at: time(times.stopped_ms),
        stopped_reason: record.stop.as_ref().map(|stop| stop.reason.clone()),
        stopping_at: time(times.stopping_ms),
        tags,
        task_arn: arn(record, region),
        task_definition_arn: definition.arn(region),
        version: record.version,
        ephemeral_storage: Some(storage),
        fargate_ephemeral_storage: Some(storage),
    }
}

fn arn(record: &TaskRecord, region: &str) -> String {
    let (cluster, id) = (record.cluster.clone(), record.id.clone());
    Resource::Task { cluster, id }.arn(region)
}

fn echoed<T: DeserializeOwned>(record: &TaskRecord, member: &str) -> Option<T> {
    serde_json::from_value(record.echoed.get(member)?.clone()).ok()
}

fn containers(record: &TaskRecord, region: &str) -> Vec<Container> {
    let pairs = record.plan.containers.iter().zip(&record.containers);
    pairs
        .map(|(plan, container)| self::container(record, plan, container, region))
        .collect()
}

fn container(record: &TaskRecord, plan: &ContainerPlan, container: &ContainerRecord, region: &str) -> Container {
    let network = record.network.as_ref();
    let id = Resource::Container {
        cluster: record.cluster.clone(),
        task: record.id.clone(),
        id: container.id.clone(),
    };
    let has_stopped = container.status == ContainerStatus::Stopped;
    let agent = || ManagedAgent {
        last_started_at: container.started_ms.map(Timestamp::from_unix_ms),
        name: EXECUTE_AGENT.to_owned(),
        last_status: container_status(container.status).to_owned(),
    };
    Container {
        container_arn: id.arn(region),
        task_arn: arn(record, region),
        name: plan.name.clone(),
        image: plan.image.clone(),
        image_digest: container.image_digest.clone(),
        runtime_id: Some(container.runtime_id.clone()),
        last_status: container_status(container.status).to_owned(),
        exit_code: container.exit.filter(|_| has_stopped).and_then(exit_code),
        reason: container.reason.clone(),
        network_bindings: network.map(|network| bindings(network, &plan.name)).unwrap_or_default(),
        network_interfaces: network
            .filter(|_| has_own_address(record))
            .map(interface)
            .into_iter()
            .collect(),
        health_status: health(container.health).to_owned(),
        managed_agents: record.plan.can_execute.then(|| vec![agent()]),
        cpu: plan.cpu_units.to_string(),
        memory: plan.memory_mib.map(|mib| mib.to_string()),
        memory_reservation: plan.memory_reservation_mib.map(|mib| mib.to_string()),
    }
}

/// Absent where no process ever ran.
fn exit_code(exit: Exit) -> Option<i64> {
    match exit {
        Exit::Failed => None,
        exit => Some(i64::from(exit.shell_code())),
    }
}

fn bindings(network: &NetworkRecord, container: &str) -> Vec<NetworkBinding> {
    let places = network.places().filter(|port| port.container == container);
    let binding = |port: crate::record::PublishedPort| NetworkBinding {
        bind_ip: port
            .host_address
            .map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string()),
        container_port: i64::from(port.port),
        host_port: i64::from(port.host_port),
        protocol: if port.is_udp { "udp" } else { "tcp" }.to_owned(),
    };
    places.map(binding).collect()
}

fn interface(network: &NetworkRecord) -> NetworkInterface {
    NetworkInterface {
        attachment_id: network.attachment.clone(),
        private_ipv4_address: Some(network.address.to_string()),
        ipv6_address: network.address_ipv6.map(|address| address.to_string()),
    }
}

/// Whether the task's address is shown as that of an interface of its own, as `awsvpc` has it.
fn has_own_address(record: &TaskRecord) -> bool {
    let mode: Option<String> = echoed(record, echo::NETWORK_MODE);
    record.plan.network.is_some() && mode.is_none_or(|mode| mode == "awsvpc")
}

fn attachment(record: &TaskRecord) -> Option<Attachment> {
    if !has_own_address(record) {
        return None;
    }
    let status = match (record.status, &record.network) {
        (Status::Stopped, _) => "DELETED",
        (Status::Deprovisioning, _) => "DETACHING",
        (_, Some(_)) => "ATTACHED",
        (_, None) => "PRECREATED",
    };
    let configuration: Option<NetworkConfiguration> = echoed(record, echo::NETWORK);
    let vpc = configuration.and_then(|configuration| configuration.awsvpc_configuration);
    let mut details = Vec::new();
    if let Some(subnet) = vpc.as_ref().and_then(|vpc| vpc.subnets.first()) {
        details.push(NameValue::new("subnetId", subnet));
    }
    details.extend(record.network.iter().flat_map(addresses));
    Some(Attachment {
        // One for the task from its first moment on, also before there is a network.
        id: record
            .network
            .as_ref()
            .map_or_else(|| uuid_of(&record.id), |network| network.attachment.clone()),
        r#type: "ElasticNetworkInterface".to_owned(),
        status: status.to_owned(),
        details,
    })
}

/// What an attachment tells of a task's interface.
fn addresses(network: &NetworkRecord) -> Vec<NameValue> {
    let digits = network.attachment.chars().filter(char::is_ascii_hexdigit);
    let digits: String = digits.take(17).collect();
    let mac = network.mac.map(|byte| format!("{byte:02x}")).join(":");
    let mut details = vec![
        NameValue::new("networkInterfaceId", format!("eni-{digits}")),
        NameValue::new("macAddress", mac),
        NameValue::new("privateIPv4Address", network.address.to_string()),
    ];
    let ipv6 = network.address_ipv6;
    details.extend(ipv6.map(|address| NameValue::new("ipv6Address", address.to_string())));
    details
}

/// 32 hexadecimal digits as a UUID.
fn uuid_of(id: &str) -> String {
    let parts = [id.get(..8), id.get(8..12), id.get(12..16), id.get(16..20), id.get(20..)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("-")
}

const fn code(code: StopCode) -> &'static str {
    match code {
        StopCode::TaskFailedToStart => "TaskFailedToStart",
        StopCode::EssentialContainerExited => "EssentialContainerExited",
        StopCode::UserInitiated => "UserInitiated",
        StopCode::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
        StopCode::TerminationNotice => "TerminationNotice",
    }
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Provisioning => "PROVISIONING",
        Status::Pending => "PENDING",
        Status::Activating => "ACTIVATING",
        Status::Running => "RUNNING",
        Status::Deactivating => "DEACTIVATING",
        Status::Stopping => "STOPPING",
        Status::Deprovisioning => "DEPROVISIONING",
        Status::Stopped => "STOPPED",
    }
}

const fn container_status(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Pending => "PENDING",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    }
}

const fn health(health: Health) -> &'static str {
    match health {
        Health::Unknown => "UNKNOWN",
        Health::Healthy => "HEALTHY",
        Health::Unhealthy => "UNHEALTHY",
    }
}

/// The worst of its essential containers that are checked.
fn health_of_task(record: &TaskRecord) -> &'static str {
    let pairs = record.plan.containers.iter().zip(&record.containers);
    let checked = pairs.filter(|(plan, _)| plan.is_essential && plan.health_check.is_some());
    let all: Vec<Health> = checked.map(|(_, container)| container.health).collect();
    if all.contains(&Health::Unhealthy) {
        return health(Health::Unhealthy);
    }
    let is_healthy = !all.is_empty() && all.iter().all(|one| *one == Health::Healthy);
    health(if is_healthy { Health::Healthy } else { Health::Unknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_with_ipv6_has_two_addresses_and_a_port_at_each() {
        let text = r#"{"attachment": "0a", "tap": "t", "mac": [2, 0, 0, 0, 0, 1], "address": "10.0.0.2", "address_ipv6": "fd00::2",
            "ports": [{"container": "web", "host_address": null, "host_port": 8080, "port": 80, "is_udp": false}]}"#;
        let mut network: NetworkRecord = serde_json::from_str(text).unwrap();
        let places = |network: &NetworkRecord| {
            let bindings = bindings(network, "web").into_iter();
            bindings.map(|binding| binding.bind_ip).collect::<Vec<_>>()
        };
        let has_detail =
            |network: &NetworkRecord| addresses(network).contains(&NameValue::new("ipv6Address", "fd00::2"));
        assert_eq!(interface(&network).ipv6_address.as_deref(), Some("fd00::2"));
        assert_eq!(places(&network), ["0.0.0.0", "::"]);
        assert!(has_detail(&network));
        network.address_ipv6 = None;
        assert_eq!(interface(&network).ipv6_address, None);
        assert_eq!(places(&network), ["0.0.0.0"]);
        assert!(!has_detail(&network));
    }
}
