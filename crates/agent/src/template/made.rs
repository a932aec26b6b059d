//! The files of a template: finished, sealed, checked and removed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use image::Stamp;

use super::key::KEY_LEN;
use super::manifest::{self, FilesError};
use crate::sentence::sentence;

/// Where in a template what the VMM saved is.
pub const GUEST: &str = "guest";

/// The scratch disk, as the saved guest has it mounted.
pub const SCRATCH: &str = "scratch.ext4";

/// What the name of a template that is not finished ends with.
pub const PART: &str = ".part";

/// A finished template's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What it is for.
    pub key: String,
    /// Where it is.
    pub directory: PathBuf,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Its files as they were when they were made or checked.
    pub stamps: Vec<(PathBuf, Stamp)>,
}

impl Made {
    /// Whether nobody has touched its files.
    pub fn is_untouched(&self) -> bool {
        let is_untouched = |(path, stamp): &(PathBuf, Stamp)| {
            fs::symlink_metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) == *stamp)
        };
        self.stamps.iter().all(is_untouched)
    }

    /// What a clone is made from.
    pub fn guest(&self) -> PathBuf {
        self.directory.join(GUEST)
    }

    /// What a clone's scratch disk is a view of.
    pub fn scratch(&self) -> PathBuf {
        self.directory.join(SCRATCH)
    }
}

/// Writes down the checksums of a template, so that a later host agent can trust it.
pub fn seal(made: &Made) -> Result<(), FilesError> {
    manifest::write(&made.directory)?;
    if !made.is_untouched() {
        let directory = made.directory.clone();
        return Err(FilesError::Mismatch { directory });
    }
    let read_only = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o500)).map_err(|source| FilesError::Io {
            attempted: "protect",
            path: path.to_owned(),
            source,
        })
    };
    read_only(&made.guest())?;
    read_only(&made.directory)
}

/// Whether `path` is named as templates are, finished or not: somebody may have named a directory that has other things in it.
pub fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(PART).unwrap_or(name);
    name.split_once('-').is_some_and(|(key, created)| {
        key.len() == KEY_LEN
            && key.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !created.is_empty()
            && created.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The template in `path` if it has this key; `Err(None)` where it is another's or unfinished, and otherwise why it cannot be trusted.
pub fn verify(path: &Path, key: &str) -> Result<Made, Option<FilesError>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let created = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('-'));
    let created_unix_ms = created.and_then(|text| text.parse().ok()).ok_or(None)?;
    // Before their contents are read: what changes meanwhile shows later.
    let stamps = manifest::stamps(path).map_err(|source| FilesError::Io {
        attempted: "look at",
        path: path.to_owned(),
        source,
    })?;
    manifest::verify(path)?;
    Ok(Made {
        key: key.to_owned(),
        directory: path.to_owned(),
        created_unix_ms,
        stamps,
    })
}

/// A directory that goes with its guard unless it is finished.
pub struct Part(pub PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = remove(&self.0)
        {
            tracing::error!("an unfinished template is left over: {}", sentence(&error));
        }
    }
}

/// Makes the files read-only and lasting, and gives their directory its name; what shows that nobody has touched them since.
pub fn finish(part: Part, directory: &Path) -> Result<Vec<(PathBuf, Stamp)>, FilesError> {
    let failed = |attempted, path: &Path| {
        let path = path.to_owned();
        move |source| FilesError::Io {
            attempted,
            path,
            source,
        }
    };
    let guest = part.0.join(GUEST);
    let mut files = vec![part.0.join(SCRATCH)];
    for entry in fs::read_dir(&guest).map_err(failed("list", &guest))? {
        files.push(entry.map_err(failed("list", &guest))?.path());
    }
    for path in &files {
        let file = File::open(path).map_err(failed("open", path))?;
        file.set_permissions(Permissions::from_mode(0o400))
            .map_err(failed("protect", path))?;
        file.sync_all().map_err(failed("write", path))?;
    }
    fs::rename(&part.0, directory).map_err(failed("rename", &part.0))?;
    manifest::stamps(directory).map_err(failed("look at", directory))
}

/// Removes a template, read-only as it is.
pub fn remove(path: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::Io {
        attempted: "remove",
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_dir() {
        return fs::remove_file(path).map_err(failed);
    }
    for directory in [path, &path.join(GUEST)] {
        if directory.is_dir() && metadata.mode() & 0o200 == 0 {
            fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
        }
    }
    fs::remove_dir_all(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_like_a_template_is_ever_removed() {
        let key = "0123456789abcdef0123456789abcdef";
        for (name, expected) in [
            (format!("{key}-1795355464389"), true),
            (format!("{key}-1795355464389.part"), true),
            (format!("{key}-"), false),
            (format!("{key}-1x"), false),
            ("home".to_owned(), false),
            ("my-1".to_owned(), false),
        ] {
            assert_eq!(is_ours(&Path::new("/templates").join(&name)), expected, "{name}");
        }
    }

    #[test]
    fn a_read_only_template_is_removed_whole() {
        let base = tempfile::tempdir().unwrap();
        let made = Made {
            key: "k".to_owned(),
            directory: base.path().join("k-1"),
            created_unix_ms: 1,
            stamps: Vec::new(),
        };
        fs::create_dir_all(made.guest()).unwrap();
        fs::write(made.guest().join("memory"), "x").unwrap();
        seal(&made).unwrap();
        assert_eq!(verify(&made.directory, "k").unwrap().directory, made.directory);
        remove(&made.directory).unwrap();
        assert!(!made.directory.exists());
    }
}
