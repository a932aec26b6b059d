//! What tasks have reserved and used: running ones up to now, others as long as the host agent keeps it, which is longer than their records.

use serde::{Deserialize, Serialize};

/// What is asked of [`crate::route::USAGE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// Time is counted from then on, in milliseconds since the Unix epoch; tasks that ended earlier are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Time is counted up to then; tasks that began later are left out. Now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// What is added up.
    #[serde(default)]
    pub by: UsageBy,
    /// With [`UsageBy::Tag`], the tag by whose values it is added up; all tags where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// A task that ran for less counts as if it had run for so many seconds.
    #[serde(default)]
    pub minimum_seconds: u64,
    /// So many MiB of each task's scratch disk do not count.
    #[serde(default)]
    pub scratch_free_mib: u64,
}

/// What usage is added up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    /// Each task for itself.
    #[default]
    Task,
    /// The family of the task's definition.
    Family,
    /// The service that wanted the task.
    Service,
    /// The task's cluster.
    Cluster,
    /// The task's tags.
    Tag,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageList {
    /// In the order of their keys; single tasks in the order in which they ended.
    pub usage: Vec<Usage>,
}

/// What some tasks have reserved and used. Reserved time begins when the guest answers and ends with the last container; of each task it is
/// counted in whole seconds, rounded up, and only what lies in the time asked for. What was used is all that such a task has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The task's id, the family, the service, the cluster, the tag's value, or `key=value`; empty for tasks that have none.
    pub key: String,
    /// The name of a single task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many tasks.
    pub tasks: u64,
    /// How many of them run.
    pub running: u64,
    /// Seconds that they ran.
    pub seconds: u64,
    /// CPU reserved: thousandths of a vCPU, times seconds.
    pub vcpu_milli_seconds: u64,
    /// Memory reserved: MiB, times seconds.
    pub memory_mib_seconds: u64,
    /// Scratch disks, as far as they count: MiB, times seconds.
    pub scratch_mib_seconds: u64,
    /// CPU time used, in microseconds, devices and VMM included.
    pub cpu_used_us: u64,
    /// Bytes received from the network.
    pub received_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Bytes read of disks.
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
}
