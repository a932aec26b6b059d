//! What the operations need of other parts of the host agent.

use api::ecs::error::EcsError;
use api::ecs::exec::Session;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::Caller;
use crate::core::{CoreError, NewTask, StopTask};
use crate::record::TaskRecord;

/// The tasks' core, as far as operations need it. What it says is in the store by then.
pub trait TaskCore: Send + Sync + 'static {
    /// Accepts tasks, all of them or none: their records, once they are stored.
    fn submit(&self, tasks: Vec<NewTask>) -> BoxFuture<'_, Result<Vec<TaskRecord>, CoreError>>;

    /// Asks a task to stop, and does not wait for its end: its record as it is then.
    fn stop<'a>(&'a self, id: &'a str, stop: StopTask) -> BoxFuture<'a, Result<TaskRecord, CoreError>>;
}

/// What makes sessions of commands that are executed.
pub trait CommandSessions: Send + Sync + 'static {
    /// A session in which `command` runs, on a terminal, in the container with this index, once somebody connects.
    fn open<'a>(
        &'a self,
        task: &'a TaskRecord,
        container: usize,
        command: Vec<String>,
    ) -> BoxFuture<'a, Result<Session, EcsError>>;
}

/// The operations on services and their deployments.
pub trait ServiceOperations: Send + Sync + 'static {
    /// Performs an operation on a request that was checked; its answer.
    fn call<'a>(
        &'a self,
        caller: &'a Caller,
        operation: &'a str,
        request: Value,
    ) -> BoxFuture<'a, Result<Value, EcsError>>;

    /// A task's protection; none where the task is not one of a service's.
    fn protection<'a>(&'a self, task: &'a TaskRecord) -> BoxFuture<'a, Result<Option<Protection>, EcsError>>;

    /// As [`Self::protection`], after the task is protected until then; [`None`] ends that.
    fn protect<'a>(
        &'a self,
        task: &'a TaskRecord,
        until_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Protection>, EcsError>>;
}

/// Whether a service keeps one of its tasks, where there are too many or newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Until when it does, where it was asked to.
    pub until_ms: Option<u64>,
}
