//! What the host agent asks of images: the one seam between it and the crate `image`.

mod refusal;
mod store;

use std::any::Any;
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
}
