//! The route of usage.

use std::sync::Arc;

use api::route;
use api::usage::{UsageList, UsageQuery};
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};

use super::refusal::Refusal;
use crate::core::Core;
use crate::store::Store;
use crate::usage;

/// The route of what tasks have used.
pub fn router(core: Arc<Core>, store: Store) -> Router {
    Router::new().route(route::USAGE, get(list)).with_state((core, store))
}

async fn list(
    State((core, store)): State<(Arc<Core>, Store)>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageList>, Refusal> {
    Ok(Json(usage::list(core, store, query).await?))
}
