//! What is known of a task, as it is stored: everything that a host agent which was restarted needs to go on with it, and that clients ask for.
//!
//! A record is written before what it says is acted on. Times are milliseconds since the Unix epoch.

mod plan;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::task::{ClockPoints, Origin, Status};
use serde::{Deserialize, Serialize};

pub use plan::{
    Condition, ContainerPlan, Dependency, HealthCheck, Logging, MountPlan, NetworkPlan, Plan, PortPlan, PullPolicy,
    RestartPolicy, Secret, SecretSource, VolumePlan,
};

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The name of its cluster.
    pub cluster: String,
    /// The user's name for it, or a made-up one; unique among all tasks that are not forgotten.
    pub name: String,
    /// `family:revision`.
    pub definition: String,
    /// ECS's `group`: `family:…` or `service:…` unless the request names one.
    pub group: String,
    /// ECS's `startedBy`.
    pub started_by: Option<String>,
    /// The service and the deployment that wanted it.
    pub service: Option<ServiceOrigin>,
    /// Key and value.
    pub tags: Vec<(String, String)>,
    /// What the request asked for that is only told again: ECS's members by name.
    pub echoed: serde_json::Map<String, serde_json::Value>,
    /// What it is to be.
    pub plan: Plan,
    /// Whether it is forgotten as soon as it has stopped.
    pub is_removed_when_stopped: bool,
    /// Whether it is to run or to stop.
    pub is_wanted: bool,
    /// Where it is on its way.
    pub status: Status,
    /// How many changes it went through.
    pub version: u64,
    /// When it went through what.
    pub times: Times,
    /// Why it stopped or is about to.
    pub stop: Option<Stop>,
    /// Its clock points.
    pub clock: ClockPoints,
    /// Where its microVM came from.
    pub origin: Option<Origin>,
    /// Its network, once it has one.
    pub network: Option<NetworkRecord>,
    /// Its containers, in the order of the plan.
    pub containers: Vec<ContainerRecord>,
    /// What it has used, once its microVM is gone and was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
    /// The life cycle's state and what the host needs to find its microVM again: opaque to everybody but the tasks' core.
    pub core: serde_json::Value,
}

/// What a microVM has used, VMM and devices included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// Bytes of the frames that came for it.
    pub received_bytes: u64,
    /// Bytes of the frames that came from it.
    pub sent_bytes: u64,
    /// Bytes that it read of its disks.
    pub read_bytes: u64,
    /// Bytes that it wrote to them.
    pub written_bytes: u64,
}

/// Which service wanted a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceOrigin {
    /// The service's name.
    pub service: String,
    /// The deployment's id: `ecs-svc/…`.
    pub deployment: String,
}

/// The times of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The request was acknowledged.
    pub created_ms: u64,
    /// The first image began to be fetched, or was found.
    pub pull_started_ms: Option<u64>,
    /// All images are there.
    pub pull_stopped_ms: Option<u64>,
    /// The guest agent answered.
    pub connected_ms: Option<u64>,
    /// The same on `CLOCK_MONOTONIC`: what is reserved is counted by it, since somebody may set the other clock.
    #[serde(default)]
    pub connected_monotonic_ms: Option<u64>,
    /// All containers that start without waiting run.
    pub started_ms: Option<u64>,
    /// It was decided that it ends.
    pub stopping_ms: Option<u64>,
    /// The last container ended.
    pub execution_stopped_ms: Option<u64>,
    /// From the guest agent's answer to the last container's end, by `CLOCK_MONOTONIC`.
    #[serde(default)]
    pub ran_ms: Option<u64>,
    /// All that it held was released.
    pub stopped_ms: Option<u64>,
}

impl Times {
    /// How long it has been since the guest agent answered, at `monotonic_ms`; nothing where it has not.
    #[must_use]
    pub fn running_ms(&self, monotonic_ms: u64) -> Option<u64> {
        Some(monotonic_ms.saturating_sub(self.connected_monotonic_ms?))
    }
}

/// Why a task stops.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stop {
    /// ECS's `stopCode`.
    pub code: StopCode,
    /// ECS's `stoppedReason`.
    pub reason: String,
}

/// ECS's stop codes, as far as one host can have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCode {
    /// No container ran.
    TaskFailedToStart,
    /// A container that is essential ended, or its microVM did.
    EssentialContainerExited,
    /// A client asked for it.
    UserInitiated,
    /// Its service did.
    ServiceSchedulerInitiated,
    /// The host agent or the host ended.
    TerminationNotice,
}

/// The network of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// A name for the attachment: a UUID.
    pub attachment: String,
    /// The network that it shares with other tasks; the default one where absent.
    // Tasks of earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Membership>,
    /// The TAP interface.
    pub tap: String,
    /// The guest's hardware address.
    pub mac: [u8; 6],
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The guest's IPv6 address, where its network has any.
    pub address_ipv6: Option<Ipv6Addr>,
    /// What is published.
    pub ports: Vec<PublishedPort>,
}

/// A task's place in a network that it shares with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The network's name.
    pub network: String,
    /// The name by which the others find the task.
    pub name: String,
    /// The network's addresses.
    pub subnet: String,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
    /// The network's IPv6 addresses, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_ipv6: Option<String>,
    /// The host's IPv6 address in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ipv6: Option<Ipv6Addr>,
}

/// A port of the host that leads to one of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The container that named it.
    pub container: String,
    /// The host's address, or the unspecified one of a kind for all of that kind; where absent, all of the kinds that the guest has.
    pub host_address: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The guest's port.
    pub port: u16,
    /// Whether it is UDP and not TCP.
    pub is_udp: bool,
}

impl NetworkRecord {
    /// What is published, by place: a port at all addresses of both kinds is at two.
    pub fn places(&self) -> impl Iterator<Item = PublishedPort> {
        let has_ipv6 = self.address_ipv6.is_some();
        self.ports.iter().flat_map(move |port| {
            let places = match port.host_address {
                None if has_ipv6 => vec![Some(Ipv4Addr::UNSPECIFIED.into()), Some(Ipv6Addr::UNSPECIFIED.into())],
                address => vec![address],
            };
            places.into_iter().map(|host_address| PublishedPort {
                host_address,
                ..port.clone()
            })
        })
    }
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// A UUID.
    pub id: String,
    /// ECS's `runtimeId`: the task's id, a hyphen, ten digits.
    pub runtime_id: String,
    /// Digest of the image's manifest, once it is resolved.
    pub image_digest: Option<String>,
    /// The command line, once it is resolved.
    pub command: Vec<String>,
    /// Where it is on its way.
    pub status: ContainerStatus,
    /// Its health, where it is checked.
    pub health: Health,
    /// How its last process ended.
    pub exit: Option<api::task::Exit>,
    /// Why it did not run, or why it ended otherwise than by itself.
    pub reason: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// When its process was started last.
    pub started_ms: Option<u64>,
    /// When its process ended last.
    pub finished_ms: Option<u64>,
}

/// ECS's states of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerStatus {
    /// It did not run yet.
    Pending,
    /// Its process runs.
    Running,
    /// It ended, or will never run.
    Stopped,
}

/// ECS's health states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    /// It is not checked, or was not yet.
    Unknown,
    /// The last check succeeded.
    Healthy,
    /// As many checks in a row failed as it may.
    Unhealthy,
}
