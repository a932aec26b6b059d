//! A template as it is given out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::vmm::{MAPPED_FILE, Origin, TOUCHED_FILE};

use super::made::{self, Made};
use super::touched::{self, Range, Touched};
use crate::sentence::sentence;

/// A template. Its files go with this value where it was replaced.
#[derive(Debug)]
pub struct Template {
    pub(super) made: Made,
    pub(super) clones: AtomicU64,
    pub(super) fallbacks: AtomicU64,
    pub(super) failures_in_a_row: AtomicU32,
    is_retired: AtomicBool,
    // Shared by the clones that tell what they wrote; locked for moments.
    touched: Mutex<Touched>,
}

impl Template {
    pub(super) fn new(made: Made) -> Arc<Self> {
        let is_known = made.guest().join(TOUCHED_FILE).exists();
        Arc::new(Self {
            touched: Mutex::new(if is_known { Touched::Known } else { Touched::Unknown }),
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

    /// Whether nobody has touched its files since they were made or checked.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.made.is_untouched()
    }

    /// A clone's guest answered: the template is good.
    pub fn clone_succeeded(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Whether it does not know yet which pages every clone writes when it starts.
    #[must_use]
    pub fn learns(&self) -> bool {
        !matches!(*self.touched(), Touched::Known)
    }

    /// A clone has started, and has `written` these pages and `mapped` those. What two have in common is kept for all that follow.
    pub fn learn(&self, written: &[Range], mapped: &[Range]) {
        let mut touched = self.touched();
        let Some(common) = touched.add(written, mapped) else {
            return;
        };
        // While the lock is held: nobody else writes the files.
        let kept = [(MAPPED_FILE, &common.mapped), (TOUCHED_FILE, &common.written)]
            .into_iter()
            .try_for_each(|(name, ranges)| touched::keep(&self.made.guest().join(name), ranges));
        if let Err(error) = kept {
            tracing::warn!("clones will copy pages one by one: cannot keep which: {error}");
        }
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        // Nothing that holds the lock leaves a change half-done.
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has its files go with it.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        if self.is_retired.load(Ordering::Relaxed)
            && let Err(error) = made::remove(&self.made.directory)
        {
            tracing::error!("a template is left over: {}", sentence(&error));
        }
    }
}
