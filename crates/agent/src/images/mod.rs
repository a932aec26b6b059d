//! What the host agent asks of images: the one seam between it and the crate `image`.

mod refusal;
mod store;

use std::any::Any;
use std::collections::HashSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use api::error::ApiError;
use api::image::{Image, ImageEvent, PullRequest};
use futures_util::future::BoxFuture;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

pub use store::StoredImages;

/// What an image says of the process to run in it; absent texts and lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The words in front of the command.
    pub entrypoint: Vec<String>,
    /// The default command, or the entrypoint's default arguments.
    pub command: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Where the process starts.
    pub working_directory: String,
    /// `user[:group]`.
    pub user: String,
    /// The signal that asks the process to end, by name or number.
    pub stop_signal: String,
}

/// An image that a task can run.
#[derive(Clone, Debug)]
pub struct RunnableImage {
    /// Its full name, or its digest where it was asked for by that.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// What to run.
    pub config: ImageConfig,
    /// The files of its rootfs snapshot, in order: each begins at the next multiple of 4096 bytes.
    pub parts: Vec<PathBuf>,
    /// How long these are together.
    pub rootfs_bytes: u64,
    /// Keeps these files in the store, also when the image is removed.
    pub hold: Hold,
}

/// Something that is kept only to be dropped.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// Where the steps of a pull or load go. A listener that is slow misses some of the progress in between.
pub type Progress = mpsc::Sender<ImageEvent>;

/// The bytes of an archive on their way in.
pub type Archive = Pin<Box<dyn AsyncRead + Send>>;

/// The images of this host. Dropping the future of a pull or load cancels it and leaves the store as it was.
pub trait Images: Send + Sync + 'static {
    /// Every image in the store, sorted by name.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ApiError>>;

    /// The image that `reference` names.
    fn find<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<RunnableImage, ApiError>>;

    /// Brings an image from its registry into the store.
    fn pull(&self, request: PullRequest, progress: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>>;

    /// Brings the images of an archive into the store; `name` is for an image that the archive does not name.
    fn load(
        &self,
        archive: Archive,
        name: Option<String>,
        progress: Progress,
    ) -> BoxFuture<'_, Result<Vec<Image>, ApiError>>;

    /// Drops a name, and the image with its last one.
    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>>;

    /// Removes images with all their names.
    fn prune(&self, wanted: Prunable) -> BoxFuture<'_, Result<ImagesPruned, ApiError>>;

    /// What all images take on disk, and what of that no image in `used` needs, by digests.
    fn usage(&self, used: HashSet<String>) -> BoxFuture<'_, Result<ImagesUsage, ApiError>>;
}

/// Which images can go.
#[derive(Clone, Debug, Default)]
pub struct Prunable {
    /// Whether those with names can go, too.
    pub all: bool,
    /// Only those that came before this, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
    /// Digests of those that stay in any case.
    pub used: HashSet<String>,
}

/// What was pruned.
#[derive(Clone, Debug, Default)]
pub struct ImagesPruned {
    /// The images that are gone, with the names that they had.
    pub images: Vec<Image>,
    /// What was freed on disk.
    pub freed_bytes: u64,
}

/// What images take on disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImagesUsage {
    /// All of them; what several share counts once.
    pub bytes: u64,
    /// Of that, what would go with those that are not used.
    pub reclaimable_bytes: u64,
}
