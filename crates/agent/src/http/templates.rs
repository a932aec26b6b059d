//! The routes of templates.

use std::sync::Arc;

use api::template::{BuildRequest, Template, TemplateList};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::body::Document;
use super::refusal::Refusal;
use crate::core::Core;

pub async fn list(State(core): State<Arc<Core>>) -> Json<TemplateList> {
    Json(TemplateList {
        templates: core.templates().list(),
        pool: core.pool().status(),
    })
}

pub async fn build(
    State(core): State<Arc<Core>>,
    Document(request): Document<BuildRequest>,
) -> Result<Json<Template>, Refusal> {
    Ok(Json(core.templates().build(request.force).await?))
}

pub async fn remove(State(core): State<Arc<Core>>, Path(template): Path<String>) -> Result<StatusCode, Refusal> {
    core.templates().remove(&template)?;
    Ok(StatusCode::NO_CONTENT)
}
