//! What must not be forgotten, in SQLite: tasks, definitions, clusters, services, networks, tags, keys, secrets and usage.
//!
//! One file, in WAL mode, that only one host agent uses. What it acknowledges survives the end of its process. Definitions, clusters, services, networks and
//! secrets survive a loss of power, too; a task's records may then lack the last moments, as the task itself does. A damaged file, or one that a newer mote
//! wrote, is refused and left as it is. Read [`schema`] for the tables; a module for each kind has its methods of [`Store`].

mod clusters;
mod definitions;
mod error;
mod facts;
mod inspection;
mod keys;
mod networks;
mod schema;
mod secrets;
mod services;
mod tags;
mod tasks;
mod tokens;
mod usage;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use definitions::{DefinitionKey, DefinitionList, DefinitionStatus};
pub use error::StoreError;
pub use keys::AccessKey;
pub use secrets::SealedSecret;
pub use services::{DeploymentRow, ServiceRow};
pub use tasks::{STOPPED_KEPT_COUNT, STOPPED_KEPT_MS, TaskFilter, TaskPage};
pub use tokens::{TOKEN_KEPT_MS, Token};
pub use usage::{USAGE_KEPT_MS, UsageRow};

/// How long a reader waits for a writer; writers wait for each other without a limit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// KiB of pages that each connection keeps in memory.
const CACHE_KIB: i64 = 1024;

/// The database. Clones are the same one.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    // Shared by all threads that ask: SQLite has one writer at a time in any case.
    writers: Mutex<Writers>,
    // Shared by all threads that ask; a reader does not wait for writers.
    reader: Mutex<Connection>,
}

struct Writers {
    /// Waits for the disk at every commit.
    durable: Connection,
    /// Waits for the disk's cache only.
    quick: Connection,
}

/// How long a write takes and what it survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// Survives a loss of power.
    Durable,
    /// Survives the end of the process.
    Quick,
}

impl Store {
    /// Opens the database at `path`; makes it where there is none.
    ///
    /// # Errors
    /// Where it is damaged, newer than this program or not a database of mote's: then it is not touched. Where it cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        inspection::inspect(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut durable = connect(path, flags)?;
        schema::migrate(path, &mut durable)?;
        let quick = connect(path, flags)?;
        let prepare = |connection: &Connection, name, value| {
            let set = connection.pragma_update(None, name, value);
            set.map_err(|source| StoreError::open(path, source))
        };
        prepare(&durable, "synchronous", "FULL")?;
        prepare(&quick, "synchronous", "NORMAL")?;
        let reader = connect(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        prepare(&reader, "query_only", "ON")?;
        Ok(Self {
            inner: Arc::new(Inner {
                writers: Mutex::new(Writers { durable, quick }),
                reader: Mutex::new(reader),
            }),
        })
    }

    /// Reads, in one consistent view.
    fn read<T>(&self, what: &'static str, read: impl FnOnce(&Connection) -> Result<T, Cause>) -> Result<T, StoreError> {
        let reader = lock(&self.inner.reader);
        read(&reader).map_err(|cause| cause.during(what))
    }

    /// Changes all or nothing.
    fn write<T>(
        &self,
        durability: Durability,
        what: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Cause>,
    ) -> Result<T, StoreError> {
        let mut writers = lock(&self.inner.writers);
        let connection = match durability {
            Durability::Durable => &mut writers.durable,
            Durability::Quick => &mut writers.quick,
        };
        let perform = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        };
        perform().map_err(|cause: Cause| cause.during(what))
    }
}

/// Why something failed, before it is known what.
#[derive(Debug)]
enum Cause {
    Sqlite(rusqlite::Error),
    Json(serde_json::Error),
}

impl Cause {
    fn during(self, what: &'static str) -> StoreError {
        match self {
            Self::Sqlite(source) => StoreError::Failed { what, source },
            Self::Json(source) => StoreError::Record { what, source },
        }
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<serde_json::Error> for Cause {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// `record` as it is stored.
fn to_text(record: &impl Serialize) -> Result<String, Cause> {
    Ok(serde_json::to_string(record)?)
}

/// The records of one column's texts.
fn from_texts<T: DeserializeOwned>(texts: impl Iterator<Item = rusqlite::Result<String>>) -> Result<Vec<T>, Cause> {
    texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

/// An unsigned number as SQLite has it. Times and versions are far below its end.
fn to_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that was stored with [`to_integer`].
fn from_integer(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|source| StoreError::open(path, source))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A transaction that was left half-way is rolled back.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
