//! What an image may cost as a whole: its layers, which are converted at the same time, take from one budget.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ImportError;
use crate::limits::Limits;

/// A layer may expand to this in any case: the ratio is no good measure of small ones.
const EXPANSION_FREE_BYTES: u64 = 64 << 20;

/// What is left for an image. Shared by the threads that convert its layers.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    bytes_left: AtomicU64,
    files_left: AtomicU64,
    is_bytes_exceeded: AtomicBool,
    is_files_exceeded: AtomicBool,
}

impl Budget {
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes_left: limits.image_bytes.into(),
            files_left: limits.image_files.into(),
            is_bytes_exceeded: AtomicBool::new(false),
            is_files_exceeded: AtomicBool::new(false),
            limits: limits.clone(),
        }
    }

    /// Takes bytes of layers' uncompressed streams.
    pub fn take_bytes(&self, bytes: u64) -> io::Result<()> {
        take(&self.bytes_left, bytes, &self.is_bytes_exceeded)
    }

    /// Takes entries of layers.
    pub fn take_files(&self, files: u64) -> io::Result<()> {
        take(&self.files_left, files, &self.is_files_exceeded)
    }

    /// What is exceeded, if anything is.
    pub fn check(&self) -> Result<(), ImportError> {
        let (what, limit, option) = if self.is_bytes_exceeded.load(Ordering::Relaxed) {
            ("bytes", self.limits.image_bytes, "--image-size-max")
        } else if self.is_files_exceeded.load(Ordering::Relaxed) {
            ("files", self.limits.image_files, "--image-files-max")
        } else {
            return Ok(());
        };
        Err(ImportError::ImageTooLarge { what, limit, option })
    }

    /// The uncompressed stream of a layer whose blob has `blob_bytes`, taken from the budget while it is read.
    pub fn metered<R: Read>(&self, stream: R, blob_bytes: u64) -> Metered<'_, R> {
        let expanded = blob_bytes.saturating_mul(self.limits.image_expansion);
        Metered {
            stream,
            budget: self,
            bytes_left: expanded.max(EXPANSION_FREE_BYTES),
            has_exploded: false,
        }
    }
}

fn take(left: &AtomicU64, wanted: u64, is_exceeded: &AtomicBool) -> io::Result<()> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted));
    taken.map(drop).map_err(|_| {
        is_exceeded.store(true, Ordering::Relaxed);
        io::Error::other("the image is larger than allowed")
    })
}

/// A layer's uncompressed stream.
pub(super) struct Metered<'a, R> {
    stream: R,
    budget: &'a Budget,
    bytes_left: u64,
    /// Whether the layer expands to more than it may.
    pub has_exploded: bool,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.budget.take_bytes(count as u64)?;
        let Some(left) = self.bytes_left.checked_sub(count as u64) else {
            self.has_exploded = true;
            return Err(io::Error::other("the layer expands to more than allowed"));
        };
        self.bytes_left = left;
        Ok(count)
    }
}
