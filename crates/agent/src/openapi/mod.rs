//! The routes beside ECS's protocol, described as an OpenAPI 3.1 document.
//!
//! The document is made of what `crates/api` says of itself: its routes' comments, its types and theirs. A test keeps the two the same; with
//! `MOTE_UPDATE_DOCS=1` it writes the document anew.

use api::route;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

#[cfg(test)]
mod generate;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod schemas;

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// The route that answers with it.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(
        route::OPENAPI,
        get(async || ([(CONTENT_TYPE, "application/json")], DOCUMENT)),
    )
}
