//! What tasks have used.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rusqlite::{Row, Transaction, params};

use super::{Cause, Durability, Store, StoreError, from_integer, to_integer, to_text};
use crate::record::{TaskRecord, Used};

/// How long what a task has used is kept after its end, in milliseconds: 400 days, so that a year can be compared with the one before.
pub const USAGE_KEPT_MS: u64 = 400 * 24 * 60 * 60 * 1000;

/// What one task has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The task's id.
    pub task: String,
    /// Its name.
    pub name: String,
    /// The name of its cluster.
    pub cluster: String,
    /// The family of its definition.
    pub family: String,
    /// The service that wanted it.
    pub service: Option<String>,
    /// Key and value: the task's tags and its containers' labels.
    pub tags: Vec<(String, String)>,
    /// CPU that was reserved, in thousandths of a vCPU.
    pub vcpu_milli: u64,
    /// Memory that was reserved, in MiB.
    pub memory_mib: u64,
    /// The size of the scratch disk, in MiB.
    pub scratch_mib: u64,
    /// When its guest answered, in milliseconds since the Unix epoch.
    pub begun_ms: u64,
    /// Up to when this tells of it: to its end, or to the last time that somebody looked.
    pub until_ms: u64,
    /// Whether it has ended.
    pub has_ended: bool,
    /// What it has used.
    pub used: Used,
}

/// The values of a task's row at `now_ms`.
struct Note<'a> {
    record: &'a TaskRecord,
    begun_ms: u64,
    now_ms: u64,
    /// Whether the task had ended by then.
    has_ended: bool,
    used: Used,
}

impl Store {
    /// Notes what tasks that run have used until now, which is `monotonic_ms` on `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn note_usage(&self, tasks: &[(Arc<TaskRecord>, Used)], monotonic_ms: u64) -> Result<(), StoreError> {
        self.write(Durability::Quick, "note what tasks use", |connection| {
            for (record, used) in tasks {
                let ran_ms = record.times.running_ms(monotonic_ms);
                let (Some(begun_ms), Some(ran_ms)) = (record.times.connected_ms, ran_ms) else {
                    continue;
                };
                let note = Note {
                    record,
                    begun_ms,
                    now_ms: begun_ms + ran_ms,
                    has_ended: false,
                    used: *used,
                };
                note.put(connection)?;
            }
            Ok(())
        })
    }

    /// Calls `each` for every task that used something since then.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn usage(&self, since_ms: u64, mut each: impl FnMut(UsageRow)) -> Result<(), StoreError> {
        self.read("read what tasks have used", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT task, name, cluster, family, service, tags, vcpu_milli, memory_mib, scratch_mib, begun_ms, noted_ms, ended_ms,
                        cpu_us, received_bytes, sent_bytes, read_bytes, written_bytes
                 FROM usage WHERE noted_ms >= ?1 ORDER BY noted_ms, task",
            )?;
            let mut rows = statement.query([to_integer(since_ms)])?;
            while let Some(row) = rows.next()? {
                each(read(row)?);
            }
            Ok(())
        })
    }

    /// Forgets what tasks have used that ended long ago; of how many.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn forget_usage(&self, now_ms: u64) -> Result<usize, StoreError> {
        self.write(Durability::Quick, "forget old usage", |connection| {
            let before = to_integer(now_ms.saturating_sub(USAGE_KEPT_MS));
            Ok(connection.execute("DELETE FROM usage WHERE noted_ms < ?1", [before])?)
        })
    }
}

/// Notes what a task that has stopped has used.
pub(super) fn close(connection: &Transaction<'_>, record: &TaskRecord) -> Result<(), Cause> {
    let (Some(begun_ms), Some(stopped_ms)) = (record.times.connected_ms, record.times.stopped_ms) else {
        return Ok(());
    };
    let Some(used) = record.used else {
        // Nobody saw its end, as when the host lost its power: what was noted last is what is known.
        connection
            .prepare_cached("UPDATE usage SET ended_ms = noted_ms WHERE task = ?1 AND ended_ms IS NULL")?
            .execute([&record.id])?;
        return Ok(());
    };
    let ended_ms = match record.times.ran_ms {
        Some(ran_ms) => begun_ms + ran_ms,
        None => record.times.execution_stopped_ms.unwrap_or(stopped_ms).max(begun_ms),
    };
    let note = Note {
        record,
        begun_ms,
        now_ms: ended_ms,
        has_ended: true,
        used,
    };
    note.put(connection)
}

impl Note<'_> {
    fn put(&self, connection: &Transaction<'_>) -> Result<(), Cause> {
        let Self { record, used, .. } = self;
        let mut statement = connection.prepare_cached(
            "INSERT INTO usage (task, name, cluster, family, service, tags, vcpu_milli, memory_mib, scratch_mib, begun_ms, noted_ms, ended_ms,
                                cpu_us, received_bytes, sent_bytes, read_bytes, written_bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT (task) DO UPDATE SET tags = excluded.tags, noted_ms = excluded.noted_ms, ended_ms = excluded.ended_ms,
                cpu_us = excluded.cpu_us, received_bytes = excluded.received_bytes, sent_bytes = excluded.sent_bytes, read_bytes = excluded.read_bytes,
                written_bytes = excluded.written_bytes WHERE ended_ms IS NULL",
        )?;
        let plan = &record.plan;
        let now_ms = to_integer(self.now_ms);
        statement.execute(params![
            &record.id,
            &record.name,
            &record.cluster,
            record.definition.split(':').next().unwrap_or_default(),
            record.service.as_ref().map(|origin| &origin.service),
            to_text(&tags(record))?,
            plan.vcpu_milli,
            plan.memory_mib,
            plan.scratch_mib,
            to_integer(self.begun_ms),
            now_ms,
            self.has_ended.then_some(now_ms),
            to_integer(used.cpu_us),
            to_integer(used.received_bytes),
            to_integer(used.sent_bytes),
            to_integer(used.read_bytes),
            to_integer(used.written_bytes),
        ])?;
        Ok(())
    }
}

/// What a task is added up by beside its names: its tags, and the labels of its containers, which is what `mote run` gives it.
fn tags(record: &TaskRecord) -> Vec<(String, String)> {
    let mut tags = record.tags.clone();
    for (key, value) in record.plan.containers.iter().flat_map(|container| &container.labels) {
        if !tags.iter().any(|(known, _)| known == key) {
            tags.push((key.clone(), value.clone()));
        }
    }
    tags
}

fn read(row: &Row<'_>) -> Result<UsageRow, Cause> {
    let number = |index| Ok::<u64, rusqlite::Error>(from_integer(row.get(index)?));
    let tags: String = row.get(5)?;
    let ended_ms: Option<i64> = row.get(11)?;
    Ok(UsageRow {
        task: row.get(0)?,
        name: row.get(1)?,
        cluster: row.get(2)?,
        family: row.get(3)?,
        service: row.get(4)?,
        tags: serde_json::from_str(&tags)?,
        vcpu_milli: number(6)?,
        memory_mib: number(7)?,
        scratch_mib: number(8)?,
        begun_ms: number(9)?,
        until_ms: number(10)?,
        has_ended: ended_ms.is_some(),
        used: Used {
            cpu_us: number(12)?,
            received_bytes: number(13)?,
            sent_bytes: number(14)?,
            read_bytes: number(15)?,
            written_bytes: number(16)?,
        },
    })
}
