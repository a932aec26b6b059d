//! What a client asks to be run: one container in a task of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::TerminalSize;

/// What to run: the body of a `POST` to [`crate::route::TASKS`]. The image must be in the store, unless [`Self::pull`] says otherwise.
///
/// What was added after the first version is left out of the document where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The image, as Docker parses it, or its digest.
    pub image: String,
    /// A name of the user's own for the task: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`; one is made up where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// CPU, in thousandths of a vCPU.
    pub vcpu_milli: u32,
    /// Memory of the container, in MiB.
    pub memory_mib: u32,
    /// `NAME=value`, on top of the image's.
    #[serde(default)]
    pub env: Vec<String>,
    /// Instead of the image's.
    #[serde(default)]
    pub working_directory: Option<String>,
    /// Instead of the image's: `user[:group]`.
    #[serde(default)]
    pub user: Option<String>,
    /// Instead of the image's; the image's command then does not apply. An empty list removes it.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's command, where not empty.
    #[serde(default)]
    pub command: Vec<String>,
    /// The microVM's host name; the task's short id where absent.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The size of the terminal, where the container gets one.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
    /// Whether standard input is connected.
    #[serde(default)]
    pub stdin: bool,
    /// Whether the task is forgotten as soon as it has stopped.
    #[serde(default)]
    pub remove: bool,
    /// Whether `execve` may not raise privileges.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// Whether its process starts only when all its vCPUs are online, so that a program that counts them once counts right.
    #[serde(default = "waits_for_vcpus")]
    pub waits_for_vcpus: bool,
    /// Seconds after which the task is stopped.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
    /// Seconds between the stop signal and the kill.
    #[serde(default = "stop_timeout_seconds")]
    pub stop_timeout_seconds: u32,
    /// Which network it has beside its loopback interface.
    #[serde(default, skip_serializing_if = "NetworkMode::is_default")]
    pub network: NetworkMode,
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// Name servers instead of the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<IpAddr>,
    /// Further lines of `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostEntry>,
    /// File systems in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// Paths of the container at which empty volumes of the task's are mounted; they are gone with the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Directories of the host that are mounted: what the task and the host write there, both see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_volumes: Vec<HostVolume>,
    /// Whether the container cannot write to its root file system.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// The size of `/dev/shm`, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory_mib: Option<u32>,
    /// The writable layer and the volumes together, in MiB; the host agent's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_mib: Option<u32>,
    /// About how many files and directories they may hold; as many as is usual for their size where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_inodes: Option<u32>,
    /// What it may do in a second.
    #[serde(default, skip_serializing_if = "Rates::is_none")]
    pub rates: Rates,
    /// Resource limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// The most processes and threads that it may have at a time; no limit of its own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u32>,
    /// Capabilities beside the usual ones, such as `NET_ADMIN` or `CAP_NET_ADMIN`; `ALL` for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities_added: Vec<String>,
    /// Capabilities less than the usual ones; `ALL` for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities_dropped: Vec<String>,
    /// Kernel settings of the guest, by name with dots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Whether a small first process reaps orphans and passes signals on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub init: bool,
    /// Labels of the container's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further environment, from the secret store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretVariable>,
    /// How its health is checked; the image's way where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Whether its process is started again when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPolicy>,
    /// Whether the host agent fetches the image itself. Clients that show progress pull first.
    #[serde(default, skip_serializing_if = "PullPolicy::is_never")]
    pub pull: PullPolicy,
    /// The log group; the host agent's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_group: Option<String>,
    /// The first part of the log stream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream_prefix: Option<String>,
}

