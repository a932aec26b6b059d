//! The containers of a task definition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shapes::NameValue;

/// A container of a task definition: as it is registered, and told again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerDefinition {
    /// Its name.
    pub name: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// CPU units: a share against the task's other containers.
    pub cpu: Option<i64>,
    /// Its memory limit, in MiB.
    pub memory: Option<i64>,
    /// What is taken from it last, in MiB.
    pub memory_reservation: Option<i64>,
    /// Its ports.
    pub port_mappings: Option<Vec<PortMapping>>,
    /// Whether the task ends with it; true where absent.
    pub essential: Option<bool>,
    /// Whether it is started again when it ends.
    pub restart_policy: Option<ContainerRestartPolicy>,
    /// Instead of the image's entrypoint.
    pub entry_point: Option<Vec<String>>,
    /// Instead of the image's command.
    pub command: Option<Vec<String>>,
    /// On top of the image's environment.
    pub environment: Option<Vec<NameValue>>,
    /// Files with further environment.
    pub environment_files: Option<Vec<EnvironmentFile>>,
    /// Where the task's volumes are mounted.
    pub mount_points: Option<Vec<MountPoint>>,
    /// Always empty.
    pub volumes_from: Option<Vec<serde_json::Value>>,
    /// What Linux gives it.
    pub linux_parameters: Option<LinuxParameters>,
    /// Variables whose values are kept apart.
    pub secrets: Option<Vec<Secret>>,
    /// What has to happen before it starts.
    pub depends_on: Option<Vec<ContainerDependency>>,
    /// Seconds that its dependencies have to fulfil their conditions.
    pub start_timeout: Option<i64>,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout: Option<i64>,
    /// Told again: a definition's images are resolved when a task starts.
    pub version_consistency: Option<String>,
    /// The microVM's host name.
    pub hostname: Option<String>,
    /// Instead of the image's user.
    pub user: Option<String>,
    /// Instead of the image's working directory.
    pub working_directory: Option<String>,
    /// Whether it has all capabilities.
    pub privileged: Option<bool>,
    /// Whether it cannot write to its root file system.
    pub readonly_root_filesystem: Option<bool>,
    /// Name servers instead of the host's.
    pub dns_servers: Option<Vec<String>>,
    /// Lines of `/etc/hosts`.
    pub extra_hosts: Option<Vec<HostEntry>>,
    /// `no-new-privileges` and nothing else.
    pub docker_security_options: Option<Vec<String>>,
    /// Whether standard input is connected.
    pub interactive: Option<bool>,
    /// Whether it has a terminal.
    pub pseudo_terminal: Option<bool>,
    /// Key and value.
    pub docker_labels: Option<BTreeMap<String, String>>,
    /// Resource limits.
    pub ulimits: Option<Vec<Ulimit>>,
    /// Where its output goes.
    pub log_configuration: Option<LogConfiguration>,
    /// How its health is checked.
    pub health_check: Option<HealthCheck>,
    /// Kernel settings.
    pub system_controls: Option<Vec<SystemControl>>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    /// The container's port.
    pub container_port: Option<i64>,
    /// The host's port: the same where the task has an address of its own; a free one where 0.
    pub host_port: Option<i64>,
    /// `tcp` or `udp`.
    pub protocol: Option<String>,
    /// Told again.
    pub name: Option<String>,
    /// Told again.
    pub app_protocol: Option<String>,
}

/// Whether a container is started again when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerRestartPolicy {
    /// Whether it ever is.
    pub enabled: bool,
    /// Exit codes after which it is not.
    pub ignored_exit_codes: Option<Vec<i64>>,
    /// Seconds that it must have run.
    pub restart_attempt_period: Option<i64>,
}

/// A file with lines of `NAME=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvironmentFile {
    /// `file://` and an absolute path of the host, or the path alone.
    pub value: String,
    /// `s3`, since ECS has no other.
    pub r#type: String,
}

/// Where a volume is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MountPoint {
    /// The volume's name.
    pub source_volume: Option<String>,
    /// Where, in the container.
    pub container_path: Option<String>,
    /// Whether it cannot be written to.
    pub read_only: Option<bool>,
}

/// What Linux gives a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinuxParameters {
    /// Capabilities.
    pub capabilities: Option<KernelCapabilities>,
    /// Whether a small first process reaps orphans.
    pub init_process_enabled: Option<bool>,
    /// The size of `/dev/shm`, in MiB.
    pub shared_memory_size: Option<i64>,
    /// File systems in memory.
    pub tmpfs: Option<Vec<Tmpfs>>,
}

/// Capabilities beside or without the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KernelCapabilities {
    /// Beside the usual ones.
    pub add: Option<Vec<String>>,
    /// Less than the usual ones.
    pub drop: Option<Vec<String>>,
}

/// A file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tmpfs {
    /// Where, in the container.
    pub container_path: String,
    /// Its size, in MiB.
    pub size: i64,
    /// Options of mount(8) and tmpfs.
    pub mount_options: Option<Vec<String>>,
}

/// A variable whose value is kept apart, or an option of a log driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// The variable.
    pub name: String,
    /// `file://` and an absolute path of the host, or the name or an ARN of a secret in the host agent's store.
    pub value_from: String,
}

/// What has to happen to another container first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerDependency {
    /// The other container.
    pub container_name: String,
    /// `START`, `COMPLETE`, `SUCCESS` or `HEALTHY`.
    pub condition: String,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostEntry {
    /// The name.
    pub hostname: String,
    /// Its address.
    pub ip_address: String,
}

/// A resource limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ulimit {
    /// As Docker calls it: `nofile`.
    pub name: String,
    /// What a process begins with; -1 is no limit.
    pub soft_limit: i64,
    /// What it may raise that to; -1 is no limit.
    pub hard_limit: i64,
}

/// Where a container's output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogConfiguration {
    /// `awslogs`: the host agent's own logs.
    pub log_driver: String,
    /// `awslogs-group`, `awslogs-stream-prefix` and so on.
    pub options: Option<BTreeMap<String, String>>,
}

/// How a container's health is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// `CMD` and words, `CMD-SHELL` and a line, or `NONE`.
    pub command: Vec<String>,
    /// Seconds between checks; 30 where absent.
    pub interval: Option<i64>,
    /// Seconds that a check may take; 5 where absent.
    pub timeout: Option<i64>,
    /// How many failures in a row make it unhealthy; 3 where absent.
    pub retries: Option<i64>,
    /// Seconds after the start in which failures do not count; 0 where absent.
    pub start_period: Option<i64>,
}

/// A kernel setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SystemControl {
    /// Its name with dots, as in sysctl(8).
    pub namespace: Option<String>,
    /// Its value.
    pub value: Option<String>,
}
