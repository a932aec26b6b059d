//! The host and its host agent: what there is, what is taken, what can go.

use serde::{Deserialize, Serialize};

/// The answer to a `GET` of [`crate::route::SYSTEM`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The host agent's version.
    pub version: String,
    /// When the host agent was started, in milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// The host.
    pub host: HostSummary,
    /// What tasks may take of it, and what they have taken.
    pub capacity: Capacity,
    /// How many there are of what.
    pub counts: Counts,
    /// Where the host agent keeps what.
    pub directories: Directories,
    /// Where it listens: `unix:///PATH` or `tcp://ADDRESS:PORT`.
    pub listeners: Vec<String>,
    /// The region that it plays for clients of Amazon ECS.
    #[serde(default)]
    pub region: Option<String>,
}

/// A host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSummary {
    /// Its name.
    pub name: String,
    /// The release of its kernel.
    pub kernel: String,
    /// `x86_64`.
    pub architecture: String,
    /// Its CPUs.
    pub cpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
}

/// What tasks may take, and what is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// CPU for tasks, in thousandths of a vCPU.
    pub vcpu_milli: u64,
    /// Of that, what tasks have.
    pub vcpu_milli_taken: u64,
    /// Memory for tasks, in MiB.
    pub memory_mib: u64,
    /// Of that, what tasks have, with what their microVMs need beside it.
    pub memory_mib_taken: u64,
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tasks that run.
    pub tasks_running: u64,
    /// Tasks on their way there.
    pub tasks_pending: u64,
    /// Tasks on their way out.
    pub tasks_stopping: u64,
    /// Tasks that have stopped and are not forgotten.
    pub tasks_stopped: u64,
    /// Images in the store.
    pub images: u64,
    /// Clusters.
    pub clusters: u64,
    /// Services.
    pub services: u64,
    /// Active task definitions, every revision.
    pub definitions: u64,
}

/// Where a host agent keeps what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directories {
    /// The database, logs and everything else that stays.
    pub state: String,
    /// Sockets and everything else that is gone with a reboot.
    pub runtime: String,
    /// Images.
    pub images: String,
    /// Templates, where there are any.
    #[serde(default)]
    pub templates: Option<String>,
}

/// The answer to a `GET` of [`crate::route::SYSTEM_DF`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// One for each kind of thing.
    pub kinds: Vec<KindUse>,
}

/// What all things of a kind take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindUse {
    /// `images`, `tasks` (their writable layers and volumes), `logs`, `templates` (memory), `database`.
    pub kind: String,
    /// How many there are.
    pub count: u64,
    /// How many of these a task that has not stopped uses.
    pub active: u64,
    /// What they take, in bytes; what several share counts once.
    pub size_bytes: u64,
    /// What [`crate::route::SYSTEM_PRUNE`] could free of it, in bytes.
    pub reclaimable_bytes: u64,
}

/// The body of a `POST` to [`crate::route::SYSTEM_PRUNE`]: what is to go. Nothing that a task which has not stopped uses ever goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneRequest {
    /// Tasks that have stopped, with their logs.
    #[serde(default)]
    pub tasks: bool,
    /// Images without a name.
    #[serde(default)]
    pub images: bool,
    /// All images that no task uses.
    #[serde(default)]
    pub all_images: bool,
    /// Networks that no task is in.
    #[serde(default)]
    pub networks: bool,
    /// Only what is older than this, in milliseconds since the Unix epoch: tasks by their end, networks by their making, images by their coming into the store.
    #[serde(default)]
    pub until_ms: Option<u64>,
}

/// What is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// The ids of tasks.
    pub tasks: Vec<String>,
    /// Names of images, digests of those without.
    pub images: Vec<String>,
    /// Names of networks.
    #[serde(default)]
    pub networks: Vec<String>,
    /// What is free now that was not, in bytes: of images exactly, of what tasks wrote as the disk tells it.
    pub freed_bytes: u64,
}

/// The answer to a `GET` of [`crate::route::HEALTHZ`] and [`crate::route::READYZ`]; the status is 200 where all is well and 503 otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// Whether all is well.
    pub ok: bool,
    /// What is not, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
}
