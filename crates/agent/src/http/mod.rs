//! The API over HTTP: routes, bodies, refusals. What a route does is in [`crate::core`].

mod attach;
mod body;
mod exec;
pub mod identity;
pub mod images;
pub mod networks;
mod refusal;
mod stats;
mod tasks;
mod templates;
pub mod usage;

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::route;
use api::task::Version;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};

use crate::core::Core;
use refusal::Refusal;

/// The routes of [`api::route`], and `more` that other parts serve.
pub fn router(core: &Arc<Core>, more: Router) -> Router {
    Router::new()
        .route(route::VERSION, get(version))
        .route(route::IMAGES, get(images::list))
        .route(route::IMAGES_PULL, post(images::pull))
        .route(route::IMAGES_LOAD, post(images::load))
        .route(route::IMAGE, delete(images::remove))
        .route(route::TEMPLATES, get(templates::list).post(templates::build))
        .route(route::TEMPLATE, delete(templates::remove))
        .route(route::STATS, get(stats::all))
        .route(route::TASK_STATS, get(stats::one))
        .route(route::RUN, post(attach::run))
        .route(route::TASKS, get(tasks::list).post(tasks::create))
        .route(route::TASK, get(tasks::describe).delete(tasks::forget))
        .route(route::TASK_START, post(tasks::start))
        .route(route::TASK_ATTACH, post(attach::attach))
        .route(route::TASK_STOP, post(tasks::stop))
        .route(route::TASK_SIGNAL, post(tasks::signal))
        .route(route::TASK_WAIT, get(tasks::wait))
        .route(route::TASK_PROCESSES, get(tasks::processes))
        .route(route::TASK_EXEC, post(exec::execute))
        .with_state(core.clone())
        .merge(more)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .layer(middleware::from_fn_with_state(core.clone(), count))
}

async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

async fn no_such_route(method: Method, uri: Uri) -> Refusal {
    let message = format!("nothing answers {method} {}", uri.path());
    Refusal(ApiError {
        code: ErrorCode::NoSuchRoute,
        message,
    })
}

/// A host agent with a request under way is not idle.
async fn count(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    let presence = core.activity().begin();
    let response = next.run(request).await;
    response.map(|inner| body::kept_with(inner, presence))
}
