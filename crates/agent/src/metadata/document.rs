//! A record as the endpoint's documents: a task and its containers, with the members and the spelling of Amazon ECS's endpoint.

use api::calendar::rfc3339;
use api::ecs::arn::Resource;
use api::task::Status;
use serde_json::{Map, Value, json};

use crate::record::{ContainerPlan, ContainerRecord, ContainerStatus, Health, TaskRecord};

/// ECS's CPU units of one vCPU.
const CPU_UNITS: f64 = 1024.0;

/// The log group of containers that name none.
const LOG_GROUP: &str = "/mote";

/// Which network a task is in, beside what its record says.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The region that names of resources have.
    pub region: String,
    /// The network, as address and prefix.
    pub subnet: String,
    /// Where everything else is reached.
    pub gateway: String,
    /// The name servers.
    pub name_servers: Vec<String>,
}

/// The document of a task.
pub fn task(record: &TaskRecord, place: &Surroundings) -> Value {
    let (family, revision) = split_definition(&record.definition);
    let containers: Vec<Value> = (0..record.containers.len())
        .filter_map(|index| container(record, index, place))
        .collect();
    let mut document = object(json!({
        "Cluster": cluster_arn(record, place),
        "TaskARN": task_arn(record, place),
        "Family": family,
        "Revision": revision,
        "DesiredStatus": desired(record),
        "KnownStatus": record.status,
        "Limits": {
            "CPU": f64::from(record.plan.vcpu_milli) / 1000.0,
            "Memory": record.plan.memory_mib,
        },
        "Containers": containers,
        "LaunchType": "FARGATE",
        "AvailabilityZone": format!("{}a", place.region),
        "EphemeralStorageMetrics": { "Reserved": record.plan.scratch_mib },
    }));
    put_moment(&mut document, "PullStartedAt", record.times.pull_started_ms);
    put_moment(&mut document, "PullStoppedAt", record.times.pull_stopped_ms);
    put_moment(&mut document, "ExecutionStoppedAt", record.times.execution_stopped_ms);
    if let Some(service) = &record.service {
        document.insert("ServiceName".to_owned(), json!(service.service));
    }
    Value::Object(document)
}

/// The document of the container with this index; `None` where there is none.
pub fn container(record: &TaskRecord, index: usize, place: &Surroundings) -> Option<Value> {
    let (plan, state) = (record.plan.containers.get(index)?, record.containers.get(index)?);
    let mut document = object(json!({
        "DockerId": state.runtime_id,
        "Name": plan.name,
        "DockerName": plan.name,
        "Image": plan.image,
        "ImageID": state.image_digest.as_deref().unwrap_or_default(),
        "Labels": labels(record, plan, place),
        "DesiredStatus": desired(record),
        "KnownStatus": known(state.status),
        "Limits": limits(record, plan),
        "Type": "NORMAL",
        "ContainerARN": container_arn(record, state, place),
        "LogDriver": "awslogs",
        "LogOptions": log_options(record, plan, place),
        "Networks": networks(record, place),
        "Ports": ports(record, plan),
        "RestartCount": state.restarts,
    }));
    put_moment(&mut document, "CreatedAt", Some(record.times.created_ms));
    put_moment(&mut document, "StartedAt", state.started_ms);
    put_moment(&mut document, "FinishedAt", state.finished_ms);
    match &state.exit {
        Some(exit) => document.insert("ExitCode".to_owned(), json!(exit.shell_code())),
        None => None,
    };
    if plan.health_check.is_some() {
        document.insert("Health".to_owned(), json!({ "status": health(state.health) }));
    }
    Some(Value::Object(document))
}

/// The index of the container with this `runtimeId`.
pub fn position(record: &TaskRecord, runtime_id: &str) -> Option<usize> {
    let mut containers = record.containers.iter();
    containers.position(|container| container.runtime_id == runtime_id)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        // It is made of a literal of one.
        _ => Map::new(),
    }
}

fn put_moment(document: &mut Map<String, Value>, name: &str, unix_ms: Option<u64>) {
    if let Some(unix_ms) = unix_ms {
        document.insert(name.to_owned(), json!(rfc3339(unix_ms)));
    }
}

/// `family:revision`; what has no revision is a family.
fn split_definition(definition: &str) -> (&str, &str) {
    definition.rsplit_once(':').unwrap_or((definition, "1"))
}

