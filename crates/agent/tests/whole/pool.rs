//! The pool: filled, taken from, refilled, drained.

use api::task::{Exit, Origin, Status};
use serde_json::json;

use super::bench::{Bench, request};
use super::script::Script;

fn working() -> Script {
    Script::running().then(json!({"stdout": "x"})).exits(7)
}

/// The VMMs that were started and still are there.
fn living(bench: &Bench) -> Vec<u32> {
    let processes = bench.cgroups.processes.lock().unwrap().clone();
    let is_there = |process: &u32| std::path::Path::new(&format!("/proc/{process}")).exists();
    processes.into_iter().filter(is_there).collect()
}

fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn clones_wait_taken_ones_are_replaced_and_the_end_leaves_none() {
    let bench = Bench::start_with(&[("script", &working())], 3).await;
    bench.waiting(3).await;
    for _ in 0..5 {
        let task = bench.run(|_| ()).await;
        assert_eq!((task.exit, task.origin), (Some(Exit::Code(7)), Some(Origin::Pool)));
        bench.waiting(3).await;
    }
    assert_eq!(bench.builds(), 1);
    bench.finish().await;
}

#[tokio::test]
async fn a_clone_that_is_taken_gets_the_bounds_of_its_task() {
    let bench = Bench::start_with(&[("script", &working())], 1).await;
    bench.waiting(1).await;
    let before = bench.cgroups.memory.lock().unwrap().last().cloned().unwrap();
    bench.run(|request| request.memory_mib = 1000).await;
    let bounds = bench.cgroups.memory.lock().unwrap().clone();
    let own: Vec<u64> = bounds
        .into_iter()
        .filter(|(id, _)| *id == before.0)
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(own[0], before.1);
    assert!(own[1] > 1000 << 20, "{own:?}");
    bench.finish().await;
}

#[tokio::test]
async fn a_burst_beyond_the_pool_is_cloned_on_the_spot() {
    let bench = Bench::start_with(&[("script", &working())], 2).await;
    bench.waiting(2).await;
    let runs = futures_util::future::join_all((0..8).map(|_| bench.run(|_| ()))).await;
    let came = |origin| runs.iter().filter(|task| task.origin == Some(origin)).count();
    assert_eq!((came(Origin::Pool), came(Origin::Clone)), (2, 6));
    assert!(runs.iter().all(|task| task.exit == Some(Exit::Code(7))));
    bench.waiting(2).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_clone_that_dies_while_it_waits_is_replaced() {
    let bench = Bench::start_with(&[("script", &working())], 1).await;
    bench.waiting(1).await;
    let dead = living(&bench);
    assert_eq!(dead.len(), 1);
    kill(dead[0]);
    bench.waiting(0).await;
    bench.waiting(1).await;
    assert!(!living(&bench).contains(&dead[0]));
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Pool));
    bench.finish().await;
}

#[tokio::test]
async fn clones_that_cannot_wait_do_not_keep_tasks_from_running() {
    let failing = Script::empty()
        .then(json!({"complain": "no memory"}))
        .then(json!({"exit": 1}));
    let bench = Bench::start_with(&[("script", &working()), ("script.waiting", &failing)], 2).await;
    let task = bench.run(|_| ()).await;
    assert_eq!((task.exit, task.origin), (Some(Exit::Code(7)), Some(Origin::Boot)));
    bench.finish().await;
}

#[tokio::test]
async fn pressure_gives_clones_back_and_its_end_brings_them_again() {
    let bench = Bench::start_with(&[("script", &working())], 2).await;
    bench.waiting(2).await;
    bench.memory_pressure.send_replace(true);
    bench.waiting(0).await;
    while !living(&bench).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
    bench.memory_pressure.send_replace(false);
    bench.waiting(2).await;
    bench.finish().await;
}

#[tokio::test]
async fn another_template_drains_the_pool() {
    let bench = Bench::start_with(&[("script", &working())], 2).await;
    bench.waiting(2).await;
    let before = living(&bench);
    bench.core.templates().build(true).await.unwrap();
    while bench.core.templates().list().len() > 1 {
        tokio::task::yield_now().await;
    }
    bench.waiting(2).await;
    assert!(living(&bench).iter().all(|process| !before.contains(process)));
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Pool));
    bench.finish().await;
}

#[tokio::test]
async fn clones_of_replaced_ingredients_are_replaced_too() {
    let bench = Bench::start_with(&[("script", &working())], 1).await;
    bench.waiting(1).await;
    std::fs::write(bench.directory.path().join("vmlinux"), "another kernel").unwrap();
    let key = bench.template().key;
    // What changed is seen when the pool is filled again.
    bench.run(|_| ()).await;
    while bench.core.templates().ready().is_none() || bench.template().key == key {
        tokio::task::yield_now().await;
    }
    bench.waiting(1).await;
    assert_eq!(bench.builds(), 2);
    bench.finish().await;
}

#[tokio::test]
async fn nothing_is_refilled_while_a_task_starts() {
    let slow = Script::empty().then(json!("runnable")).then(json!("hang"));
    let bench = Bench::start_with(&[("script", &slow)], 1).await;
    bench.waiting(1).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Pending).await;
    assert_eq!(living(&bench).len(), 1);
    bench
        .client
        .stop_task(&task.id, api::task::StopRequest::default())
        .await
        .unwrap();
    bench.waiting(1).await;
    bench.finish().await;
}
