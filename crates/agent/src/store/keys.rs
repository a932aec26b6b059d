//! Access keys, their secrets sealed.

use api::identity::Role;
use rusqlite::{OptionalExtension, Row};

use super::{Durability, Store, StoreError, from_integer, to_integer};

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// What requests name it by.
    pub id: String,
    /// What it may be used for.
    pub role: Role,
    /// What it is for, in the words of who made it.
    pub description: Option<String>,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_ms: u64,
}

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn add_key(&self, key: &AccessKey) -> Result<(), StoreError> {
        self.write(Durability::Durable, "add an access key", |connection| {
            connection.execute(
                "INSERT INTO access_keys (id, role, description, sealed, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    &key.id,
                    key.role.name(),
                    &key.description,
                    &key.sealed,
                    to_integer(key.created_ms),
                ),
            )?;
            Ok(())
        })
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        self.read("read access keys", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, role, description, sealed, created_ms FROM access_keys ORDER BY created_ms, id",
            )?;
            let rows = statement.query_map([], key)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The key with this id.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn key(&self, id: &str) -> Result<Option<AccessKey>, StoreError> {
        self.read("read an access key", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, role, description, sealed, created_ms FROM access_keys WHERE id = ?1")?;
            Ok(statement.query_row([id], key).optional()?)
        })
    }

    /// Removes a key; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn remove_key(&self, id: &str) -> Result<bool, StoreError> {
        self.write(Durability::Durable, "remove an access key", |connection| {
            Ok(connection.execute("DELETE FROM access_keys WHERE id = ?1", [id])? > 0)
        })
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<AccessKey> {
    let name: String = row.get(1)?;
    let role = [Role::Admin, Role::Run].into_iter().find(|role| role.name() == name);
    Ok(AccessKey {
        id: row.get(0)?,
        // A role that a newer mote knows may do the least.
        role: role.unwrap_or(Role::ReadOnly),
        description: row.get(2)?,
        sealed: row.get(3)?,
        created_ms: from_integer(row.get(4)?),
    })
}
