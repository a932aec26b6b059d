//! Networks that tasks share.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Durability, Store, StoreError, from_texts, to_text};

impl Store {
    /// Writes a network, in place of an earlier one with its name.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn put_network(&self, name: &str, record: &impl Serialize) -> Result<(), StoreError> {
        self.write(Durability::Durable, "write a network", |connection| {
            connection.execute(
                "INSERT INTO networks (name, record) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET record = excluded.record",
                (name, to_text(record)?),
            )?;
            Ok(())
        })
    }

    /// All networks, by name.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn networks<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        self.read("list networks", |connection| {
            let mut statement = connection.prepare_cached("SELECT record FROM networks ORDER BY name")?;
            from_texts(statement.query_map([], |row| row.get(0))?)
        })
    }

    /// Removes a network; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn remove_network(&self, name: &str) -> Result<bool, StoreError> {
        self.write(Durability::Durable, "remove a network", |connection| {
            Ok(connection.execute("DELETE FROM networks WHERE name = ?1", [name])? > 0)
        })
    }
}
