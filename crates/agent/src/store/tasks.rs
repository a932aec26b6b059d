//! Records of tasks.

#[cfg(test)]
pub(super) mod tests;

use api::task::Status;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params_from_iter};

use super::{Cause, Durability, Store, StoreError, from_integer, from_texts, to_integer, to_text, usage};
use crate::ports::{Failure, Records};
use crate::record::TaskRecord;

/// How long a task that has stopped is kept at the least, in milliseconds: an hour.
pub const STOPPED_KEPT_MS: u64 = 60 * 60 * 1000;

/// How many tasks that have stopped are kept when that time is over.
pub const STOPPED_KEPT_COUNT: usize = 1_000;

/// Which tasks are wanted.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter<'a> {
    /// Of this cluster.
    pub cluster: &'a str,
    /// Those that are to run, or those that are to be stopped.
    pub is_wanted: bool,
    /// Of definitions of this family.
    pub family: Option<&'a str>,
    /// Of this service.
    pub service: Option<&'a str>,
    /// Started by this.
    pub started_by: Option<&'a str>,
    /// Behind the page that ended with this number.
    pub behind: Option<u64>,
    /// So many at the most.
    pub count_max: usize,
}

/// A part of a list of tasks, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// Ids.
    pub ids: Vec<String>,
    /// What the next page is behind of, where there is one.
    pub next: Option<u64>,
}

