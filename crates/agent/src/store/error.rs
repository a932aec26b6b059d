//! Why the store cannot do something.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or made.
    #[error("cannot read the database {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a database of mote's: move it away, or name another state directory", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer mote wrote it.
    #[error(
        "the database {} is of version {found}, and this mote knows none after {known}: install the mote that wrote it, or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// It cannot be trusted.
    #[error("the database {} is damaged ({details}): it was left as it is; put a copy from before in its place, or move it away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        details: String,
    },
    /// SQLite does not open it.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// SQLite failed.
    #[error("the database failed to {what}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        source: rusqlite::Error,
    },
    /// A record is not what it is to be.
    #[error("the database holds a record that cannot be used, or was to hold one, when it was to {what}")]
    Record {
        /// What was to be done.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// SQLite does not open the file, or finds that it is damaged.
    pub(super) fn open(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Self::Damaged {
                path,
                details: source.to_string(),
            },
            _ => Self::Open { path, source },
        }
    }
}
