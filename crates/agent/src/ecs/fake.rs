//! A core that stores tasks and runs none, and the operations on it: for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::exec::Session;
use api::task::{ClockPoints, Status};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use super::definition::HostPaths;
use super::ports::{CommandSessions, Protection, ServiceOperations, TaskCore};
use super::{Caller, Ecs};
use crate::core::{CoreError, NewTask, Resource, StopTask};
use crate::ports::Records;
use crate::record::{ContainerRecord, ContainerStatus, Health, TaskRecord, Times};
use crate::store::Store;

/// More memory than the host of these tests has, in MiB.
const TOO_MUCH_MIB: u32 = 4096;

/// Stores tasks and runs none.
struct FakeCore {
    store: Store,
    count: AtomicU64,
}

impl TaskCore for FakeCore {
    fn submit(&self, tasks: Vec<NewTask>) -> BoxFuture<'_, Result<Vec<TaskRecord>, CoreError>> {
        async move {
            if tasks.iter().any(|task| task.plan.memory_mib >= TOO_MUCH_MIB) {
                let message = "too much".to_owned();
                return Err(CoreError::NeverFits {
                    resource: Resource::Memory,
                    message,
                });
            }
            let number = || self.count.fetch_add(1, Ordering::Relaxed);
            let records: Vec<_> = tasks.into_iter().map(|task| record(task, number())).collect();
            self.store.put(&records.iter().collect::<Vec<_>>()).unwrap();
            Ok(records)
        }
        .boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, stop: StopTask) -> BoxFuture<'a, Result<TaskRecord, CoreError>> {
        async move {
            let mut record = self.store.task(id).unwrap().unwrap();
            record.is_wanted = false;
            record.status = Status::Stopped;
            record.stop = Some(stop.stop);
            record.times.stopped_ms = Some(1_795_000_000_123);
            self.store.put(&[&record]).unwrap();
            Ok(record)
        }
        .boxed()
    }
}

impl CommandSessions for FakeCore {
    fn open<'a>(
        &'a self,
        _: &'a TaskRecord,
        _: usize,
        command: Vec<String>,
    ) -> BoxFuture<'a, Result<Session, EcsError>> {
        async move {
            Ok(Session {
                session_id: "ecs-execute-command-1".to_owned(),
                stream_url: "ws://127.0.0.1:7711/v1/channel".to_owned(),
                token_value: command.join(" "),
            })
        }
        .boxed()
    }
}

impl ServiceOperations for FakeCore {
    fn call<'a>(&'a self, _: &'a Caller, _: &'a str, _: Value) -> BoxFuture<'a, Result<Value, EcsError>> {
        async { Ok(json!({"serviceArns": []})) }.boxed()
    }

    fn protection<'a>(&'a self, _: &'a TaskRecord) -> BoxFuture<'a, Result<Option<Protection>, EcsError>> {
        async { Ok(Some(Protection { until_ms: None })) }.boxed()
    }

    fn protect<'a>(
        &'a self,
        _: &'a TaskRecord,
        until_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Protection>, EcsError>> {
        async move { Ok(Some(Protection { until_ms })) }.boxed()
    }
}

fn record(task: NewTask, number: u64) -> TaskRecord {
    let container = || ContainerRecord {
        id: "c".to_owned(),
        runtime_id: format!("{number:032x}-0000000001"),
        image_digest: None,
        command: vec![],
        status: ContainerStatus::Running,
        health: Health::Unknown,
        exit: None,
        reason: None,
        restarts: 0,
        started_ms: None,
        finished_ms: None,
    };
    TaskRecord {
        id: format!("{number:032x}"),
        cluster: task.cluster,
        name: format!("task-{number}"),
        definition: task.definition,
        group: task.group,
        started_by: task.started_by,
        service: task.service,
        tags: task.tags,
        echoed: task.echoed,
        containers: task.plan.containers.iter().map(|_| container()).collect(),
        plan: task.plan,
        is_removed_when_stopped: false,
        is_wanted: true,
        status: Status::Running,
        version: 1,
        times: Times::default(),
        stop: None,
        clock: ClockPoints::default(),
        origin: None,
        network: None,
        used: None,
        core: Value::Null,
    }
}

/// A host with a store, and a core that runs nothing.
pub struct Host {
    /// The operations.
    pub ecs: Arc<Ecs>,
    _directory: tempfile::TempDir,
}

impl Default for Host {
    /// A host without tasks.
    fn default() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        let core = Arc::new(FakeCore {
            store: store.clone(),
            count: AtomicU64::new(1),
        });
        let ecs = Ecs::new(store, core.clone(), core.clone(), core, HostPaths::default()).unwrap();
        Self {
            ecs,
            _directory: directory,
        }
    }
}

impl Host {
    /// Calls an operation.
    pub async fn call(&self, operation: &str, request: Value) -> Result<Value, EcsError> {
        self.ecs
            .call(Caller::local(), operation, request.to_string().as_bytes())
            .await
    }

    /// The answer of an operation.
    pub async fn ask(&self, operation: &str, request: Value) -> Value {
        self.call(operation, request).await.unwrap()
    }

    /// Why an operation is refused.
    pub async fn refusal(&self, operation: &str, request: Value) -> (ErrorKind, String) {
        let error = self.call(operation, request).await.expect_err("it must be refused");
        (error.kind, error.message)
    }

    /// Registers a definition with one container, `app`.
    pub async fn register(&self, family: &str) {
        let container = json!({"name": "app", "image": "nginx"});
        let request = json!({"family": family, "cpu": "256", "memory": "512", "containerDefinitions": [container]});
        self.ask("RegisterTaskDefinition", request).await;
    }
}