impl Store {
    /// The record of the task with this id.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn task(&self, id: &str) -> Result<Option<TaskRecord>, StoreError> {
        const WHAT: &str = "read a task";
        let record: Option<String> = self.read(WHAT, |connection| {
            let mut statement = connection.prepare_cached("SELECT record FROM tasks WHERE id = ?1")?;
            Ok(statement.query_row([id], |row| row.get(0)).optional()?)
        })?;
        // Takes several times as long as the look-up: other readers need not wait for it.
        let record = record.map(|record| serde_json::from_str(&record)).transpose();
        record.map_err(|source| StoreError::Record { what: WHAT, source })
    }

    /// The ids of tasks, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn list_tasks(&self, filter: &TaskFilter<'_>) -> Result<TaskPage, StoreError> {
        let mut query = "SELECT number, id FROM tasks WHERE cluster = ? AND is_wanted = ?".to_owned();
        let mut values = vec![Value::from(filter.cluster.to_owned()), Value::from(filter.is_wanted)];
        let columns = [
            (" AND family = ?", filter.family),
            (" AND service = ?", filter.service),
            (" AND started_by = ?", filter.started_by),
        ];
        for (condition, value) in columns {
            if let Some(value) = value {
                query.push_str(condition);
                values.push(Value::from(value.to_owned()));
            }
        }
        if let Some(behind) = filter.behind {
            query.push_str(" AND number < ?");
            values.push(Value::from(to_integer(behind)));
        }
        query.push_str(" ORDER BY number DESC LIMIT ?");
        // One more than wanted tells whether the list goes on.
        let wanted = filter.count_max.saturating_add(1);
        values.push(Value::from(i64::try_from(wanted).unwrap_or(i64::MAX)));
        self.read("list tasks", |connection| {
            let mut statement = connection.prepare_cached(&query)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok((from_integer(row.get(0)?), row.get(1)?))
            })?;
            let mut rows: Vec<(u64, String)> = rows.collect::<Result<_, _>>()?;
            let goes_on = rows.len() > filter.count_max;
            rows.truncate(filter.count_max);
            Ok(TaskPage {
                next: rows.last().map(|(number, _)| *number).filter(|_| goes_on),
                ids: rows.into_iter().map(|(_, id)| id).collect(),
            })
        })
    }

    /// How many tasks of a cluster run, and how many are on their way there.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn count_tasks(&self, cluster: &str) -> Result<(u64, u64), StoreError> {
        self.read("count tasks", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT coalesce(sum(is_running), 0), coalesce(sum(1 - is_running), 0) FROM tasks WHERE cluster = ?1 AND is_stopped = 0",
            )?;
            let counts = statement.query_row([cluster], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((from_integer(counts.0), from_integer(counts.1)))
        })
    }

    /// Whether a task that has not stopped, or a service, has this definition.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn is_definition_used(&self, definition: &str) -> Result<bool, StoreError> {
        self.read("look for the users of a definition", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM tasks WHERE is_stopped = 0 AND json_extract(record, '$.definition') = ?1)
                    OR EXISTS (SELECT 1 FROM services, json_each(services.record, '$.deployments') AS deployment
                        WHERE is_active = 1 AND json_extract(deployment.value, '$.definition') = ?1)",
            )?;
            Ok(statement.query_row([definition], |row| row.get(0))?)
        })
    }

    /// The tasks that a request with this client token made, whether or not it came to its end.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn tasks_with_token(&self, token: &str) -> Result<Vec<TaskRecord>, StoreError> {
        self.read("look for the tasks of a client token", |connection| {
            // Every record is looked at: this is asked after a host agent died in the middle of a request, and never else.
            let mut statement = connection.prepare_cached(
                "SELECT record FROM tasks WHERE json_extract(record, '$.echoed.clientToken') = ?1 ORDER BY number",
            )?;
            from_texts(statement.query_map([token], |row| row.get(0))?)
        })
    }

    /// The ids of the tasks that have been stopped for long enough, and for which there is no room: they are to be forgotten.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn expired_tasks(&self, now_ms: u64) -> Result<Vec<String>, StoreError> {
        self.read("look for old tasks", |connection| {
            // The last of those that are kept is looked up first: what is older is then a range of the index, however many have stopped.
            let mut statement = connection.prepare_cached(
                "SELECT id FROM tasks WHERE is_stopped = 1 AND stopped_ms < ?2 AND (stopped_ms, number) <
                 (SELECT stopped_ms, number FROM tasks WHERE is_stopped = 1 ORDER BY stopped_ms DESC, number DESC LIMIT 1 OFFSET ?1)
                 ORDER BY stopped_ms, number",
            )?;
            let before = to_integer(now_ms.saturating_sub(STOPPED_KEPT_MS));
            let rows = statement.query_map((STOPPED_KEPT_COUNT - 1, before), |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn put(connection: &Transaction<'_>, record: &TaskRecord) -> Result<(), Cause> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (id, cluster, family, service, started_by, is_wanted, is_stopped, is_running, stopped_ms, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET is_wanted = excluded.is_wanted, is_stopped = excluded.is_stopped, is_running = excluded.is_running,
         stopped_ms = excluded.stopped_ms, record = excluded.record",
    )?;
    let family = record.definition.split(':').next().unwrap_or_default();
    let is_stopped = record.status == Status::Stopped;
    statement.execute((
        &record.id,
        &record.cluster,
        family,
        record.service.as_ref().map(|origin| &origin.service),
        &record.started_by,
        record.is_wanted && !is_stopped,
        is_stopped,
        record.status == Status::Running,
        record.times.stopped_ms.map(to_integer),
        to_text(record)?,
    ))?;
    if is_stopped {
        usage::close(connection, record)?;
    }
    Ok(())
}

impl Records for Store {
    fn put(&self, records: &[&TaskRecord]) -> Result<(), Failure> {
        Ok(self.write(Durability::Quick, "write tasks", |connection| {
            records.iter().try_for_each(|record| put(connection, record))
        })?)
    }

    fn close(&self, record: &TaskRecord) -> Result<(), Failure> {
        Ok(self.write(Durability::Quick, "note what a task used", |connection| {
            usage::close(connection, record)
        })?)
    }

    fn remove(&self, id: &str) -> Result<(), Failure> {
        Ok(self.write(Durability::Quick, "remove a task", |connection| {
            let cluster: Option<String> = connection
                .query_row("DELETE FROM tasks WHERE id = ?1 RETURNING cluster", [id], |row| {
                    row.get(0)
                })
                .optional()?;
            if let Some(cluster) = cluster {
                connection.execute("DELETE FROM tags WHERE resource = ?1", [format!("task/{cluster}/{id}")])?;
            }
            Ok(())
        })?)
    }

    fn unfinished(&self) -> Result<Vec<TaskRecord>, Failure> {
        Ok(self.read("read the tasks that have not stopped", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT record FROM tasks WHERE is_stopped = 0 ORDER BY number")?;
            from_texts(statement.query_map([], |row| row.get(0))?)
        })?)
    }

    fn stopped(&self, count_max: usize) -> Result<Vec<TaskRecord>, Failure> {
        Ok(self.read("read the tasks that have stopped", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM (SELECT record, stopped_ms, number FROM tasks WHERE is_stopped = 1 ORDER BY stopped_ms DESC, number DESC LIMIT ?1)
                 ORDER BY stopped_ms, number",
            )?;
            from_texts(statement.query_map([count_max], |row| row.get(0))?)
        })?)
    }
}
