//! What a pull or load tells while it runs.

use std::fmt;
use std::sync::Arc;

use crate::digest::Digest;

/// Bytes between two [`Event::LayerProgress`] of a layer, so that a fast download does not drown its listener.
pub const PROGRESS_STEP_BYTES: u64 = 512 << 10;

/// A layer that an image needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// The layer's blob as the manifest names it.
    pub digest: Digest,
    /// The blob's compressed size.
    pub size_bytes: u64,
}

/// One step of a pull or load. Layers are named by their blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The manifest is known and verified; these are its layers, lowest first, each once.
    Resolved {
        /// The manifest.
        digest: Digest,
        /// Its layers.
        layers: Vec<LayerSummary>,
    },
    /// A layer's download or reading begins.
    LayerStarted {
        /// The layer.
        digest: Digest,
        /// Its compressed size.
        total_bytes: u64,
    },
    /// This much of a layer has come so far.
    LayerProgress {
        /// The layer.
        digest: Digest,
        /// Compressed bytes since the start.
        received_bytes: u64,
    },
    /// A layer is verified, converted and in the store.
    LayerDone {
        /// The layer.
        digest: Digest,
    },
    /// A layer was in the store before.
    LayerExists {
        /// The layer.
        digest: Digest,
    },
}

/// Where events go. Called from any thread, and not for long: the download waits for it.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event) + Send + Sync>);

impl Progress {
    /// Gives every event to `listener`.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Tells of `event`.
    pub fn tell(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
