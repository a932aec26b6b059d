//! What the host agent must not forget.

use std::path::Path;

use agent::store::Store;

/// Where the second process has its database.
const PATH: &str = "MOTE_TEST_DATABASE";

/// So many are there before anything fails, and as many are added each time.
const CLUSTERS: usize = 10;

/// The second process of the test below; in the first one there is nothing to do. Says what was acknowledged.
#[test]
fn a_database_in_a_process_of_its_own() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    for number in 0..CLUSTERS {
        let name = format!("{}-{number}", std::process::id());
        if store.put_cluster(&name, true, &name).is_ok() {
            println!("\ncluster {name}");
        }
        if store.begin_token("operation", &name, "digest", &[], 1).is_ok() {
            println!("\ntoken {name}");
        }
    }
}

#[test]
fn what_was_acknowledged_is_kept_whatever_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("mote.db");
    let before: Vec<_> = (0..CLUSTERS).map(|number| format!("before-{number}")).collect();
    {
        let store = Store::open(&path).unwrap();
        for name in &before {
            store.put_cluster(name, true, name).unwrap();
        }
    }
    let [log, memory] = ["mote.db-wal", "mote.db-shm"].map(|name| path.with_file_name(name));
    let paths: [&Path; 4] = [&path, &log, &memory, path.parent().unwrap()];
    let hits = super::strike(
        "database::a_database_in_a_process_of_its_own",
        PATH,
        &paths,
        |fault, output| {
            let store = Store::open(&path).unwrap_or_else(|error| panic!("{fault}: {error}"));
            let there = |name: &str| store.cluster::<String>(name).unwrap().as_deref() == Some(name);
            for name in &before {
                assert!(there(name), "{fault}: {name} is gone");
            }
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                match line.split_once(' ') {
                    Some(("cluster", name)) => assert!(there(name), "{fault}: {line} is gone"),
                    Some(("token", name)) => assert!(
                        store.token("operation", name, 1).unwrap().is_some(),
                        "{fault}: {line} is gone"
                    ),
                    _ => {}
                }
            }
            // And it goes on.
            store.put_cluster("after", true, &fault).unwrap();
        },
    );
    assert!(hits >= 10, "only {hits} faults hit");
}
