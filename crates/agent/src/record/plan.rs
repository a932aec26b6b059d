//! What a task is to be: its definition and its request, merged. What only its images know is added when they are there.

use protocol::vmm::Limits;
use serde::{Deserialize, Serialize};

/// What a task is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// CPU, in thousandths of a vCPU.
    pub vcpu_milli: u32,
    /// Memory for all containers together, in MiB.
    pub memory_mib: u32,
    /// The writable layers and the volumes together, in MiB.
    pub scratch_mib: u32,
    /// How many files and directories they may hold; as many as is usual for their size where absent.
    // Tasks of earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_inodes: Option<u32>,
    /// The microVM's host name; made of the id or the address where absent.
    pub hostname: Option<String>,
    /// Whether containers start only when all vCPUs are online.
    pub waits_for_vcpus: bool,
    /// Seconds after which it is stopped.
    pub time_limit_seconds: Option<u32>,
    /// Whether commands may be executed in it by ECS's `ExecuteCommand`.
    pub can_execute: bool,
    /// What it may do in a second.
    // Tasks of earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Its network; none where it has only a loopback interface.
    pub network: Option<NetworkPlan>,
    /// Kernel settings: name with dots as in sysctl(8), and value.
    pub sysctls: Vec<(String, String)>,
    /// Its volumes.
    pub volumes: Vec<VolumePlan>,
    /// Its containers, at least one.
    pub containers: Vec<ContainerPlan>,
}

/// The network of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// The network that it shares with other tasks; the default one, where it is by itself, where absent.
    // Tasks of earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What is published on the host.
    pub ports: Vec<PortPlan>,
    /// Name servers instead of the host's.
    pub name_servers: Vec<std::net::IpAddr>,
}

/// A port that is published on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// The container that names it.
    pub container: String,
    /// The host's address; all of them where absent.
    pub host_address: Option<std::net::IpAddr>,
    /// The host's port; a free one where absent.
    pub host_port: Option<u16>,
    /// The guest's port.
    pub port: u16,
    /// Whether it is UDP and not TCP.
    pub is_udp: bool,
}

/// A volume that containers of the task share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    /// Its name.
    pub name: String,
    /// The host's directory that it is; an empty one of the task's own where absent.
    pub host_path: Option<String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Its name.
    pub name: String,
    /// Its image, by its full name.
    pub image: String,
    /// When the image is fetched.
    pub pull: PullPolicy,
    /// Whether the task ends with it.
    pub is_essential: bool,
    /// Instead of the image's entrypoint; the image's command then does not apply.
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's command, where there is one.
    pub command: Option<Vec<String>>,
    /// `NAME=value`, on top of the image's.
    pub env: Vec<String>,
    /// Further environment, from the secret store or from files, read when the container starts.
    pub secrets: Vec<Secret>,
    /// Instead of the image's.
    pub working_directory: Option<String>,
    /// Instead of the image's.
    pub user: Option<String>,
    /// The size of the terminal, where it gets one: columns and rows.
    pub terminal: Option<(u16, u16)>,
    /// Whether standard input is connected.
    pub stdin: bool,
    /// ECS's CPU units: a share against the other containers. 0 is the least.
    pub cpu_units: u32,
    /// Its own memory limit, in MiB.
    pub memory_mib: Option<u32>,
    /// What is taken from it last, in MiB.
    pub memory_reservation_mib: Option<u32>,
    /// What has to happen before it starts.
    pub depends_on: Vec<Dependency>,
    /// Seconds that its dependencies have to fulfil their conditions, and it to start.
    pub start_timeout_seconds: Option<u32>,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout_seconds: u32,
    /// How its health is checked; the image's way where absent.
    pub health_check: Option<HealthCheck>,
    /// Whether it is started again when it ends.
    pub restart: Option<RestartPolicy>,
    /// Resource limits: name as in Docker, soft and hard; none is no limit.
    pub ulimits: Vec<(String, Option<u64>, Option<u64>)>,
    /// The most processes and threads at a time.
    // Tasks of earlier versions do not say it.
    #[serde(default)]
    pub pids_max: Option<u32>,
    /// Capabilities beside the usual ones, by kernel name; `ALL` for all of them.
    pub capabilities_added: Vec<String>,
    /// Capabilities less than that; `ALL` for all of them.
    pub capabilities_dropped: Vec<String>,
    /// Whether `execve` may not raise privileges.
    pub no_new_privileges: bool,
    /// Whether it cannot write to its root file system.
    pub is_read_only: bool,
    /// Whether a small first process reaps orphans.
    pub has_init_process: bool,
    /// The size of `/dev/shm`, in MiB.
    pub shared_memory_mib: Option<u32>,
    /// What is mounted.
    pub mounts: Vec<MountPlan>,
    /// Lines of `/etc/hosts`: address and name.
    pub hosts: Vec<(std::net::IpAddr, String)>,
    /// Key and value.
    pub labels: Vec<(String, String)>,
    /// Where its output goes beside those that are attached.
    pub logging: Logging,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Where it is not in the store.
    Missing,
    /// At every start.
    Always,
    /// Not at all.
    Never,
}

/// What has to happen to another container first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The other container.
    pub container: String,
    /// What has to happen.
    pub condition: Condition,
}

/// ECS's conditions of `dependsOn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// It was started.
    Start,
    /// It ended.
    Complete,
    /// It ended with code 0.
    Success,
    /// A health check succeeded.
    Healthy,
}

/// How the health of a container is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The program and its arguments; `CMD-SHELL` is resolved to a shell.
    pub command: Vec<String>,
    /// Seconds between checks.
    pub interval_seconds: u32,
    /// Seconds that a check may take.
    pub timeout_seconds: u32,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
    /// Seconds after the start in which failures do not count.
    pub start_period_seconds: u32,
}

/// When a container is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Exit codes after which it is not.
    pub ignored_exit_codes: Vec<u8>,
    /// Seconds that it must have run.
    pub attempt_period_seconds: u32,
}

/// A variable of the environment whose value is kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The variable's name; where absent, the source holds lines of `NAME=value`.
    pub name: Option<String>,
    /// Where the value is.
    pub source: SecretSource,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// In a file of the host.
    File(String),
    /// In the host agent's secret store, under this name, and there, where it is an object, under this key.
    Stored {
        /// The name.
        name: String,
        /// The key.
        key: Option<String>,
    },
}

/// A mount of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountPlan {
    /// One of the task's volumes.
    Volume {
        /// Its name.
        volume: String,
        /// Where, in the container.
        path: String,
        /// Whether it cannot be written to.
        is_read_only: bool,
    },
    /// A file system in memory.
    Tmpfs {
        /// Where.
        path: String,
        /// Its size, in MiB.
        size_mib: u32,
        /// Options of mount(8) and tmpfs.
        options: Vec<String>,
    },
}

/// Where output is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The log group; `/mote` where absent.
    pub group: Option<String>,
    /// The first part of the stream's name; the stream is `prefix/container/task`, or `container/task` without.
    pub stream_prefix: Option<String>,
}
