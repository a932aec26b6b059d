//! The routes of images. A client that goes away takes its pull or load with it.

use std::sync::Arc;

use api::error::ApiError;
use api::image::{Image, ImageEvent, ImageList, PullRequest};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{TryStreamExt, stream};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::task::AbortOnDropHandle;

use super::body::{self, Document};
use super::refusal::Refusal;
use crate::core::Core;
use crate::images::{Archive, Progress};

/// Events that wait for a client.
const EVENTS_MAX: usize = 1024;

pub async fn list(State(core): State<Arc<Core>>) -> Result<Json<ImageList>, Refusal> {
    Ok(Json(ImageList {
        images: core.images().list().await?,
    }))
}

pub async fn remove(State(core): State<Arc<Core>>, Path(reference): Path<String>) -> Result<StatusCode, Refusal> {
    core.images().remove(&reference).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn pull(State(core): State<Arc<Core>>, Document(request): Document<PullRequest>) -> Response {
    answer(async move |progress| core.images().pull(request, progress).await)
}

/// The query of a load.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadQuery {
    name: Option<String>,
}

pub async fn load(
    State(core): State<Arc<Core>>,
    query: Result<Query<LoadQuery>, QueryRejection>,
    archive: Body,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    let archive: Archive = Box::pin(StreamReader::new(
        archive.into_data_stream().map_err(std::io::Error::other),
    ));
    Ok(answer(async move |progress| {
        core.images().load(archive, query.name, progress).await
    }))
}

/// Streams the events of `work`, then its result. The answer owns the work: when it is dropped, the work is cancelled.
fn answer<F>(work: impl FnOnce(Progress) -> F) -> Response
where
    F: Future<Output = Result<Vec<Image>, ApiError>> + Send + 'static,
{
    let (progress, events) = mpsc::channel(EVENTS_MAX);
    let running = work(progress.clone());
    let work = tokio::spawn(async move {
        let last = match running.await {
            Ok(images) => ImageEvent::Done { images },
            Err(error) => ImageEvent::Failed { error },
        };
        // A client that is gone needs no result.
        let _ = progress.send(last).await;
    });
    let events = stream::unfold(events, async |mut events| {
        events.recv().await.map(|event| (event, events))
    });
    let lines = body::kept_with(body::lines(events), AbortOnDropHandle::new(work));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}
