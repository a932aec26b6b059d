//! Services and their deployments.

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cause, Durability, Store, StoreError, from_integer, from_texts, to_integer, to_text};

/// A service, as it is written.
#[derive(Clone, Debug)]
pub struct ServiceRow<'a, T> {
    /// Its cluster's name.
    pub cluster: &'a str,
    /// Its name, unique in the cluster.
    pub name: &'a str,
    /// Whether it has not been deleted.
    pub is_active: bool,
    /// The rest.
    pub record: &'a T,
}

/// A deployment, as it is written.
#[derive(Clone, Debug)]
pub struct DeploymentRow<'a, T> {
    /// Its id, unique on the host.
    pub id: &'a str,
    /// Its cluster's name.
    pub cluster: &'a str,
    /// Its service's name.
    pub service: &'a str,
    /// When it was asked for.
    pub created_ms: u64,
    /// The rest.
    pub record: &'a T,
}

impl Store {
    /// Writes a service and some of its deployments, each in place of an earlier one with its name; all or none.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn put_service<T: Serialize, D: Serialize>(
        &self,
        service: &ServiceRow<'_, T>,
        deployments: &[DeploymentRow<'_, D>],
    ) -> Result<(), StoreError> {
        self.write(Durability::Durable, "write a service", |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO services (cluster, name, is_active, record) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (cluster, name) DO UPDATE SET is_active = excluded.is_active, record = excluded.record",
                )?
                .execute((service.cluster, service.name, service.is_active, to_text(service.record)?))?;
            for row in deployments {
                connection
                    .prepare_cached(
                        "INSERT INTO deployments (id, cluster, service, created_ms, record) VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                    )?
                    .execute((row.id, row.cluster, row.service, to_integer(row.created_ms), to_text(row.record)?))?;
            }
            Ok(())
        })
    }

    /// The service with this name.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn service<T: DeserializeOwned>(&self, cluster: &str, name: &str) -> Result<Option<T>, StoreError> {
        self.read("read a service", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT record FROM services WHERE cluster = ?1 AND name = ?2")?;
            let record: Option<String> = statement.query_row([cluster, name], |row| row.get(0)).optional()?;
            Ok(record.map(|record| serde_json::from_str(&record)).transpose()?)
        })
    }

    /// All services that have not been deleted, of all clusters.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn active_services<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        self.read("read services", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT record FROM services WHERE is_active = 1 ORDER BY number")?;
            from_texts(statement.query_map([], |row| row.get(0))?)
        })
    }

    /// The first `count_max` active services of a cluster behind the one called `behind`, by name.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn list_services<T: DeserializeOwned>(
        &self,
        cluster: &str,
        behind: &str,
        count_max: usize,
    ) -> Result<Vec<T>, StoreError> {
        self.read("list services", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM services WHERE cluster = ?1 AND is_active = 1 AND name > ?2 ORDER BY name LIMIT ?3",
            )?;
            from_texts(statement.query_map((cluster, behind, count_max), |row| row.get(0))?)
        })
    }

    /// How many active services a cluster has.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn count_services(&self, cluster: &str) -> Result<u64, StoreError> {
        self.read("count services", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT count(*) FROM services WHERE cluster = ?1 AND is_active = 1")?;
            Ok(from_integer(statement.query_row([cluster], |row| row.get(0))?))
        })
    }

    /// Removes a service, its deployments and its tags.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn remove_service(&self, cluster: &str, name: &str) -> Result<(), StoreError> {
        self.write(Durability::Durable, "remove a service", |connection| {
            connection.execute("DELETE FROM services WHERE cluster = ?1 AND name = ?2", [cluster, name])?;
            connection.execute(
                "DELETE FROM deployments WHERE cluster = ?1 AND service = ?2",
                [cluster, name],
            )?;
            connection.execute(
                "DELETE FROM tags WHERE resource = ?1",
                [format!("service/{cluster}/{name}")],
            )?;
            Ok(())
        })
    }

    /// The deployment with this id.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn deployment<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, StoreError> {
        self.read("read a deployment", |connection| {
            let mut statement = connection.prepare_cached("SELECT record FROM deployments WHERE id = ?1")?;
            let record: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
            Ok(record.map(|record| serde_json::from_str(&record)).transpose()?)
        })
    }

    /// The deployments of a service that are older than `behind`, a time and an id, the newest first; each with its own time and id.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn list_deployments<T: DeserializeOwned>(
        &self,
        cluster: &str,
        service: &str,
        behind: Option<(u64, &str)>,
        count_max: usize,
    ) -> Result<Vec<(u64, String, T)>, StoreError> {
        let (time, id) = behind.map_or((i64::MAX, ""), |(time, id)| (to_integer(time), id));
        self.read("list deployments", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT created_ms, id, record FROM deployments WHERE cluster = ?1 AND service = ?2 AND (created_ms, id) < (?3, ?4)
                 ORDER BY created_ms DESC, id DESC LIMIT ?5",
            )?;
            let columns = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let rows = statement.query_map((cluster, service, time, id, count_max), columns)?;
            let mut list = Vec::new();
            for row in rows {
                let (created_ms, id, record): (i64, String, String) = row?;
                list.push((from_integer(created_ms), id, serde_json::from_str(&record)?));
            }
            Ok::<_, Cause>(list)
        })
    }

    /// Removes all but the newest `kept` deployments of a service.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn trim_deployments(&self, cluster: &str, service: &str, kept: usize) -> Result<(), StoreError> {
        self.write(Durability::Durable, "remove old deployments", |connection| {
            connection.execute(
                "DELETE FROM deployments WHERE id IN (SELECT id FROM deployments WHERE cluster = ?1 AND service = ?2
                 ORDER BY created_ms DESC, id DESC LIMIT -1 OFFSET ?3)",
                (cluster, service, kept),
            )?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_deployments_are_listed_and_go_together() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        let service = |name, is_active| ServiceRow {
            cluster: "default",
            name,
            is_active,
            record: &"s",
        };
        let deployment = |id, created_ms| DeploymentRow {
            id,
            cluster: "default",
            service: "web",
            created_ms,
            record: &"d",
        };
        store
            .put_service(
                &service("web", true),
                &[deployment("1", 1), deployment("2", 1), deployment("3", 2)],
            )
            .unwrap();
        store.put_service::<_, &str>(&service("old", false), &[]).unwrap();
        assert_eq!(store.active_services::<String>().unwrap(), ["s"]);
        assert_eq!(store.list_services::<String>("default", "", 9).unwrap().len(), 1);
        assert_eq!(store.count_services("default").unwrap(), 1);
        let ids = |behind| {
            let list = store.list_deployments::<String>("default", "web", behind, 2).unwrap();
            list.into_iter().map(|(_, id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None), ["3", "2"]);
        assert_eq!(ids(Some((1, "2"))), ["1"]);
        store.trim_deployments("default", "web", 1).unwrap();
        assert_eq!(ids(None), ["3"]);
        store.remove_service("default", "web").unwrap();
        assert_eq!(store.deployment::<String>("3").unwrap(), None);
        assert_eq!(store.service::<String>("default", "web").unwrap(), None);
    }
}
