//! Where the store's files are, and the three ways they change: made aside, synced, renamed into place.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// The parts of a store, each a directory below its root.
const DIRECTORIES: [&str; 5] = ["blobs", "images", "layers", "snapshots", "tmp"];

/// What went wrong with which file. A full disk has a sentence of its own.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk or the user's quota is full.
    #[error("no space is left for images on the disk of {}", path.display())]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Whether an error or one of its causes says that the disk or a quota is full.
#[must_use]
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
                || error.get_ref().is_some_and(|inner| is_full(inner))
        })
    })
}

/// The places of a store.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Makes the store's directories, for their owner alone.
    pub fn create(root: &Path) -> Result<Self, FileError> {
        let files = Self { root: root.into() };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for name in DIRECTORIES {
            let path = root.join(name);
            builder.create(&path).map_err(files.failed("create", &path))?;
        }
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))
            .map_err(files.failed("change the mode of", root))?;
        Ok(files)
    }

    /// The store's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that is emptied when the store is opened.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Held by the process that uses the store.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Which name stands for which image.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.root.join("names.json")
    }

    /// All of one part of the store: the stored digests. Files with other names are none of the store's.
    pub fn digests(&self, part: Area) -> Result<Vec<Digest>, FileError> {
        let directory = self.root.join(part.directory());
        let mut digests = Vec::new();
        for entry in fs::read_dir(&directory).map_err(self.failed("list", &directory))? {
            let name = entry.map_err(self.failed("list", &directory))?.file_name();
            let stem = name.to_str().map(|name| name.strip_suffix(".json").unwrap_or(name));
            digests.extend(stem.and_then(Digest::from_hex));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// The file or directory of `digest` in a part of the store.
    #[must_use]
    pub fn path(&self, part: Area, digest: Digest) -> PathBuf {
        let suffix = if part == Area::Images { ".json" } else { "" };
        self.root
            .join(part.directory())
            .join(format!("{}{suffix}", digest.hex()))
    }

    /// Replaces `path` by `bytes` so that a crash leaves the old or the new file, whole.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let mut file =
            tempfile::NamedTempFile::new_in(self.tmp()).map_err(self.failed("create a file in", &self.tmp()))?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(self.failed("write", path))?;
        file.persist(path)
            .map_err(|error| self.failed("replace", path)(error.error))?;
        self.sync_parent(path)
    }

    /// A new working directory in `tmp`, removed when dropped.
    pub fn work(&self) -> Result<tempfile::TempDir, FileError> {
        tempfile::Builder::new()
            .prefix("work-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(self.tmp())
            .map_err(self.failed("create a directory in", &self.tmp()))
    }

    /// Moves a working directory, whose files are synced, to its place. If something is there already, that stays: a
    /// digest has one content.
    pub fn publish(&self, work: tempfile::TempDir, path: &Path) -> Result<(), FileError> {
        sync_directory(work.path()).map_err(self.failed("sync", work.path()))?;
        match fs::rename(work.path(), path) {
            Ok(()) => {
                // Its old name is gone: nothing is left to remove.
                let _ = work.keep();
                self.sync_parent(path)
            }
            Err(_) if path.exists() => Ok(()),
            Err(error) => Err(self.failed("publish", path)(error)),
        }
    }

    /// Moves a synced file to its place, over what is there: a digest has one content.
    pub fn publish_file(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        fs::rename(from, to).map_err(self.failed("publish", to))?;
        self.sync_parent(to)
    }

    /// Takes `path` out of the store at once; the space is freed when the returned directory is dropped.
    pub fn retire(&self, path: &Path) -> Result<tempfile::TempDir, FileError> {
        let grave = self.work()?;
        fs::rename(path, grave.path().join("retired")).map_err(self.failed("remove", path))?;
        Ok(grave)
    }

    /// Makes changes of `path`'s directory outlive a power loss.
    pub fn sync_parent(&self, path: &Path) -> Result<(), FileError> {
        let parent = path.parent().unwrap_or(&self.root);
        sync_directory(parent).map_err(self.failed("sync", parent))
    }

    /// Makes of an I/O error the store's.
    pub fn failed(&self, action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        let (root, path) = (self.root.clone(), path.to_owned());
        move |source| {
            if is_full(&source) {
                FileError::Full { path: root }
            } else {
                FileError::Io { action, path, source }
            }
        }
    }
}

/// A part of the store whose members are named by digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Manifests, configurations and, unless they are discarded, layers' blobs as they came: files.
    Blobs,
    /// Image records: files, named by manifests.
    Images,
    /// Layers: directories, named by diff IDs.
    Layers,
    /// Metadata of rootfs snapshots: directories, named by [`super::snapshot::snapshot_id`].
    Snapshots,
}

impl Area {
    fn directory(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Images => "images",
            Self::Layers => "layers",
            Self::Snapshots => "snapshots",
        }
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_however_deep_it_is_wrapped() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_full(&full()));
        assert!(is_full(&io::Error::other(io::Error::other(full()))));
        assert!(is_full(&FileError::Io {
            action: "write",
            path: "a".into(),
            source: full()
        }));
        assert!(!is_full(&io::Error::other("no space left on device")));
    }

    #[test]
    fn only_the_owner_gets_in() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        Files::create(&root).unwrap();
        for path in [root.clone(), root.join("layers")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn what_is_published_first_stays() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::create(directory.path()).unwrap();
        let target = files.path(Area::Layers, Digest::of(b"layer"));
        for content in ["first", "second"] {
            let work = files.work().unwrap();
            fs::write(work.path().join("data"), content).unwrap();
            files.publish(work, &target).unwrap();
        }
        assert_eq!(fs::read_to_string(target.join("data")).unwrap(), "first");
        assert_eq!(fs::read_dir(files.tmp()).unwrap().count(), 0);
        assert_eq!(files.digests(Area::Layers).unwrap(), [Digest::of(b"layer")]);
    }
}
