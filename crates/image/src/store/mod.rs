//! The image store: layers once for all images, images, and their names.
//!
//! ```text
//! STORE/lock                        held while the store is open
//! STORE/names.json                  which name stands for which image
//! STORE/images/<manifest>.json      what is known of an image
//! STORE/blobs/<digest>              manifests, configurations and layers' blobs as they came
//! STORE/layers/<diff ID>/           a converted layer: data and index, sealed
//! STORE/snapshots/<snapshot id>/    a rootfs snapshot's metadata, sealed
//! STORE/tmp/                        work in progress, emptied on open
//! ```
//!
//! Nothing is changed in place: files and directories are made in `tmp`, synced, and renamed to where they belong, layers
//! before the image that needs them, the name last. So whatever is outside `tmp` is whole. What no image needs is swept.
//! [`seal`] finds what somebody else has changed since.

pub mod files;
pub mod holds;
pub mod names;
pub mod record;
pub mod save;
pub(crate) mod seal;
pub mod snapshot;
pub mod sweep;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::index::IndexError;
use crate::limits::Limits;
use crate::reference::Reference;
use crate::registry::repository::Client;
use crate::registry::{Patience, RegistryError};
use crate::snapshot::SnapshotError;
use files::{Area, FileError, Files};
use holds::{Gates, Holds};
use names::{Meaning, Names};
use record::{Record, RecordError};
use seal::Seals;

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process has the store.
    #[error("the image store {} is in use by another process", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A file of the store is not what the store writes.
    #[error("cannot read {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// A layer's index is not what the store writes.
    #[error("cannot read {}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IndexError,
    },
    /// A layer or a rootfs snapshot is not what was stored.
    #[error("{} is not as it was stored: pull the image again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The image's layers make no file system.
    #[error("cannot build the rootfs snapshot")]
    Snapshot(#[source] SnapshotError),
    /// A thread of the store ended without a result.
    #[error("the store broke down")]
    Thread(#[source] tokio::task::JoinError),
    /// The registry client cannot be made.
    #[error("cannot set up the registry client")]
    Client(#[source] RegistryError),
    /// There is no such image.
    #[error("no image {0:?} in the store")]
    NotFound(String),
    /// The image's layers were not kept as they came.
    #[error(
        "image {0:?} cannot be saved: its layers were thrown away once they were converted; pull it again without --discard-blobs"
    )]
    NotKept(String),
    /// The start of several images' digests.
    #[error("{0:?} is the start of more than one image's digest")]
    Ambiguous(String),
    /// The image has other names: which is to go?
    #[error("image {image} has several names: {}", names.join(", "))]
    SeveralNames {
        /// As the user called it.
        image: String,
        /// Its names.
        names: Vec<String>,
    },
}

/// How a store behaves.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// What an image may cost.
    pub limits: Limits,
    /// How patient the registry client is.
    pub patience: Patience,
    /// Files of certificate authorities that registries may be trusted by, besides the host's.
    pub authority_files: Vec<PathBuf>,
    /// Whether layers' blobs are thrown away once they are converted. Images can then not be saved.
    pub discards_blobs: bool,
}

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its full names, sorted; an image may have none.
    pub names: Vec<String>,
    /// All else that is known of it.
    pub record: Record,
}

/// The image store. Clones are the same store. What is not async here looks at a few small files; only [`Self::open`],
/// [`Self::remove`] and [`Self::prune`], which free space, may block for longer.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) files: Files,
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    pub(crate) keeps_blobs: bool,
    pub(crate) holds: Holds,
    pub(crate) gates: Gates,
    pub(crate) seals: Seals,
    /// Shared by all threads that use the store: who changes names, records, or what is swept, does so alone.
    names: Mutex<Names>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Store {
    /// Opens the store at `root`, which is made if there is none, and clears away what a crash has left. At most one
    /// process has a store open.
    pub fn open(root: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let files = Files::create(root)?;
        let lock = File::create(files.lock()).map_err(files.failed("create", &files.lock()))?;
        // What is stored outlives a power loss only if its directories do.
        files.sync_parent(root)?;
        files.sync_parent(&files.lock())?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
            |error| match error {
                rustix::io::Errno::WOULDBLOCK => StoreError::InUse { path: root.into() },
                error => files.failed("lock", &files.lock())(error.into()).into(),
            },
        )?;
        let tmp = files.tmp();
        for entry in fs::read_dir(&tmp).map_err(files.failed("list", &tmp))? {
            let path = entry.map_err(files.failed("list", &tmp))?.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(files.failed("remove", &path))?;
        }
        let names = read_names(&files)?;
        let client = Client::new(options.patience, &options.authority_files).map_err(StoreError::Client)?;
        let inner = Inner {
            files,
            client,
            limits: options.limits,
            keeps_blobs: !options.discards_blobs,
            holds: Holds::default(),
            gates: Gates::default(),
            seals: Seals::default(),
            names: Mutex::new(names),
            _lock: lock,
        };
        inner.sweep()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// All images, sorted by their first name, nameless ones last.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        let names = self.inner.names();
        let mut images = Vec::new();
        for digest in self.inner.files.digests(Area::Images)? {
            images.push(self.inner.image(&names, digest)?);
        }
        images.sort_by(|a, b| (a.names.is_empty(), &a.names).cmp(&(b.names.is_empty(), &b.names)));
        Ok(images)
    }

    /// The image that `word` means: a name, a manifest's digest, or the start of its digits.
    pub fn resolve(&self, word: &str) -> Result<Image, StoreError> {
        let names = self.inner.names();
        let digest = self.inner.meaning(&names, word)?;
        self.inner.image(&names, digest)
    }

    /// A manifest or configuration of a stored image, as it came.
    pub fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.inner.files.path(Area::Blobs, digest);
        Ok(fs::read(&path).map_err(self.inner.files.failed("read", &path))?)
    }

    /// Gives an image one more name, taking it from another image if it had it.
    pub fn tag(&self, word: &str, name: &Reference) -> Result<(), StoreError> {
        let mut names = self.inner.names();
        let digest = self.inner.meaning(&names, word)?;
        let mut changed = names.clone();
        changed.set(name, digest);
        self.inner.commit_names(&mut names, changed)
    }

    /// Takes a name from its image; with its last name, or called by its digest, the image goes, and what no other image
    /// needs with it. Files of snapshots in use stay as long as these are held.
    pub fn remove(&self, word: &str) -> Result<(), StoreError> {
        let mut names = self.inner.names();
        let digest = self.inner.meaning(&names, word)?;
        let mut changed = names.clone();
        let by_name = Reference::parse(word)
            .ok()
            .is_some_and(|name| changed.remove(&name).is_some());
        let of_image = changed.of(digest);
        if !by_name && of_image.len() > 1 {
            return Err(StoreError::SeveralNames {
                image: word.into(),
                names: of_image,
            });
        }
        if !by_name {
            changed.remove_image(digest);
        }
        let image_goes = changed.of(digest).is_empty();
        self.inner.commit_names(&mut names, changed)?;
        if image_goes {
            let path = self.inner.files.path(Area::Images, digest);
            drop(self.inner.files.retire(&path)?);
        }
        drop(names);
        self.inner.sweep().map(drop)
    }
}

