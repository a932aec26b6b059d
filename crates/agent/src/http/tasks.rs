//! The routes of tasks.

use std::sync::Arc;

use api::task::{RunRequest, StopRequest, Task, TaskList};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::body::Document;
use super::refusal::Refusal;
use crate::agent::Agent;

type Answer<T> = Result<Json<T>, Refusal>;

pub async fn list(State(agent): State<Arc<Agent>>) -> Json<TaskList> {
    Json(TaskList {
        tasks: agent.tasks.list(),
    })
}

pub async fn create(State(agent): State<Arc<Agent>>, Document(request): Document<RunRequest>) -> Answer<Task> {
    Ok(Json(agent.create(&request).await?))
}

pub async fn describe(State(agent): State<Arc<Agent>>, Path(task): Path<String>) -> Answer<Task> {
    let entry = agent.tasks.find(&task)?;
    let task = entry.record.borrow().clone();
    Ok(Json(task))
}

pub async fn forget(State(agent): State<Arc<Agent>>, Path(task): Path<String>) -> Result<StatusCode, Refusal> {
    agent.tasks.forget(&task)?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn start(State(agent): State<Arc<Agent>>, Path(task): Path<String>) -> Answer<Task> {
    Ok(Json(agent.start(&task).await?))
}

pub async fn stop(
    State(agent): State<Arc<Agent>>,
    Path(task): Path<String>,
    Document(request): Document<StopRequest>,
) -> Answer<Task> {
    Ok(Json(agent.stop(&task, request).await?))
}
