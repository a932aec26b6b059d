//! A template as it is given out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use protocol::vmm::Origin;

use super::build::{self, Made};
use crate::sentence::sentence;

/// A template. Its files go with this value where it was replaced.
#[derive(Debug)]
pub struct Template {
    pub(super) made: Made,
    pub(super) clones: AtomicU64,
    pub(super) fallbacks: AtomicU64,
    pub(super) failures_in_a_row: AtomicU32,
    is_retired: AtomicBool,
}

impl Template {
    pub(super) fn new(made: Made) -> Arc<Self> {
        Arc::new(Self {
            made,
            clones: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            is_retired: AtomicBool::new(false),
        })
    }

    /// What a VMM is told to make of it. Counts as one clone.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Origin::Template(self.made.guest())
    }

    /// What a clone's scratch disk is a view of.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.made.scratch()
    }

    /// A clone's guest answered: the template is good.
    pub fn clone_succeeded(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Has its files go with it.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        if self.is_retired.load(Ordering::Relaxed)
            && let Err(error) = build::remove(&self.made.directory)
        {
            tracing::error!("a template is left over: {}", sentence(&error));
        }
    }
}
