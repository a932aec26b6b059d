//! The calls of Amazon ECS and `CloudWatch` Logs over HTTP: one path, one method, and a header that names the operation.
//!
//! Over TCP, every request is signed: [`gate`] lets through what was signed with a key that may do it. Who has the unix socket may do everything.

mod gate;
mod parts;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::members;
use api::ecs::{LOGS_TARGET_PREFIX, MEDIA_TYPE, REQUEST_LEN_MAX, TARGET_HEADER, TARGET_PREFIX};
use api::route;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;

use crate::ecs::{Caller, Ecs, access};
use crate::logs::cloudwatch::CloudWatch;
use crate::metrics::http::Called;
use crate::secrets::seal;

pub use gate::{Gate, guard};
pub use parts::{NoSessions, Parts};
pub use sessions::ChannelSessions;

/// Names a request for whoever looks for it in the log.
const REQUEST_ID_HEADER: &str = "x-amzn-requestid";

/// What answers.
#[derive(Clone)]
pub struct Aws {
    ecs: Arc<Ecs>,
    logs: CloudWatch,
}

impl Aws {
    /// Answers with these.
    #[must_use]
    pub const fn new(ecs: Arc<Ecs>, logs: CloudWatch) -> Self {
        Self { ecs, logs }
    }

    /// The route of [`route::AWS`].
    pub fn router(&self) -> Router {
        Router::new()
            .route(route::AWS, post(answer))
            .layer(DefaultBodyLimit::max(REQUEST_LEN_MAX))
            .with_state(self.clone())
    }

    async fn call(&self, caller: Caller, target: &str, body: &[u8]) -> (u16, Value) {
        if let Some(operation) = target.strip_prefix(TARGET_PREFIX) {
            return match self.ecs.call(caller, operation, body).await {
                Ok(document) => (200, document),
                Err(error) => refused(&error),
            };
        }
        let Some(operation) = target.strip_prefix(LOGS_TARGET_PREFIX) else {
            return refused(&EcsError::new(ErrorKind::UnknownOperation, ""));
        };
        match access::check(caller.role, "logs", operation) {
            Ok(()) => self.logs.answer(operation, body).await,
            Err(error) => refused(&error),
        }
    }
}

async fn answer(
    State(aws): State<Aws>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers
        .get(TARGET_HEADER)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let caller = caller.map_or_else(Caller::local, |Extension(caller)| caller);
    let (status, document) = aws.call(caller, target, &body).await;
    let mut response = respond(status, &document);
    let operation = target.strip_prefix(TARGET_PREFIX).and_then(members::operation);
    if let Some(operation) = operation {
        response.extensions_mut().insert(Called(operation.name));
    }
    response
}

/// An answer that is a refusal: its status and document.
fn refused(error: &EcsError) -> (u16, Value) {
    let document = serde_json::to_value(error.document()).unwrap_or_default();
    (error.kind.http_status(), document)
}

fn respond(status: u16, document: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // Without random bytes, there is an answer all the same.
    if let Ok(id) = HeaderValue::from_str(&request_id()) {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
    }
    (status, headers, document.to_string()).into_response()
}

/// A random UUID.
fn request_id() -> String {
    let bytes: [u8; 16] = seal::random().unwrap_or_default();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}
