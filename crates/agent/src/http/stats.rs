//! The routes of stats.

use std::sync::Arc;

use api::stats::{StatsList, TaskStats};
use axum::Json;
use axum::extract::{Path, State};

use super::refusal::Refusal;
use crate::agent::Agent;
use crate::stats;

pub async fn all(State(agent): State<Arc<Agent>>) -> Result<Json<StatsList>, Refusal> {
    let stats = stats::all(&agent.tasks).await?;
    Ok(Json(StatsList { stats }))
}

pub async fn one(State(agent): State<Arc<Agent>>, Path(task): Path<String>) -> Result<Json<TaskStats>, Refusal> {
    Ok(Json(stats::one(&agent.tasks, &task).await?))
}
