//! Adds up what tasks have reserved and used.

use std::collections::BTreeMap;

use api::usage::{Usage, UsageBy, UsageQuery};

use crate::store::UsageRow;

/// The sums so far.
pub struct Sums {
    query: UsageQuery,
    /// Where each task is for itself.
    single: Vec<Usage>,
    grouped: BTreeMap<String, Usage>,
}

impl Sums {
    /// Nothing yet.
    pub fn new(query: UsageQuery) -> Self {
        Self {
            query,
            single: Vec::new(),
            grouped: BTreeMap::new(),
        }
    }

    /// Adds a task.
    pub fn add(&mut self, row: &UsageRow) {
        let Some(usage) = self.usage(row) else {
            return;
        };
        for key in self.keys(row) {
            add(self.grouped.entry(key).or_default(), &usage);
        }
        if self.query.by == UsageBy::Task {
            self.single.push(Usage {
                key: row.task.clone(),
                name: Some(row.name.clone()),
                ..usage
            });
        }
    }

    /// The sums.
    pub fn finish(self) -> Vec<Usage> {
        let grouped = self.grouped.into_iter().map(|(key, usage)| Usage { key, ..usage });
        self.single.into_iter().chain(grouped).collect()
    }

    /// Under what a task is added up with others.
    fn keys(&self, row: &UsageRow) -> Vec<String> {
        match (self.query.by, &self.query.tag) {
            (UsageBy::Task, _) => vec![],
            (UsageBy::Family, _) => vec![row.family.clone()],
            (UsageBy::Service, _) => vec![row.service.clone().unwrap_or_default()],
            (UsageBy::Cluster, _) => vec![row.cluster.clone()],
            (UsageBy::Tag, Some(tag)) => {
                let value = row.tags.iter().find(|(key, _)| key == tag);
                vec![value.map(|(_, value)| value.clone()).unwrap_or_default()]
            }
            (UsageBy::Tag, None) if row.tags.is_empty() => vec![String::new()],
            (UsageBy::Tag, None) => row.tags.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        }
    }

    /// What one task has reserved in the time asked for, and used; `None` where it did not run then.
    fn usage(&self, row: &UsageRow) -> Option<Usage> {
        let from_ms = row.begun_ms.max(self.query.since_ms.unwrap_or(0));
        let to_ms = row.until_ms.min(self.query.until_ms.unwrap_or(u64::MAX));
        let seconds = to_ms
            .checked_sub(from_ms)?
            .div_ceil(1000)
            .max(self.query.minimum_seconds);
        let times = |reserved: u64| reserved.saturating_mul(seconds);
        Some(Usage {
            key: String::new(),
            name: None,
            tasks: 1,
            running: u64::from(!row.has_ended),
            seconds,
            vcpu_milli_seconds: times(row.vcpu_milli),
            memory_mib_seconds: times(row.memory_mib),
            scratch_mib_seconds: times(row.scratch_mib.saturating_sub(self.query.scratch_free_mib)),
            cpu_used_us: row.used.cpu_us,
            received_bytes: row.used.received_bytes,
            sent_bytes: row.used.sent_bytes,
            read_bytes: row.used.read_bytes,
            written_bytes: row.used.written_bytes,
        })
    }
}