impl Inner {
    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes changed names, then takes them over.
    fn commit_names(&self, names: &mut MutexGuard<'_, Names>, changed: Names) -> Result<(), StoreError> {
        let path = self.files.names();
        let json = serde_json::to_vec_pretty(&changed).map_err(|error| StoreError::Record {
            path: path.clone(),
            source: RecordError::Json(error),
        })?;
        self.files.replace(&path, &json)?;
        **names = changed;
        Ok(())
    }

    fn meaning(&self, names: &Names, word: &str) -> Result<Digest, StoreError> {
        match names.meaning(word, &self.files.digests(Area::Images)?) {
            Meaning::Image(digest) => Ok(digest),
            Meaning::Ambiguous => Err(StoreError::Ambiguous(word.into())),
            Meaning::Nothing => Err(StoreError::NotFound(word.into())),
        }
    }

    fn image(&self, names: &Names, digest: Digest) -> Result<Image, StoreError> {
        Ok(Image {
            names: names.of(digest),
            record: self.record(digest)?,
        })
    }

    pub(crate) fn record(&self, digest: Digest) -> Result<Record, StoreError> {
        let path = self.files.path(Area::Images, digest);
        let bytes = fs::read(&path).map_err(self.files.failed("read", &path))?;
        Record::parse(&bytes).map_err(|source| StoreError::Record { path, source })
    }

    /// Makes images known whose layers are stored, with their manifests and configurations, and names them. All of them
    /// or, on an error, none.
    pub(crate) fn publish(&self, images: &[NewImage]) -> Result<Vec<Image>, StoreError> {
        let mut names = self.names();
        let mut changed = names.clone();
        let mut written = Vec::new();
        let result = images.iter().try_for_each(|image| {
            self.files
                .replace(&self.files.path(Area::Blobs, image.record.digest), &image.manifest)?;
            self.files
                .replace(&self.files.path(Area::Blobs, image.record.config_digest), &image.config)?;
            image
                .names
                .iter()
                .for_each(|name| changed.set(name, image.record.digest));
            let path = self.files.path(Area::Images, image.record.digest);
            if path.exists() {
                return Ok(());
            }
            let json = image.record.to_json().map_err(|source| StoreError::Record {
                path: path.clone(),
                source,
            })?;
            self.files.replace(&path, &json)?;
            written.push(path);
            Ok(())
        });
        if let Err(error) = result.and_then(|()| self.commit_names(&mut names, changed)) {
            for path in written {
                // The first error is the one to tell; what stays is a whole image without a name.
                let _ = fs::remove_file(path);
            }
            return Err(error);
        }
        let distinct: BTreeMap<_, _> = images.iter().map(|image| (image.record.digest, ())).collect();
        distinct.into_keys().map(|digest| self.image(&names, digest)).collect()
    }
}

/// An image whose layers are stored and held.
#[derive(Debug)]
pub(crate) struct NewImage {
    pub record: Record,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub names: Vec<Reference>,
}

fn read_names(files: &Files) -> Result<Names, StoreError> {
    let path = files.names();
    let mut names: Names = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| StoreError::Record {
            path,
            source: RecordError::Json(error),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Names::default(),
        Err(error) => return Err(files.failed("read", &path)(error).into()),
    };
    // A crash between an image's removal and its names' cannot happen in this order, but a lost file can.
    names.retain_images(&files.digests(Area::Images)?);
    Ok(names)
}
