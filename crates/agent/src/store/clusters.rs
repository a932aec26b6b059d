//! Clusters.

use rusqlite::OptionalExtension;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Durability, Store, StoreError, from_texts, to_text};

impl Store {
    /// Writes a cluster, in place of an earlier one with its name.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn put_cluster(&self, name: &str, is_active: bool, record: &impl Serialize) -> Result<(), StoreError> {
        self.write(Durability::Durable, "write a cluster", |connection| {
            connection.execute(
                "INSERT INTO clusters (name, is_active, record) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET is_active = excluded.is_active, record = excluded.record",
                (name, is_active, to_text(record)?),
            )?;
            Ok(())
        })
    }

    /// The cluster with this name.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn cluster<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.read("read a cluster", |connection| {
            let mut statement = connection.prepare_cached("SELECT record FROM clusters WHERE name = ?1")?;
            let record: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
            Ok(record.map(|record| serde_json::from_str(&record)).transpose()?)
        })
    }

    /// The first `count_max` active clusters behind the one called `behind`, by name.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn active_clusters<T: DeserializeOwned>(&self, behind: &str, count_max: usize) -> Result<Vec<T>, StoreError> {
        self.read("list clusters", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM clusters WHERE is_active = 1 AND name > ?1 ORDER BY name LIMIT ?2",
            )?;
            from_texts(statement.query_map((behind, count_max), |row| row.get(0))?)
        })
    }
}
