//! Tags of resources. A resource is named by the last part of its ARN: `task/default/…`.

use super::{Durability, Store, StoreError};

impl Store {
    /// Adds tags to a resource, or changes their values. With `count_max` it changes nothing and returns false where the resource would have more.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn tag(&self, resource: &str, tags: &[(String, String)], count_max: usize) -> Result<bool, StoreError> {
        if tags.is_empty() {
            return Ok(true);
        }
        let added = self.write(Durability::Durable, "add tags", |connection| {
            for (key, value) in tags {
                connection
                    .prepare_cached(
                        "INSERT INTO tags (resource, key, value) VALUES (?1, ?2, ?3) ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value",
                    )?
                    .execute([resource, key, value])?;
            }
            let count: usize = connection
                .prepare_cached("SELECT count(*) FROM tags WHERE resource = ?1")?
                .query_row([resource], |row| row.get(0))?;
            // An error rolls the transaction back.
            if count > count_max { Err(rusqlite::Error::QueryReturnedNoRows.into()) } else { Ok(()) }
        });
        match added {
            Ok(()) => Ok(true),
            Err(StoreError::Failed {
                source: rusqlite::Error::QueryReturnedNoRows,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes tags from a resource; all of them where `keys` is [`None`].
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn untag(&self, resource: &str, keys: Option<&[String]>) -> Result<(), StoreError> {
        self.write(Durability::Durable, "remove tags", |connection| {
            let Some(keys) = keys else {
                connection.execute("DELETE FROM tags WHERE resource = ?1", [resource])?;
                return Ok(());
            };
            for key in keys {
                connection.execute("DELETE FROM tags WHERE resource = ?1 AND key = ?2", [resource, key])?;
            }
            Ok(())
        })
    }

    /// The tags of a resource, by key.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn tags(&self, resource: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read("read tags", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT key, value FROM tags WHERE resource = ?1 ORDER BY key")?;
            let rows = statement.query_map([resource], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_added_changed_counted_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert!(store.tag("r", &[tag("a", "1"), tag("b", "2")], 2).unwrap());
        assert!(store.tag("r", &[tag("a", "3")], 2).unwrap());
        assert!(!store.tag("r", &[tag("c", "4")], 2).unwrap());
        assert_eq!(store.tags("r").unwrap(), [tag("a", "3"), tag("b", "2")]);
        store.untag("r", Some(&["a".to_owned()])).unwrap();
        assert_eq!(store.tags("r").unwrap(), [tag("b", "2")]);
        store.untag("r", None).unwrap();
        assert!(store.tags("r").unwrap().is_empty());
    }
}
