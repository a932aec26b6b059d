//! Tasks: what to run, and what became of it.

mod detail;
mod request;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use detail::{Container, ContainerStatus, Health, PublishedPort, TaskNetwork, TaskService, Times};
pub use request::{
    HealthCheck, HostEntry, HostVolume, NetworkMode, PortMapping, PullPolicy, Rates, RestartPolicy, RunRequest,
    SecretVariable, Tmpfs, TransportProtocol, Ulimit, stop_timeout_seconds, waits_for_vcpus,
};

/// The size of a terminal's window, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

/// The body of a `POST` to [`crate::route::TASK_STOP`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Seconds between the stop signal and the kill; the task's own where absent.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
}

/// The body of a `POST` to [`crate::route::TASK_SIGNAL`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// The signal's number, as Linux x86-64 has it.
    pub signal: u8,
    /// The container that gets it; every running one where absent.
    #[serde(default)]
    pub container: Option<String>,
}

/// The query of a `GET` of [`crate::route::TASK_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// How far the task is to be, or further; where absent, it has to have stopped.
    #[serde(default = "stopped")]
    pub status: Status,
}

const fn stopped() -> Status {
    Status::Stopped
}

/// Where a task is on its way, with ECS's names and meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Accepted; what it needs is being prepared.
    #[default]
    Provisioning,
    /// Its microVM is being started.
    Pending,
    /// Its containers are being prepared.
    Activating,
    /// Its process runs.
    Running,
    /// It is to end.
    Deactivating,
    /// Its process is being ended.
    Stopping,
    /// What it held is being released.
    Deprovisioning,
    /// It is over.
    Stopped,
}

/// Where a task's microVM came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A clone of the template that waited in the pool.
    Pool,
    /// A clone of the template that was made for this task.
    Clone,
    /// A full boot of the guest kernel.
    Boot,
}

impl Origin {
    /// Its name, as documents have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Clone => "clone",
            Self::Boot => "boot",
        }
    }
}

/// A task. `image`, `image_digest`, `command` and `exit` are those of its first essential container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The user's name for it, or a made-up one.
    pub name: String,
    /// The image, by its full name.
    pub image: String,
    /// Digest of the image's manifest.
    pub image_digest: String,
    /// The command line that its process was started with.
    pub command: Vec<String>,
    /// CPU, in thousandths of a vCPU.
    pub vcpu_milli: u32,
    /// Memory of the container, in MiB.
    pub memory_mib: u32,
    /// What it may do in a second.
    #[serde(default, skip_serializing_if = "Rates::is_none")]
    pub rates: Rates,
    /// Where it is on its way.
    pub status: Status,
    /// Where its microVM came from, once it has one.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// When the request was accepted, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// The clock points that it passed.
    pub clock: ClockPoints,
    /// How its process ended, once it did.
    pub exit: Option<Exit>,
    /// Why it stopped, in a sentence, once it did.
    pub stopped_reason: Option<String>,
    /// ECS's `stopCode`, once it is to stop.
    #[serde(default)]
    pub stop_code: Option<String>,
    /// Its cluster's name.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Its definition, `family:revision`; absent where it was not started from one.
    #[serde(default)]
    pub definition: Option<String>,
    /// ECS's `group`: `family:…` or `service:…` unless the request named one.
    #[serde(default)]
    pub group: Option<String>,
    /// ECS's `startedBy`.
    #[serde(default)]
    pub started_by: Option<String>,
    /// The service that wanted it.
    #[serde(default)]
    pub service: Option<TaskService>,
    /// The health of its essential containers together: unhealthy where one is.
    #[serde(default)]
    pub health: Health,
    /// When it went through what.
    #[serde(default)]
    pub times: Times,
    /// Its network, once it has one.
    #[serde(default)]
    pub network: Option<TaskNetwork>,
    /// Its containers, in the order of the definition.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// Its containers' labels: of `RunRequest` or of the definition.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// ECS's tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The answer to a `GET` of [`crate::route::TASKS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskList {
    /// Newest first.
    pub tasks: Vec<Task>,
}

/// How a task's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ended with this code, 0 to 255.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// The executable does not exist in the image.
    NotFound,
    /// The executable exists but cannot be executed.
    NotExecutable,
    /// mote failed: the process did not run, or not to its end.
    Failed,
}

impl Exit {
    /// The exit code that a shell, and `docker run`, would report.
    #[must_use]
    pub const fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.wrapping_add(128),
            Self::NotFound => 127,
            Self::NotExecutable => 126,
            Self::Failed => 125,
        }
    }
}

/// The six clock points of a start, on the host's `CLOCK_MONOTONIC` in nanoseconds; absent while not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockPoints {
    /// The request was accepted.
    pub accepted_ns: Option<u64>,
    /// The vCPU was about to run.
    pub vcpu_runnable_ns: Option<u64>,
    /// The guest agent executed its first instruction.
    pub guest_booted_ns: Option<u64>,
    /// The guest agent answered.
    pub guest_answered_ns: Option<u64>,
    /// The container's process was exec'ed.
    pub process_started_ns: Option<u64>,
    /// The first byte of output arrived.
    pub first_output_ns: Option<u64>,
}

impl ClockPoints {
    /// The points in order, each with its name.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("accepted", self.accepted_ns),
            ("vcpu-runnable", self.vcpu_runnable_ns),
            ("guest-booted", self.guest_booted_ns),
            ("guest-answered", self.guest_answered_ns),
            ("process-started", self.process_started_ns),
            ("first-output", self.first_output_ns),
        ]
    }
}

/// The answer to a `GET` of [`crate::route::VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The host agent's version.
    pub version: String,
}