impl RunRequest {
    /// A request that says nothing but what it must.
    #[must_use]
    pub fn new(image: String, vcpu_milli: u32, memory_mib: u32) -> Self {
        Self {
            image,
            vcpu_milli,
            memory_mib,
            waits_for_vcpus: waits_for_vcpus(),
            stop_timeout_seconds: stop_timeout_seconds(),
            ..Self::default()
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What a task may do in a second, beside one second's worth that it may do at once; what is absent has no limit. What exceeds it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Bytes read from and written to its disks together: its writable layer, its volumes, and an image that is not mapped into its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes_per_second: Option<u64>,
    /// Requests to these disks, of whatever length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_operations_per_second: Option<u64>,
    /// Bytes that it receives, and as many that it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_bytes_per_second: Option<u64>,
}

impl Rates {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Which network a task has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// An address of its own behind the host's, from which it reaches what the host reaches.
    #[default]
    Default,
    /// A loopback interface alone.
    None,
    /// The [`crate::network::Network`] of this name, with the other tasks in it.
    Named(String),
}

impl NetworkMode {
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl TransportProtocol {
    /// Its name, as documents have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the host that is to lead to one of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortMapping {
    /// The host's address; the host agent's default where absent.
    #[serde(default)]
    pub host_address: Option<IpAddr>,
    /// The host's port; a free one where absent.
    #[serde(default)]
    pub host_port: Option<u16>,
    /// The container's port.
    pub port: u16,
    /// Of which protocol.
    #[serde(default)]
    pub protocol: TransportProtocol,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// The address.
    pub address: IpAddr,
    /// The name.
    pub name: String,
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Where, in the container.
    pub path: String,
    /// Its size, in MiB; half of the task's memory where absent, as tmpfs has it.
    #[serde(default)]
    pub size_mib: Option<u32>,
    /// Options of mount(8) and tmpfs: `ro`, `noexec`, `mode=1777`.
    #[serde(default)]
    pub options: Vec<String>,
}

/// A directory of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostVolume {
    /// The host's directory, an absolute path in a directory that the host agent was allowed to use; made where it is missing.
    pub host_path: String,
    /// Where, in the container.
    pub path: String,
    /// Whether the container cannot write to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}

/// A resource limit (getrlimit(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// Its name, as Docker has it: `nofile`.
    pub name: String,
    /// The soft limit; none where absent.
    #[serde(default)]
    pub soft: Option<u64>,
    /// The hard limit; none where absent.
    #[serde(default)]
    pub hard: Option<u64>,
}

/// A variable of the environment whose value is in the secret store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretVariable {
    /// The variable's name.
    pub variable: String,
    /// The secret's name.
    pub secret: String,
    /// A member of the secret, where that is a JSON object.
    #[serde(default)]
    pub key: Option<String>,
}

/// How the health of a container is checked. What is absent is the image's, or else Docker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// As Docker and ECS have it: `CMD` and a program with its arguments, `CMD-SHELL` and a line for the shell, or `NONE`.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Seconds between checks.
    #[serde(default)]
    pub interval_seconds: Option<u32>,
    /// Seconds that a check may take.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
    /// How many failures in a row make it unhealthy.
    #[serde(default)]
    pub retries: Option<u32>,
    /// Seconds after the start in which failures do not count.
    #[serde(default)]
    pub start_period_seconds: Option<u32>,
}

/// When a container's process is started again, as ECS has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// Exit codes after which it is not.
    #[serde(default)]
    pub ignored_exit_codes: Vec<u8>,
    /// Seconds that it must have run; with 0 it is started again however short it ran, after a pause that grows.
    #[serde(default)]
    pub attempt_period_seconds: u32,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Not at all: it must be in the store.
    #[default]
    Never,
    /// Where it is not in the store.
    Missing,
    /// At every start.
    Always,
}

impl PullPolicy {
    fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

/// The seconds between the stop signal and the kill where a request gives none, as Docker has it.
#[must_use]
pub const fn stop_timeout_seconds() -> u32 {
    10
}

/// A process waits for its vCPUs where a request says nothing.
#[must_use]
pub const fn waits_for_vcpus() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_first_version_asked_for_is_still_understood() {
        let text = r#"{"image": "app", "vcpu_milli": 250, "memory_mib": 64}"#;
        let request: RunRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request, RunRequest::new("app".into(), 250, 64));
    }

    #[test]
    fn what_says_nothing_is_left_out_of_the_document() {
        let text = serde_json::to_string(&RunRequest::new("app".into(), 250, 64)).unwrap();
        assert!(
            !text.contains("ports") && !text.contains("pull") && !text.contains("health_check"),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<RunRequest>(&text).unwrap(),
            RunRequest::new("app".into(), 250, 64)
        );
    }

    #[test]
    fn an_unknown_member_is_refused() {
        let text = r#"{"image": "app", "vcpu_milli": 250, "memory_mib": 64, "privileged": true}"#;
        let error = serde_json::from_str::<RunRequest>(text).unwrap_err();
        assert!(error.to_string().contains("privileged"), "{error}");
    }
}
