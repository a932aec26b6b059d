//! Task definitions: families of numbered revisions.

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Durability, Store, StoreError, from_integer, from_texts, to_integer, to_text};

/// The name of a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefinitionKey {
    /// Its family.
    pub family: String,
    /// Its revision, from 1.
    pub revision: u64,
}

/// What may be done with a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionStatus {
    /// Tasks may be made of it.
    Active,
    /// No new tasks, but those of services that have it.
    Inactive,
    /// It goes when nothing uses it any more.
    DeleteInProgress,
}

impl DefinitionStatus {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

/// Which definitions are wanted.
#[derive(Clone, Debug)]
pub struct DefinitionList<'a> {
    /// Of this family only.
    pub family: Option<&'a str>,
    /// With this status.
    pub status: DefinitionStatus,
    /// Whether the greatest come first.
    pub is_descending: bool,
    /// Behind this one.
    pub behind: Option<DefinitionKey>,
    /// So many at the most.
    pub count_max: usize,
}

impl Store {
    /// Adds the next revision of `family`; `make` gets its number and gives its record.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn add_definition<T: Serialize>(&self, family: &str, make: impl FnOnce(u64) -> T) -> Result<T, StoreError> {
        self.write(Durability::Durable, "add a definition", |connection| {
            let revision: i64 = connection.query_row(
                "INSERT INTO families (family, last_revision) VALUES (?1, 1)
                 ON CONFLICT (family) DO UPDATE SET last_revision = last_revision + 1 RETURNING last_revision",
                [family],
                |row| row.get(0),
            )?;
            let record = make(from_integer(revision));
            connection.execute(
                "INSERT INTO definitions (family, revision, status, record) VALUES (?1, ?2, ?3, ?4)",
                (family, revision, DefinitionStatus::Active.name(), to_text(&record)?),
            )?;
            Ok(record)
        })
    }

    /// Writes a definition again.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn put_definition(
        &self,
        key: &DefinitionKey,
        status: DefinitionStatus,
        record: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.write(Durability::Durable, "write a definition", |connection| {
            connection.execute(
                "UPDATE definitions SET status = ?3, record = ?4 WHERE family = ?1 AND revision = ?2",
                (&key.family, to_integer(key.revision), status.name(), to_text(record)?),
            )?;
            Ok(())
        })
    }

    /// Removes a definition. Its number is not used again.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn remove_definition(&self, key: &DefinitionKey) -> Result<(), StoreError> {
        self.write(Durability::Durable, "remove a definition", |connection| {
            connection.execute(
                "DELETE FROM definitions WHERE family = ?1 AND revision = ?2",
                (&key.family, to_integer(key.revision)),
            )?;
            Ok(())
        })
    }

    /// A definition: that of this revision, or the newest active one where `revision` is [`None`].
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn definition<T: DeserializeOwned>(
        &self,
        family: &str,
        revision: Option<u64>,
    ) -> Result<Option<T>, StoreError> {
        self.read("read a definition", |connection| {
            let text = |row: &Row<'_>| row.get(0);
            let record: Option<String> = match revision {
                Some(revision) => connection
                    .prepare_cached("SELECT record FROM definitions WHERE family = ?1 AND revision = ?2")?
                    .query_row((family, to_integer(revision)), text),
                None => connection
                    .prepare_cached(
                        "SELECT record FROM definitions WHERE family = ?1 AND status = 'ACTIVE' ORDER BY revision DESC LIMIT 1",
                    )?
                    .query_row([family], text),
            }
            .optional()?;
            Ok(record.map(|record| serde_json::from_str(&record)).transpose()?)
        })
    }

    /// All definitions with this status.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn definitions_with<T: DeserializeOwned>(&self, status: DefinitionStatus) -> Result<Vec<T>, StoreError> {
        self.read("read definitions", |connection| {
            let mut statement = connection.prepare_cached("SELECT record FROM definitions WHERE status = ?1")?;
            from_texts(statement.query_map([status.name()], |row| row.get(0))?)
        })
    }

    /// The names of definitions, by family and revision.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn list_definitions(&self, list: &DefinitionList<'_>) -> Result<Vec<DefinitionKey>, StoreError> {
        let (compares, direction) = if list.is_descending {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let query = format!(
            "SELECT family, revision FROM definitions
             WHERE status = ?1 AND (?2 IS NULL OR family = ?2) AND (?3 IS NULL OR (family, revision) {compares} (?3, ?4))
             ORDER BY family {direction}, revision {direction} LIMIT ?5"
        );
        self.read("list definitions", |connection| {
            let mut statement = connection.prepare_cached(&query)?;
            let behind = list.behind.as_ref();
            let parameters = (
                list.status.name(),
                list.family,
                behind.map(|key| key.family.as_str()),
                behind.map(|key| to_integer(key.revision)),
                list.count_max,
            );
            let rows = statement.query_map(parameters, |row| {
                Ok(DefinitionKey {
                    family: row.get(0)?,
                    revision: from_integer(row.get(1)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The families whose name begins with `prefix`, behind the one called `behind`: those with an active definition (`Some(true)`), those with
    /// inactive ones only (`Some(false)`), or all.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn list_families(
        &self,
        prefix: &str,
        is_active: Option<bool>,
        behind: &str,
        count_max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.read("list families", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT family, max(status = 'ACTIVE') AS is_active FROM definitions
                 WHERE family > ?2 AND substr(family, 1, length(?1)) = ?1 AND status <> 'DELETE_IN_PROGRESS'
                 GROUP BY family HAVING ?3 IS NULL OR max(status = 'ACTIVE') = ?3 ORDER BY family LIMIT ?4",
            )?;
            let rows = statement.query_map((prefix, behind, is_active, count_max), |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(family: &str, revision: u64) -> DefinitionKey {
        let family = family.to_owned();
        DefinitionKey { family, revision }
    }

    #[test]
    fn a_revision_is_never_used_twice() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        assert_eq!(store.add_definition("web", |revision| revision).unwrap(), 1);
        assert_eq!(store.add_definition("web", |revision| revision).unwrap(), 2);
        store.remove_definition(&key("web", 2)).unwrap();
        assert_eq!(store.add_definition("web", |revision| revision).unwrap(), 3);
        assert_eq!(store.definition("web", None).unwrap(), Some(3));
        store
            .put_definition(&key("web", 3), DefinitionStatus::Inactive, &3)
            .unwrap();
        assert_eq!(store.definition("web", None).unwrap(), Some(1));
        assert_eq!(store.definition("web", Some(3)).unwrap(), Some(3));
        assert_eq!(store.definition::<u64>("web", Some(2)).unwrap(), None);
    }

    #[test]
    fn lists_go_on_where_they_ended() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        for family in ["a", "b", "b", "ab"] {
            store.add_definition(family, |revision| revision).unwrap();
        }
        let list = |is_descending, behind| {
            let list = DefinitionList {
                family: None,
                status: DefinitionStatus::Active,
                is_descending,
                behind,
                count_max: 3,
            };
            store.list_definitions(&list).unwrap()
        };
        assert_eq!(list(false, None), [key("a", 1), key("ab", 1), key("b", 1)]);
        assert_eq!(list(false, Some(key("b", 1))), [key("b", 2)]);
        assert_eq!(list(true, None), [key("b", 2), key("b", 1), key("ab", 1)]);
        assert_eq!(store.list_families("a", Some(true), "", 9).unwrap(), ["a", "ab"]);
        assert_eq!(store.list_families("", None, "a", 9).unwrap(), ["ab", "b"]);
        store
            .put_definition(&key("a", 1), DefinitionStatus::Inactive, &1)
            .unwrap();
        assert_eq!(store.list_families("", Some(false), "", 9).unwrap(), ["a"]);
    }
}
