//! A service, as it is stored: what it is to be, its deployments, and the tasks that it answers for. Times are milliseconds since the Unix epoch.

use serde::{Deserialize, Serialize};

use super::policy::Policy;

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The name of its cluster.
    pub cluster: String,
    /// Its own name; unique in the cluster among the services that are not inactive.
    pub name: String,
    /// Whether it lives.
    pub status: ServiceStatus,
    /// So many tasks are to run.
    pub desired: u32,
    /// How its deployments go.
    pub policy: Policy,
    /// What its tasks are given beside their definition.
    pub tasks: TaskOptions,
    /// Seconds after a task's start in which failed health checks do not count.
    pub grace_seconds: u32,
    /// What the request asked for that is only told again: ECS's members by name.
    pub echoed: serde_json::Map<String, serde_json::Value>,
    /// When it was created.
    pub created_ms: u64,
    /// A digest of the request that created it: the same request again is not another one.
    pub fingerprint: String,
    /// Deployments that matter now. The first is the primary one; the others have tasks that have not stopped, or are returned to.
    pub deployments: Vec<Deployment>,
    /// Deployments that do not matter any more, newest first; at most [`HISTORY_MAX`].
    pub history: Vec<Deployment>,
    /// The tasks that were started for it and whose end it has not taken note of.
    pub open: Vec<OpenTask>,
    /// What keeps it from starting tasks for a while.
    pub hold: Hold,
    /// Whether it has said that it is in a steady state, and nothing happened since.
    pub is_steady: bool,
    /// Whether it has said that it cannot go on under its policy, and nothing happened since.
    pub is_stuck: bool,
    /// What happened, newest first; at most [`super::journal::NOTES_MAX`].
    pub notes: Vec<Note>,
}

/// So many deployments that are over are remembered.
pub const HISTORY_MAX: usize = 20;

/// Whether a service lives: ECS's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServiceStatus {
    /// It keeps its tasks running.
    Active,
    /// It is deleted; its last tasks are being stopped.
    Draining,
    /// It is deleted.
    Inactive,
}

/// What the tasks of a service are given beside their definition and the service's tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// Whose tags they get.
    pub propagate: Option<Propagate>,
    /// Whether they get ECS's own tags of cluster and service.
    pub managed_tags: bool,
    /// Whether commands may be executed in them.
    pub can_execute: bool,
}

/// Whose tags tasks get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagate {
    /// The definition's.
    Definition,
    /// The service's.
    Service,
}

/// One version of a service on its way to all of its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// `ecs-svc/` and 19 digits.
    pub id: String,
    /// `family:revision`.
    pub definition: String,
    /// How far it is.
    pub rollout: Rollout,
    /// Why it is there.
    pub reason: String,
    /// Whether all its tasks ran once: a failed deployment returns to the last one of these.
    pub was_completed: bool,
    /// Tasks that failed: in a row, unless the breaker counts all of them.
    pub failed: u32,
    /// The id of the failed deployment that this one is returned to after; none once it is complete again.
    pub rolls_back: Option<String>,
    /// What followed its failure.
    pub rollback: Option<Rollback>,
    /// When it was created.
    pub created_ms: u64,
    /// When it last changed.
    pub updated_ms: u64,
    /// When it came to its end, good or bad.
    pub finished_ms: Option<u64>,
    /// How it came to its end, where it did not simply succeed.
    pub ending: Option<Ending>,
}

/// The return to an earlier deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The earlier deployment's id.
    pub to: String,
    /// When it began.
    pub started_ms: u64,
    /// When all of the earlier deployment's tasks ran again.
    pub finished_ms: Option<u64>,
}

/// ECS's states of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rollout {
    /// Its tasks are being started.
    InProgress,
    /// All of them run, and no others.
    Completed,
    /// It was given up.
    Failed,
}

/// How a deployment came to its end, where it did not simply succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The circuit breaker ended it.
    Broken,
    /// A client did.
    Stopped,
    /// Another deployment came before it was complete.
    Replaced,
}

/// A task that was started for a service, as the service remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTask {
    /// Its id.
    pub id: String,
    /// The id of its deployment.
    pub deployment: String,
    /// When it was asked for.
    pub asked_ms: u64,
    /// Whether it was seen to be healthy.
    pub was_healthy: bool,
    /// Whether the service asked it to stop, and why.
    pub stopping: Option<Stopping>,
    /// Until then it is not stopped for there being too many tasks, or newer ones.
    #[serde(default)]
    pub protected_until_ms: Option<u64>,
}

/// Why a service stops a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stopping {
    /// There are too many, or newer ones.
    Scaling,
    /// Its health checks failed.
    Unhealthy,
}

/// What keeps a service whose tasks fail from starting more of them at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How often in a row starts have failed, those that were under way at the same time counted once.
    pub rounds: u32,
    /// Until when nothing is started.
    pub until_ms: u64,
}

/// Something that happened to a service, as ECS's events tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A UUID.
    pub id: String,
    /// When.
    pub at_ms: u64,
    /// What.
    pub message: String,
}

impl Service {
    /// The deployment that the service is to have, as long as it lives.
    #[must_use]
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }

    /// The deployment with the id, among those that matter now.
    #[must_use]
    pub fn deployment(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.id == id)
    }

    pub(super) fn deployment_mut(&mut self, id: &str) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|deployment| deployment.id == id)
    }

    /// Puts a deployment that does not matter any more into the history.
    pub(super) fn retire(&mut self, deployment: Deployment) {
        self.history.retain(|known| known.id != deployment.id);
        self.history.insert(0, deployment);
        self.history.truncate(HISTORY_MAX);
    }
}
