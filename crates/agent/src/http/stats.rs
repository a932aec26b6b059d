//! The routes of stats.

use std::sync::Arc;

use api::stats::{StatsList, TaskStats};
use axum::Json;
use axum::extract::{Path, State};

use super::refusal::Refusal;
use crate::core::Core;
use crate::stats;

pub async fn all(State(core): State<Arc<Core>>) -> Result<Json<StatsList>, Refusal> {
    let stats = stats::all(&core).await?;
    Ok(Json(StatsList { stats }))
}

pub async fn one(State(core): State<Arc<Core>>, Path(task): Path<String>) -> Result<Json<TaskStats>, Refusal> {
    Ok(Json(stats::one(&core, &task).await?))
}
