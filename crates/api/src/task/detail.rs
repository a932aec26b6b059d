//! What is told of a task beside its outline: containers, network, times.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Exit, TransportProtocol};

/// A container of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name; `main` where a request named none.
    pub name: String,
    /// ECS's `runtimeId`.
    #[serde(default)]
    pub runtime_id: Option<String>,
    /// The image, by its full name.
    pub image: String,
    /// Digest of the image's manifest, once it is resolved.
    #[serde(default)]
    pub image_digest: Option<String>,
    /// The command line, once it is resolved.
    #[serde(default)]
    pub command: Vec<String>,
    /// Whether the task ends with it.
    #[serde(default)]
    pub is_essential: bool,
    /// Whether it has a terminal.
    #[serde(default)]
    pub has_terminal: bool,
    /// Whether its standard input is connected.
    #[serde(default)]
    pub has_stdin: bool,
    /// Where it is on its way.
    pub status: ContainerStatus,
    /// Its health.
    #[serde(default)]
    pub health: Health,
    /// How its last process ended, once one did.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Why it did not run, or why it ended otherwise than by itself.
    #[serde(default)]
    pub reason: Option<String>,
    /// How often its process was started again.
    #[serde(default)]
    pub restarts: u32,
    /// When its process was started last, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// When its process ended last, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub finished_ms: Option<u64>,
}

/// ECS's states of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerStatus {
    /// It did not run yet.
    #[default]
    Pending,
    /// Its process runs.
    Running,
    /// It ended, or will never run.
    Stopped,
}

/// ECS's health states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    /// It is not checked, or was not yet.
    #[default]
    Unknown,
    /// The last check succeeded.
    Healthy,
    /// As many checks in a row failed as it may.
    Unhealthy,
}

/// The service that wanted a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskService {
    /// The service's name.
    pub name: String,
    /// The deployment's id.
    pub deployment: String,
}

/// The network of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNetwork {
    /// The network's name.
    #[serde(default = "default_network")]
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its IPv6 address, where its network has any.
    #[serde(default)]
    pub address_ipv6: Option<Ipv6Addr>,
    /// Its hardware address, six bytes in hexadecimal digits with colons between them.
    pub mac: String,
    /// What is published of it.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
}

/// What a host agent of an earlier version does not say.
fn default_network() -> String {
    crate::network::DEFAULT.to_owned()
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The container that named it.
    pub container: String,
    /// The host's address, or `0.0.0.0` or `::` for all of that kind; where absent, all of the kinds that the task has.
    #[serde(default)]
    pub host_address: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub port: u16,
    /// Of which protocol.
    #[serde(default)]
    pub protocol: TransportProtocol,
}

/// When a task went through what, in milliseconds since the Unix epoch; absent while it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// The first image began to be fetched, or was found.
    pub pull_started_ms: Option<u64>,
    /// All images are there.
    pub pull_stopped_ms: Option<u64>,
    /// The guest agent answered.
    pub connected_ms: Option<u64>,
    /// All containers that start without waiting run.
    pub started_ms: Option<u64>,
    /// It was decided that it ends.
    pub stopping_ms: Option<u64>,
    /// The last container ended.
    pub execution_stopped_ms: Option<u64>,
    /// All that it held was released.
    pub stopped_ms: Option<u64>,
}