fn cluster_arn(record: &TaskRecord, place: &Surroundings) -> String {
    let name = record.cluster.clone();
    Resource::Cluster { name }.arn(&place.region)
}

fn task_arn(record: &TaskRecord, place: &Surroundings) -> String {
    let (cluster, id) = (record.cluster.clone(), record.id.clone());
    Resource::Task { cluster, id }.arn(&place.region)
}

fn container_arn(record: &TaskRecord, state: &ContainerRecord, place: &Surroundings) -> String {
    let container = Resource::Container {
        cluster: record.cluster.clone(),
        task: record.id.clone(),
        id: state.id.clone(),
    };
    container.arn(&place.region)
}

fn labels(record: &TaskRecord, plan: &ContainerPlan, place: &Surroundings) -> Value {
    let (family, revision) = split_definition(&record.definition);
    let own = plan.labels.iter().cloned();
    let given = [
        ("com.amazonaws.ecs.cluster", cluster_arn(record, place)),
        ("com.amazonaws.ecs.container-name", plan.name.clone()),
        ("com.amazonaws.ecs.task-arn", task_arn(record, place)),
        ("com.amazonaws.ecs.task-definition-family", family.to_owned()),
        ("com.amazonaws.ecs.task-definition-version", revision.to_owned()),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value));
    let all = own.chain(given).map(|(name, value)| (name, Value::String(value)));
    Value::Object(all.collect())
}

/// CPU in ECS's units, memory in MiB; the task's where the container has no limit of its own.
fn limits(record: &TaskRecord, plan: &ContainerPlan) -> Value {
    let cpu = match plan.cpu_units {
        0 => f64::from(record.plan.vcpu_milli) * CPU_UNITS / 1000.0,
        units => f64::from(units),
    };
    json!({ "CPU": cpu, "Memory": plan.memory_mib.unwrap_or(record.plan.memory_mib) })
}

fn log_options(record: &TaskRecord, plan: &ContainerPlan, place: &Surroundings) -> Value {
    let stream = match &plan.logging.stream_prefix {
        Some(prefix) => format!("{prefix}/{}/{}", plan.name, record.id),
        None => format!("{}/{}", plan.name, record.id),
    };
    json!({
        "awslogs-group": plan.logging.group.as_deref().unwrap_or(LOG_GROUP),
        "awslogs-region": place.region,
        "awslogs-stream": stream,
    })
}

fn networks(record: &TaskRecord, place: &Surroundings) -> Value {
    let Some(network) = &record.network else {
        return json!([]);
    };
    let (subnet, gateway, name_servers) = match &network.member {
        Some(member) => {
            let gateway = member.gateway.to_string();
            (&member.subnet, gateway.clone(), vec![gateway])
        }
        None => (&place.subnet, place.gateway.clone(), place.name_servers.clone()),
    };
    let mut document = json!({
        "NetworkMode": "awsvpc",
        "IPv4Addresses": [network.address],
        "AttachmentIndex": 0,
        "MACAddress": network.mac.map(|byte| format!("{byte:02x}")).join(":"),
        "IPv4SubnetCIDRBlock": subnet,
        "SubnetGatewayIpv4Address": gateway,
        "DomainNameServers": name_servers,
    });
    if let (Some(address), Some(member)) = (network.address_ipv6, &network.member) {
        document["IPv6Addresses"] = json!([address]);
        document["IPv6SubnetCIDRBlock"] = json!(member.subnet_ipv6);
        document["SubnetGatewayIpv6Address"] = json!(member.gateway_ipv6);
    }
    json!([document])
}

fn ports(record: &TaskRecord, plan: &ContainerPlan) -> Value {
    let published = record.network.iter().flat_map(|network| &network.ports);
    let own = published.filter(|port| port.container == plan.name);
    let ports = own.map(|port| {
        json!({
            "ContainerPort": port.port,
            "HostPort": port.host_port,
            "Protocol": if port.is_udp { "udp" } else { "tcp" },
        })
    });
    Value::Array(ports.collect())
}

fn desired(record: &TaskRecord) -> Status {
    if record.is_wanted {
        Status::Running
    } else {
        Status::Stopped
    }
}

fn known(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Pending => "PENDING",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Unknown => "UNKNOWN",
        Health::Healthy => "HEALTHY",
        Health::Unhealthy => "UNHEALTHY",
    }
}
