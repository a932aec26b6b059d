//! The routes of tasks.

use std::sync::Arc;

use api::exec::{Process, ProcessList};
use api::task::{RunRequest, SignalRequest, StopRequest, Task, TaskList, WaitQuery};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use protocol::guest::ListedProcess;
use serde::Deserialize;

use super::body::Document;
use super::refusal::Refusal;
use crate::core::{self, Core};

type Answer<T> = Result<Json<T>, Refusal>;

/// The highest number of a signal.
const SIGNAL_MAX: u8 = 64;

pub async fn list(State(core): State<Arc<Core>>) -> Json<TaskList> {
    Json(TaskList {
        tasks: core.list().iter().map(|task| core::view(task)).collect(),
    })
}

pub async fn create(State(core): State<Arc<Core>>, Document(request): Document<RunRequest>) -> Answer<Task> {
    Ok(Json(core::view(&*core.create(&request).await?)))
}

pub async fn describe(State(core): State<Arc<Core>>, Path(task): Path<String>) -> Answer<Task> {
    Ok(Json(core::view(&*core.find(&task)?)))
}

pub async fn forget(State(core): State<Arc<Core>>, Path(task): Path<String>) -> Result<StatusCode, Refusal> {
    core.forget(&task)?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn start(State(core): State<Arc<Core>>, Path(task): Path<String>) -> Answer<Task> {
    Ok(Json(core::view(&*core.start(&task).await?)))
}

pub async fn stop(
    State(core): State<Arc<Core>>,
    Path(task): Path<String>,
    Document(request): Document<StopRequest>,
) -> Answer<Task> {
    let task = core.stop_and_wait(&task, request.timeout_seconds).await?;
    Ok(Json(core::view(&task)))
}

pub async fn wait(
    State(core): State<Arc<Core>>,
    Path(task): Path<String>,
    query: Result<Query<WaitQuery>, QueryRejection>,
) -> Answer<Task> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    Ok(Json(core::view(&*core.wait(&task, query.status).await?)))
}

pub async fn signal(
    State(core): State<Arc<Core>>,
    Path(task): Path<String>,
    Document(request): Document<SignalRequest>,
) -> Result<StatusCode, Refusal> {
    if !(1..=SIGNAL_MAX).contains(&request.signal) {
        return Err(Refusal::invalid(format!(
            "{} is no signal: it must be 1 to {SIGNAL_MAX}",
            request.signal
        )));
    }
    core.signal(&task, request.container.as_deref(), request.signal).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The query of a list of processes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessesQuery {
    container: Option<String>,
}

pub async fn processes(
    State(core): State<Arc<Core>>,
    Path(task): Path<String>,
    query: Result<Query<ProcessesQuery>, QueryRejection>,
) -> Answer<ProcessList> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    let listed = core.processes(&task, query.container.as_deref()).await?;
    let processes = listed.into_iter().flat_map(|(container, processes)| {
        let told = move |listed| process(container.clone(), listed);
        processes.into_iter().map(told)
    });
    Ok(Json(ProcessList {
        processes: processes.collect(),
    }))
}

fn process(container: String, listed: ListedProcess) -> Process {
    Process {
        container,
        pid: listed.pid,
        parent_pid: listed.parent,
        user: listed.uid,
        cpu_ms: listed.cpu_us / 1000,
        memory_bytes: listed.memory_bytes,
        command: listed.command,
    }
}
