//! How things stand when somebody reads the metrics.

use std::collections::BTreeMap;

use api::system::Capacity;
use api::template::Pool;
use futures_util::future::BoxFuture;

use super::process::ProcessReading;

/// So many tasks have figures of their own; more of them are left out, and counted.
pub const TASKS_MAX: usize = 1_000;

/// How things stand. What is absent is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// How many tasks have each status, in lower case.
    pub tasks: BTreeMap<&'static str, u64>,
    /// How many services have each status, in lower case.
    pub services: BTreeMap<&'static str, u64>,
    /// The images in the store: how many, and their bytes, what several share counted once.
    pub images: Option<(u64, u64)>,
    /// The clones that wait.
    pub pool: Option<Pool>,
    /// What tasks may take of the host, and what they have taken.
    pub capacity: Option<Capacity>,
    /// What each task uses.
    pub uses: Vec<TaskReading>,
    /// The host agent's process.
    pub process: Option<ProcessReading>,
    /// The host agent's version.
    pub version: &'static str,
}

/// What a task uses, as the host sees it: all of its microVM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskReading {
    /// The task's id.
    pub id: String,
    /// The family of its definition.
    pub family: String,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// How long it was kept waiting for its share of the CPU, in microseconds.
    pub throttled_us: u64,
    /// Memory: its own pages and its fair part of shared ones, in bytes.
    pub memory_bytes: u64,
    /// What its writable layer takes on the host's disk, in bytes.
    pub disk_bytes: u64,
    /// Bytes that its network interface received, and those that it sent, where it has one.
    pub network: Option<(u64, u64)>,
    /// What its containers use, where its guest tells.
    pub containers: Vec<ContainerReading>,
}

/// What a container uses, as its guest sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerReading {
    /// Its name.
    pub name: String,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Bytes read from disks.
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
}

/// What knows how things stand.
pub trait Source: Send + Sync + 'static {
    /// Reads it all. A part that cannot be read is left out.
    fn read(&self) -> BoxFuture<'_, Readings>;

    /// What keeps tasks from being started, a sentence each.
    fn problems(&self) -> BoxFuture<'_, Vec<String>>;
}
