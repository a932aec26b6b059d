//! What tasks have used is noted, closed, and outlives their records.

use super::*;
use crate::ports::Records;
use crate::store::tasks::tests::record;

const USED: Used = Used {
    cpu_us: 5,
    received_bytes: 4,
    sent_bytes: 3,
    read_bytes: 2,
    written_bytes: 1,
};

fn open(directory: &tempfile::TempDir) -> Store {
    Store::open(&directory.path().join("mote.db")).unwrap()
}

fn running(begun_ms: u64) -> TaskRecord {
    let mut task = record("t", "web:1");
    task.times.connected_ms = Some(begun_ms);
    task.times.connected_monotonic_ms = Some(begun_ms);
    task.tags = vec![("team".to_owned(), "blue".to_owned())];
    let container = serde_json::json!({
        "name": "app", "image": "web", "pull": "Missing", "is_essential": true, "env": [], "secrets": [], "stdin": false, "cpu_units": 0,
        "depends_on": [], "stop_timeout_seconds": 30, "ulimits": [], "capabilities_added": [], "capabilities_dropped": [],
        "no_new_privileges": false, "is_read_only": false, "has_init_process": false, "mounts": [], "hosts": [],
        "labels": [["team", "red"], ["stage", "test"]], "logging": {},
    });
    task.plan.containers = vec![serde_json::from_value(container).unwrap()];
    task
}

fn stopped(mut task: TaskRecord, ended_ms: u64) -> TaskRecord {
    task.status = api::task::Status::Stopped;
    task.times.execution_stopped_ms = Some(ended_ms);
    task.times.stopped_ms = Some(ended_ms + 7);
    task
}

fn rows(store: &Store, since_ms: u64) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    store.usage(since_ms, |row| rows.push(row)).unwrap();
    rows
}

#[test]
fn a_clock_that_was_set_counts_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut task = running(1_000);
    task.times.connected_monotonic_ms = Some(70);
    store.note_usage(&[(Arc::new(task.clone()), USED)], 2_070).unwrap();
    assert_eq!(rows(&store, 0)[0].until_ms, 3_000);
    task = stopped(task, 86_400_000);
    task.times.ran_ms = Some(3_000);
    task.used = Some(USED);
    store.put(&[&task]).unwrap();
    assert_eq!(rows(&store, 0)[0].until_ms, 4_000);
}

#[test]
fn what_a_task_used_outlives_its_record() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut task = stopped(running(1_000), 4_000);
    task.used = Some(USED);
    store.put(&[&task]).unwrap();
    store.remove(&task.id).unwrap();
    drop(store);
    let store = open(&directory);
    let [row] = &rows(&store, 4_000)[..] else { panic!() };
    assert_eq!(
        (row.begun_ms, row.until_ms, row.has_ended, row.used),
        (1_000, 4_000, true, USED)
    );
    let tags = [("team", "blue"), ("stage", "test")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(row.tags, tags);
    assert_eq!(rows(&store, 4_001), []);
}

#[test]
fn a_task_that_nobody_saw_end_ended_when_it_was_noted_last() {
    let store = open(&tempfile::tempdir().unwrap());
    let task = running(1_000);
    store
        .note_usage(&[(Arc::new(task.clone()), Used::default())], 2_000)
        .unwrap();
    store.note_usage(&[(Arc::new(task.clone()), USED)], 3_000).unwrap();
    assert!(!rows(&store, 0)[0].has_ended);
    store.put(&[&stopped(task.clone(), 9_000)]).unwrap();
    let row = &rows(&store, 0)[0];
    assert_eq!((row.until_ms, row.has_ended, row.used), (3_000, true, USED));
    // One that was on its way meanwhile changes nothing any more.
    store
        .note_usage(&[(Arc::new(task.clone()), Used::default())], 10_000)
        .unwrap();
    assert_eq!(&rows(&store, 0)[0], row);
}

#[test]
fn a_task_whose_guest_never_answered_has_used_nothing() {
    let store = open(&tempfile::tempdir().unwrap());
    let mut task = stopped(running(1_000), 4_000);
    task.times.connected_ms = None;
    task.used = Some(USED);
    store.put(&[&task]).unwrap();
    store.note_usage(&[(Arc::new(task.clone()), USED)], 5_000).unwrap();
    assert_eq!(rows(&store, 0), []);
}

#[test]
fn it_is_forgotten_after_more_than_a_year() {
    let store = open(&tempfile::tempdir().unwrap());
    let mut task = stopped(running(1_000), 4_000);
    task.used = Some(USED);
    store.put(&[&task]).unwrap();
    assert_eq!(store.forget_usage(4_000 + USAGE_KEPT_MS).unwrap(), 0);
    assert_eq!(store.forget_usage(4_001 + USAGE_KEPT_MS).unwrap(), 1);
    assert_eq!(rows(&store, 0), []);
}
