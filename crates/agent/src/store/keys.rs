//! Access keys, their secrets sealed.

use rusqlite::{OptionalExtension, Row};

use super::{Durability, Store, StoreError, from_integer, to_integer};

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looking.
    ReadOnly,
    /// Running tasks and services, and looking.
    Run,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::Run, Self::Admin];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Run => "run",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// What requests name it by.
    pub id: String,
    /// What it may be used for.
    pub role: Role,
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
                "INSERT INTO access_keys (id, role, sealed, created_ms) VALUES (?1, ?2, ?3, ?4)",
                (&key.id, key.role.name(), &key.sealed, to_integer(key.created_ms)),
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
            let mut statement = connection
                .prepare_cached("SELECT id, role, sealed, created_ms FROM access_keys ORDER BY created_ms, id")?;
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
            let mut statement =
                connection.prepare_cached("SELECT id, role, sealed, created_ms FROM access_keys WHERE id = ?1")?;
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
    let role: String = row.get(1)?;
    Ok(AccessKey {
        id: row.get(0)?,
        // A role that a newer mote knows may do the least.
        role: Role::from_name(&role).unwrap_or(Role::ReadOnly),
        sealed: row.get(2)?,
        created_ms: from_integer(row.get(3)?),
    })
}
