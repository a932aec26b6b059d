//! Secrets, sealed.

use rusqlite::OptionalExtension;

use super::{Durability, Store, StoreError, from_integer, to_integer};

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its name.
    pub name: String,
    /// When it got its first value.
    pub created_ms: u64,
    /// When it got its present value.
    pub changed_ms: u64,
}

impl Store {
    /// Writes a secret, in place of an earlier one with its name.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn put_secret(&self, name: &str, sealed: &[u8], changed_ms: u64) -> Result<(), StoreError> {
        self.write(Durability::Durable, "write a secret", |connection| {
            connection.execute(
                "INSERT INTO secrets (name, sealed, created_ms, changed_ms) VALUES (?1, ?2, ?3, ?3)
                 ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, changed_ms = excluded.changed_ms",
                (name, sealed, to_integer(changed_ms)),
            )?;
            Ok(())
        })
    }

    /// The sealed value of a secret.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read a secret", |connection| {
            let mut statement = connection.prepare_cached("SELECT sealed FROM secrets WHERE name = ?1")?;
            Ok(statement.query_row([name], |row| row.get(0)).optional()?)
        })
    }

    /// The names of all secrets.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        self.read("list secrets", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, created_ms, changed_ms FROM secrets ORDER BY name")?;
            let rows = statement.query_map([], |row| {
                Ok(SealedSecret {
                    name: row.get(0)?,
                    created_ms: from_integer(row.get(1)?),
                    changed_ms: from_integer(row.get(2)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Removes a secret; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn remove_secret(&self, name: &str) -> Result<bool, StoreError> {
        self.write(Durability::Durable, "remove a secret", |connection| {
            Ok(connection.execute("DELETE FROM secrets WHERE name = ?1", [name])? > 0)
        })
    }
}
