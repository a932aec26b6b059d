//! OCI image in, rootfs snapshot out.
//!
//! Knows no VM: its output is a list of files and nothing else. Start at [`Store::pull`], then [`Store::snapshot`].
//!
//! Where images come from, in reading order:
//! - [`mod@reference`], [`source`]: what a user calls an image; [`platform`]: whom it is for;
//! - [`digest`], [`manifest`], [`config`]: a stranger's bytes, parsed once;
//! - [`credentials`], [`login`], [`registry`]: pulls; [`local`]: layouts and archives on this host;
//! - [`import`]: resolve, fetch, verify, convert, publish; [`progress`]: what is told meanwhile;
//! - [`store`]: layers once for all images, images, and names.
//!
//! What becomes of them:
//! - [`decompress`], [`tar`]: a layer's stream; [`limits`]: what it may cost;
//! - [`layer`], [`index`]: the stream as a data file and an index;
//! - [`merge`], [`mod@tree`]: layers on top of one another;
//! - [`erofs`], [`snapshot`]: the tree as a file system over the layers' data.

pub mod config;
pub mod credentials;
pub mod decompress;
pub mod digest;
pub mod erofs;
pub mod import;
pub mod index;
pub mod layer;
pub mod limits;
pub mod local;
pub mod login;
pub mod manifest;
pub mod merge;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod snapshot;
pub mod source;
pub mod stamp;
pub mod store;
pub mod tar;
pub mod tree;

pub use credentials::Credentials;
pub use digest::Digest;
pub use import::{ImportError, Mirror, PullOptions};
pub use platform::Platform;
pub use progress::{Event, Progress};
pub use reference::Reference;
pub use source::Source;
pub use stamp::Stamp;
pub use store::snapshot::{Part, Snapshot};
pub use store::sweep::{Pruned, Usage};
pub use store::{Image, Store, StoreError, StoreOptions};
