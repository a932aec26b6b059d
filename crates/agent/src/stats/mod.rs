//! What tasks use, as the host can see it: control group counters, a VMM's mappings, its open disks.
//!
//! [`mappings`] reads what the kernel writes, [`process`] asks it by [`files`], [`reading`] puts the figures of one task together.

mod files;
mod mappings;
mod process;
mod reading;

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::stats::TaskStats;

use crate::core::{self, Core};
use crate::launch::Whereabouts;
use crate::names;
use crate::record::TaskRecord;
use crate::sentence::sentence;
use files::StatsError;
use reading::read;

/// What the task uses that `query` means.
///
/// # Errors
/// [`ErrorCode::TaskNotFound`], and [`ErrorCode::Conflict`] where it has no microVM.
pub async fn one(core: &Core, query: &str) -> Result<TaskStats, ApiError> {
    let entry = core.entry(query)?;
    let task = entry.now();
    let without = ApiError {
        code: ErrorCode::Conflict,
        message: format!("task {} has no microVM now", names::short(&task.id)),
    };
    let Some(whereabouts) = entry.whereabouts.borrow().clone() else {
        return Err(without);
    };
    read_all(vec![(task, whereabouts)]).await?.pop().ok_or(without)
}

/// What all tasks use that have a microVM, newest first.
///
/// # Errors
/// Where the kernel does not tell.
pub async fn all(core: &Core) -> Result<Vec<TaskStats>, ApiError> {
    read_all(core.with_microvms()).await
}

/// Apart from what must not wait: the kernel walks through all of the guests' memory. A task that ends meanwhile is left out.
async fn read_all(tasks: Vec<(Arc<TaskRecord>, Whereabouts)>) -> Result<Vec<TaskStats>, ApiError> {
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|(task, place)| (core::view(&task), place))
        .collect();
    let readings = move || {
        let readings = tasks.iter().map(|(task, whereabouts)| read(task, whereabouts));
        readings
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>, StatsError>>()
    };
    let failed = |message| ApiError {
        code: ErrorCode::Internal,
        message,
    };
    let read = tokio::task::spawn_blocking(readings).await;
    let read = read.map_err(|error| failed(sentence(&error)))?;
    read.map_err(|error| failed(sentence(&error)))
}
