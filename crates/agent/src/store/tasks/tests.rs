//! Records are kept, listed and forgotten.

use protocol::vmm::Limits;

use super::*;
use crate::record::{Plan, Stop, StopCode, Times};

pub fn record(id: &str, definition: &str) -> TaskRecord {
    TaskRecord {
        id: id.to_owned(),
        cluster: "default".to_owned(),
        name: id.to_owned(),
        definition: definition.to_owned(),
        group: "g".to_owned(),
        started_by: None,
        service: None,
        tags: vec![],
        echoed: serde_json::Map::new(),
        plan: Plan {
            vcpu_milli: 250,
            memory_mib: 128,
            scratch_mib: 64,
            scratch_inodes: None,
            limits: Limits::default(),
            hostname: None,
            waits_for_vcpus: false,
            time_limit_seconds: None,
            can_execute: false,
            network: None,
            sysctls: vec![],
            volumes: vec![],
            containers: vec![],
        },
        is_removed_when_stopped: false,
        is_wanted: true,
        status: Status::Provisioning,
        version: 1,
        times: Times::default(),
        stop: None,
        clock: api::task::ClockPoints::default(),
        origin: None,
        network: None,
        containers: vec![],
        used: None,
        core: serde_json::Value::Null,
    }
}

fn stopped(mut record: TaskRecord, stopped_ms: u64) -> TaskRecord {
    record.status = Status::Stopped;
    record.times.stopped_ms = Some(stopped_ms);
    let reason = "because".to_owned();
    record.stop = Some(Stop {
        code: StopCode::UserInitiated,
        reason,
    });
    record
}

fn open(directory: &tempfile::TempDir) -> Store {
    Store::open(&directory.path().join("mote.db")).unwrap()
}

#[test]
fn records_survive_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (record("a", "web:1"), record("b", "web:2"));
    open(&directory).put(&[&first, &second]).unwrap();
    let store = open(&directory);
    assert_eq!(store.unfinished().unwrap(), vec![first.clone(), second.clone()]);
    let second = stopped(second, 5);
    store.put(&[&second]).unwrap();
    assert_eq!(store.unfinished().unwrap(), [first]);
    assert_eq!(store.stopped(9).unwrap(), std::slice::from_ref(&second));
    assert_eq!(store.task("b").unwrap(), Some(second));
    store.remove("b").unwrap();
    assert_eq!(store.task("b").unwrap(), None);
}

#[test]
fn those_that_stopped_last_come_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for (id, stopped_ms) in [("a", 3), ("b", 1), ("c", 2)] {
        store.put(&[&stopped(record(id, "web:1"), stopped_ms)]).unwrap();
    }
    let ids: Vec<_> = store.stopped(2).unwrap().into_iter().map(|record| record.id).collect();
    assert_eq!(ids, ["c", "a"]);
}

#[test]
fn lists_are_filtered_and_go_on_where_they_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut other = record("e", "db:1");
    other.started_by = Some("me".to_owned());
    let records = [
        record("a", "web:1"),
        record("b", "web:2"),
        other,
        stopped(record("d", "web:1"), 1),
    ];
    store.put(&records.iter().collect::<Vec<_>>()).unwrap();
    let filter = TaskFilter {
        cluster: "default",
        is_wanted: true,
        count_max: 2,
        ..TaskFilter::default()
    };
    let page = store.list_tasks(&filter).unwrap();
    assert_eq!(page.ids, ["e", "b"]);
    let next = store
        .list_tasks(&TaskFilter {
            behind: page.next,
            ..filter.clone()
        })
        .unwrap();
    assert_eq!((next.ids, next.next), (vec!["a".to_owned()], None));
    let ids = |filter| store.list_tasks(&filter).unwrap().ids;
    assert_eq!(
        ids(TaskFilter {
            family: Some("web"),
            ..filter.clone()
        }),
        ["b", "a"]
    );
    assert_eq!(
        ids(TaskFilter {
            started_by: Some("me"),
            ..filter.clone()
        }),
        ["e"]
    );
    assert_eq!(
        ids(TaskFilter {
            is_wanted: false,
            ..filter.clone()
        }),
        ["d"]
    );
    assert!(
        ids(TaskFilter {
            cluster: "other",
            ..filter
        })
        .is_empty()
    );
    assert_eq!(store.count_tasks("default").unwrap(), (0, 3));
    assert!(store.is_definition_used("db:1").unwrap());
    assert!(!store.is_definition_used("db:2").unwrap());
    let service = serde_json::json!({"deployments": [{"definition": "web:9"}, {"definition": "db:2"}]});
    let row = crate::store::ServiceRow {
        cluster: "default",
        name: "web",
        is_active: true,
        record: &service,
    };
    store.put_service::<_, ()>(&row, &[]).unwrap();
    assert!(store.is_definition_used("db:2").unwrap());
    assert!(!store.is_definition_used("db:3").unwrap());
}

#[test]
fn old_tasks_expire_when_there_are_too_many() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let put = |from: usize, to: usize| {
        let records: Vec<_> = (from..to)
            .map(|n| stopped(record(&n.to_string(), "web:1"), n as u64))
            .collect();
        store.put(&records.iter().collect::<Vec<_>>()).unwrap();
    };
    let expired = |now_ms| store.expired_tasks(now_ms).unwrap();
    let later = STOPPED_KEPT_MS + 1_000_000;
    put(0, STOPPED_KEPT_COUNT);
    assert!(expired(later).is_empty());
    put(STOPPED_KEPT_COUNT, STOPPED_KEPT_COUNT + 3);
    assert!(expired(STOPPED_KEPT_MS).is_empty());
    assert_eq!(expired(STOPPED_KEPT_MS + 2), ["0", "1"]);
    assert_eq!(expired(later), ["0", "1", "2"]);
}
