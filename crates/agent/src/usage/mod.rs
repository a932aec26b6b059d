//! What tasks have reserved and used: noted now and then while they run, kept beyond their records, added up for who asks.

mod sums;

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::usage::{UsageList, UsageQuery};

use crate::clock;
use crate::core::Core;
use crate::launch::{Whereabouts, read_used};
use crate::record::TaskRecord;
use crate::sentence::sentence;
use crate::store::{Store, StoreError};
use sums::Sums;

/// Notes what the tasks use that run. What was noted is all that is left of them when the host loses its power.
///
/// # Errors
/// Where the store takes no more.
pub fn note(core: &Core, store: &Store) -> Result<(), StoreError> {
    let used = |(task, Whereabouts { cgroup, counters, .. }): (Arc<TaskRecord>, Whereabouts)| {
        Some((task, read_used(&cgroup, &counters)?))
    };
    let running: Vec<_> = core.with_microvms().into_iter().filter_map(used).collect();
    if running.is_empty() {
        return Ok(());
    }
    store.note_usage(&running, clock::monotonic_ms())
}

/// What tasks have reserved and used.
///
/// # Errors
/// [`ErrorCode::Internal`] where the store fails.
pub async fn list(core: Arc<Core>, store: Store, query: UsageQuery) -> Result<UsageList, ApiError> {
    let read = tokio::task::spawn_blocking(move || {
        note(&core, &store)?;
        let since_ms = query.since_ms.unwrap_or(0);
        let mut sums = Sums::new(query);
        store.usage(since_ms, |row| sums.add(&row))?;
        Ok::<_, StoreError>(sums.finish())
    });
    let failed = |message| ApiError {
        code: ErrorCode::Internal,
        message,
    };
    let usage = read.await.map_err(|error| failed(sentence(&error)))?;
    let usage = usage.map_err(|error| failed(sentence(&error)))?;
    Ok(UsageList { usage })
}
