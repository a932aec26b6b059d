//! The tables, and how older ones become these.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use crate::clock;

/// What the file's header says whose it is: `mote`.
pub const APPLICATION_ID: u32 = u32::from_be_bytes(*b"mote");

/// The version of the newest tables: how many [`MIGRATIONS`] there are.
pub const VERSION: u32 = 3;

/// What leads from each version to the next.
const MIGRATIONS: [&str; VERSION as usize] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
];

/// Brings the tables to [`VERSION`].
///
/// # Errors
/// Where SQLite fails: then nothing is changed.
pub fn migrate(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    try_migrate(connection).map_err(|source| StoreError::open(path, source))
}

fn try_migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version >= VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    for (number, tables) in (1..=VERSION).zip(MIGRATIONS).skip(version as usize) {
        transaction.execute_batch(tables)?;
        transaction.execute(
            "INSERT INTO migrations (version, applied_ms) VALUES (?1, ?2)",
            (number, super::to_integer(clock::wall_ms())),
        )?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    // An inspection reads the version from the file itself, not from the log.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
