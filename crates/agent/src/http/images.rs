//! The routes of images. A client that goes away takes its pull or load with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::error::ApiError;
use api::image::{Image, ImageEvent, ImageList, LoggedOut, LoginRequest, LogoutRequest, PullRequest, SaveRequest};
use api::route;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{TryStreamExt, stream};
use serde::Deserialize;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::io::StreamReader;
use tokio_util::task::AbortOnDropHandle;

use super::body::{self, Document};
use super::refusal::Refusal;
use crate::core::Core;
use crate::images::{Archive, Progress, StoredImages};

/// Events that wait for a client.
const EVENTS_MAX: usize = 1024;

pub(super) async fn list(State(core): State<Arc<Core>>) -> Result<Json<ImageList>, Refusal> {
    Ok(Json(ImageList {
        images: core.images().list().await?,
    }))
}

pub(super) async fn remove(
    State(core): State<Arc<Core>>,
    Path(reference): Path<String>,
) -> Result<StatusCode, Refusal> {
    core.images().remove(&reference).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pull(State(core): State<Arc<Core>>, Document(request): Document<PullRequest>) -> Response {
    answer(
        async move |progress| core.images().pull(request, progress).await,
        async {},
    )
}

/// The query of a load.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadQuery {
    name: Option<String>,
}

pub(super) async fn load(
    State(core): State<Arc<Core>>,
    query: Result<Query<LoadQuery>, QueryRejection>,
    archive: Body,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    let (archive, rest) = lend(Box::pin(StreamReader::new(
        archive.into_data_stream().map_err(std::io::Error::other),
    )));
    let load = async move |progress| core.images().load(archive, query.name, progress).await;
    // To close the connection while a client sends would take the answer from it.
    let read_on = async {
        if let Ok(mut rest) = rest.await {
            // A client that is gone sends no more.
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    };
    Ok(answer(load, read_on))
}

/// Gives out an archive to be read, and has it again when it is dropped.
fn lend(archive: Archive) -> (Archive, oneshot::Receiver<Archive>) {
    let (back, rest) = oneshot::channel();
    (Box::pin(Lent(Some((archive, back)))), rest)
}

/// An archive, and where it goes when this is dropped, before which nobody takes it.
struct Lent(Option<(Archive, oneshot::Sender<Archive>)>);

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match &mut self.0 {
            Some((archive, _)) => archive.as_mut().poll_read(context, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((archive, back)) = self.0.take() {
            // Nobody waits for it where the client is gone.
            let _ = back.send(archive);
        }
    }
}

/// The routes that need all of the store.
pub fn router(images: Arc<StoredImages>) -> Router {
    Router::new()
        .route(route::IMAGES_SAVE, post(save))
        .route(route::REGISTRY_LOGIN, post(login))
        .route(route::REGISTRY_LOGOUT, post(logout))
        .with_state(images)
}

async fn save(
    State(images): State<Arc<StoredImages>>,
    Document(request): Document<SaveRequest>,
) -> Result<Response, Refusal> {
    let pieces = images.save(request.references).await?;
    let body = Body::from_stream(stream::unfold(pieces, async |mut pieces| {
        pieces.recv().await.map(|piece| (piece, pieces))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

async fn login(
    State(images): State<Arc<StoredImages>>,
    Document(request): Document<LoginRequest>,
) -> Result<StatusCode, Refusal> {
    images.login(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn logout(
    State(images): State<Arc<StoredImages>>,
    Document(request): Document<LogoutRequest>,
) -> Result<Json<LoggedOut>, Refusal> {
    let was_signed_in = images.logout(request.registry).await?;
    Ok(Json(LoggedOut { was_signed_in }))
}

/// Streams the events of `work`, then its result, and ends after `before_the_end`. The answer owns the work: when it is dropped, the work
/// is cancelled.
fn answer<F>(work: impl FnOnce(Progress) -> F, before_the_end: impl Future<Output = ()> + Send + 'static) -> Response
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
        before_the_end.await;
    });
    let events = stream::unfold(events, async |mut events| {
        events.recv().await.map(|event| (event, events))
    });
    let lines = body::kept_with(body::lines(events), AbortOnDropHandle::new(work));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}
