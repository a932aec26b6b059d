//! The routes of templates.

use std::sync::Arc;

use api::template::{BuildRequest, Template, TemplateList};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::body::Document;
use super::refusal::Refusal;
use crate::agent::Agent;

pub async fn list(State(agent): State<Arc<Agent>>) -> Json<TemplateList> {
    Json(TemplateList {
        templates: agent.templates().list(),
        pool: agent.pool().status(),
    })
}

pub async fn build(
    State(agent): State<Arc<Agent>>,
    Document(request): Document<BuildRequest>,
) -> Result<Json<Template>, Refusal> {
    Ok(Json(agent.templates().build(request.force).await?))
}

pub async fn remove(State(agent): State<Arc<Agent>>, Path(template): Path<String>) -> Result<StatusCode, Refusal> {
    agent.templates().remove(&template)?;
    Ok(StatusCode::NO_CONTENT)
}