fn add(sum: &mut Usage, usage: &Usage) {
    let pairs = [
        (&mut sum.tasks, usage.tasks),
        (&mut sum.running, usage.running),
        (&mut sum.seconds, usage.seconds),
        (&mut sum.vcpu_milli_seconds, usage.vcpu_milli_seconds),
        (&mut sum.memory_mib_seconds, usage.memory_mib_seconds),
        (&mut sum.scratch_mib_seconds, usage.scratch_mib_seconds),
        (&mut sum.cpu_used_us, usage.cpu_used_us),
        (&mut sum.received_bytes, usage.received_bytes),
        (&mut sum.sent_bytes, usage.sent_bytes),
        (&mut sum.read_bytes, usage.read_bytes),
        (&mut sum.written_bytes, usage.written_bytes),
    ];
    for (sum, more) in pairs {
        *sum = sum.saturating_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Used;

    fn row(task: &str, (begun_ms, until_ms): (u64, u64), tags: &[(&str, &str)]) -> UsageRow {
        UsageRow {
            task: task.to_owned(),
            name: format!("name of {task}"),
            cluster: "default".to_owned(),
            family: "web".to_owned(),
            service: None,
            tags: tags
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            vcpu_milli: 250,
            memory_mib: 64,
            scratch_mib: 100,
            begun_ms,
            until_ms,
            has_ended: true,
            used: Used {
                cpu_us: 10,
                received_bytes: 1,
                sent_bytes: 2,
                read_bytes: 3,
                written_bytes: 4,
            },
        }
    }

    fn sums(query: UsageQuery, rows: &[UsageRow]) -> Vec<Usage> {
        let mut sums = Sums::new(query);
        for row in rows {
            sums.add(row);
        }
        sums.finish()
    }

    fn by(by: UsageBy, tag: Option<&str>) -> UsageQuery {
        UsageQuery {
            by,
            tag: tag.map(str::to_owned),
            ..UsageQuery::default()
        }
    }

    #[test]
    fn seconds_are_rounded_up_for_each_task() {
        let rows = [row("a", (1_000, 3_001), &[]), row("b", (5_000, 5_001), &[])];
        let usage = sums(by(UsageBy::Family, None), &rows);
        let expected = Usage {
            key: "web".to_owned(),
            name: None,
            tasks: 2,
            running: 0,
            seconds: 4,
            vcpu_milli_seconds: 1_000,
            memory_mib_seconds: 256,
            scratch_mib_seconds: 400,
            cpu_used_us: 20,
            received_bytes: 2,
            sent_bytes: 4,
            read_bytes: 6,
            written_bytes: 8,
        };
        assert_eq!(usage, [expected]);
    }

    #[test]
    fn a_task_by_itself_has_its_name() {
        let usage = sums(UsageQuery::default(), &[row("a", (0, 1), &[]), row("b", (0, 2), &[])]);
        let names: Vec<_> = usage
            .iter()
            .map(|usage| (usage.key.as_str(), usage.name.as_deref().unwrap()))
            .collect();
        assert_eq!(names, [("a", "name of a"), ("b", "name of b")]);
    }

    #[test]
    fn a_task_counts_under_each_of_its_tags_or_the_value_of_one() {
        let rows = [
            row("a", (0, 1_000), &[("team", "blue"), ("stage", "test")]),
            row("b", (0, 1_000), &[("team", "red")]),
            row("c", (0, 1_000), &[]),
        ];
        let keys = |query| {
            let usage = sums(query, &rows);
            usage
                .into_iter()
                .map(|usage| (usage.key, usage.tasks))
                .collect::<Vec<_>>()
        };
        let owned = |keys: &[(&str, u64)]| {
            keys.iter()
                .map(|(key, tasks)| ((*key).to_owned(), *tasks))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            keys(by(UsageBy::Tag, None)),
            owned(&[("", 1), ("stage=test", 1), ("team=blue", 1), ("team=red", 1)])
        );
        assert_eq!(
            keys(by(UsageBy::Tag, Some("team"))),
            owned(&[("", 1), ("blue", 1), ("red", 1)])
        );
    }

    #[test]
    fn only_the_time_asked_for_counts_and_the_least_time() {
        let rows = [row("a", (0, 100_000), &[]), row("b", (90_000, 91_000), &[])];
        let query = UsageQuery {
            since_ms: Some(80_000),
            until_ms: Some(95_000),
            minimum_seconds: 10,
            scratch_free_mib: 40,
            ..UsageQuery::default()
        };
        let usage = sums(query, &rows);
        let counted: Vec<_> = usage
            .iter()
            .map(|usage| (usage.seconds, usage.scratch_mib_seconds))
            .collect();
        assert_eq!(counted, [(15, 900), (10, 600)]);
        let later = UsageQuery {
            since_ms: Some(100_001),
            ..UsageQuery::default()
        };
        assert_eq!(sums(later, &rows), []);
    }
}
