//! The routes `/metrics`, `/healthz` and `/readyz`, and the counting of requests.

use std::sync::Arc;
use std::time::Instant;

use api::route;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::readings::Source;
use super::{Metrics, Outcome, health};

/// The media type of the answer (OpenMetrics 1.0.0).
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What answers: the counters and what knows how things stand.
#[derive(Clone)]
struct Answering {
    metrics: Metrics,
    source: Arc<dyn Source>,
}

/// The routes; all of them only tell.
pub fn router(metrics: Metrics, source: Arc<dyn Source>) -> Router {
    Router::new()
        .route(route::METRICS, get(metrics_text))
        .route(route::HEALTHZ, get(async || health::alive()))
        .route(route::READYZ, get(ready))
        .with_state(Answering { metrics, source })
}

async fn metrics_text(State(answering): State<Answering>) -> Response {
    let readings = answering.source.read().await;
    let text = answering.metrics.text(&readings);
    ([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

async fn ready(State(answering): State<Answering>) -> Response {
    health::report(answering.source.problems().await)
}

/// What was called, where a route stands for many operations: an extension of its responses.
#[derive(Clone, Copy, Debug)]
pub struct Called(pub &'static str);

/// Counts a request by the operation that was called, or by its method and its route's template.
pub async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => format!("{} {}", request.method(), path.as_str()),
        None => "none".to_owned(),
    };
    let response = next.run(request).await;
    let called = response.extensions().get::<Called>();
    let operation = called.map_or(route.as_str(), |Called(operation)| operation);
    metrics.request(operation, outcome(response.status()), began.elapsed());
    response
}

/// How a request with this status was answered.
#[must_use]
pub fn outcome(status: StatusCode) -> Outcome {
    if status.is_server_error() {
        Outcome::Failed
    } else if status.is_client_error() {
        Outcome::Refused
    } else {
        Outcome::Ok
    }
}
