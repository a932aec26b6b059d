//! Whether all is well.

use api::system::HealthReport;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// The answer to who asks whether the host agent works: it does, since it answers.
#[must_use]
pub fn alive() -> Response {
    report(Vec::new())
}

/// The answer to who asks whether all is well, where these sentences say what is not.
#[must_use]
pub fn report(problems: Vec<String>) -> Response {
    let ok = problems.is_empty();
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(HealthReport { ok, problems })).into_response()
}
