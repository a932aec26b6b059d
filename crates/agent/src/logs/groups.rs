//! What is known of log groups beside their streams: that they were made, how long they keep logs, their tags. A small file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What is known of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// For how many days it keeps logs; as long as their tasks are known where absent.
    pub retention_days: Option<u32>,
    /// Key and value.
    pub tags: BTreeMap<String, String>,
}

/// All that is known of groups, by name.
pub type ByName = BTreeMap<String, Group>;

/// The file, and what it holds.
#[derive(Debug)]
pub struct Groups {
    path: PathBuf,
    // Shared by requests; locked while the small file is read or written.
    known: Mutex<Option<ByName>>,
}

impl Groups {
    /// What `path` holds; it is read when it is needed.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        let known = Mutex::new(None);
        Self { path, known }
    }

    /// All of it.
    ///
    /// # Errors
    /// Where the file cannot be read or holds something else.
    pub fn all(&self) -> io::Result<ByName> {
        self.change(|groups| groups.clone())
    }

    /// For how many days a group keeps logs, if it was told to.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn retention_days(&self, group: &str) -> io::Result<Option<u32>> {
        self.change(|groups| groups.get(group).and_then(|group| group.retention_days))
    }

    /// Changes what is known, and stores that before it returns.
    ///
    /// # Errors
    /// Where the file cannot be read or written: nothing changed.
    pub fn change<T>(&self, change: impl FnOnce(&mut ByName) -> T) -> io::Result<T> {
        // A change that was not stored is not kept.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match known.take() {
            Some(groups) => groups,
            None => self.read()?,
        };
        let mut groups = before.clone();
        let answer = change(&mut groups);
        if groups == before {
            *known = Some(before);
            return Ok(answer);
        }
        let written = self.write(&groups);
        *known = Some(if written.is_ok() { groups } else { before });
        written.map(|()| answer)
    }

    fn read(&self) -> io::Result<ByName> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ByName::new()),
            bytes => serde_json::from_slice(&bytes?).map_err(|error| {
                let message = format!("{} does not hold log groups: {error}", self.path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            }),
        }
    }

    fn write(&self, groups: &ByName) -> io::Result<()> {
        let unfinished = self.path.with_extension("next");
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(groups)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_kept_and_a_damaged_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("groups.json");
        let groups = Groups::new(path.clone());
        assert_eq!(groups.all().unwrap(), ByName::new());
        assert!(!path.exists());
        let group = Group {
            retention_days: Some(3),
            ..Group::default()
        };
        groups.change(|groups| groups.insert("/a".to_owned(), group)).unwrap();
        assert_eq!(Groups::new(path.clone()).retention_days("/a").unwrap(), Some(3));
        fs::write(&path, "x").unwrap();
        Groups::new(path.clone()).all().unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
