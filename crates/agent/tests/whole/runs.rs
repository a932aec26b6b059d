//! Tasks that go as they should.

use agent::sizing::CpuLimit;
use api::client::ClientError;
use api::error::ErrorCode;
use api::task::{Exit, Status, StopRequest};
use serde_json::json;

use super::bench::{Bench, request};
use super::script::Script;

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Option<ErrorCode> {
    result.unwrap_err().code()
}

#[tokio::test]
async fn exit_codes_and_signals_come_back_exactly() {
    for (script, exit) in [
        (Script::running().exits(0), Exit::Code(0)),
        (Script::running().exits(3), Exit::Code(3)),
        (Script::running().killed_by(9), Exit::Signal(9)),
    ] {
        let bench = Bench::start(&script).await;
        let task = bench.run(|_| ()).await;
        assert_eq!(task.exit, Some(exit), "{task:?}");
        assert_eq!(task.status, Status::Stopped);
        bench.finish().await;
    }
}

#[tokio::test]
async fn a_task_passes_all_clock_points_and_is_limited_once() {
    let bench = Bench::start(&Script::running().then(json!({"stdout": "x"})).exits(0)).await;
    let task = bench.run(|_| ()).await;
    for (name, time) in task.clock.named() {
        assert!(time.is_some(), "{name} is missing");
    }
    assert_eq!(task.image, "docker.io/library/app:latest");
    assert_eq!(task.command, ["run"]);
    let expected = CpuLimit {
        quota_microseconds: 5_000,
        period_microseconds: 20_000,
    };
    assert_eq!(*bench.cgroups.limits.lock().unwrap(), [expected]);
    bench.finish().await;
}

#[tokio::test]
async fn a_start_that_fails_has_the_exit_code_of_a_shell() {
    for (reason, exit) in [
        ("not_found", Exit::NotFound),
        ("not_executable", Exit::NotExecutable),
        ("other", Exit::Failed),
    ] {
        let steps = Script::running()
            .first(6)
            .then(json!({"start_failed": [0, reason, "no such program"]}));
        let bench = Bench::start(&steps.then(json!("expect_shutdown")).then(json!({"exit": 0}))).await;
        let task = bench.run(|_| ()).await;
        assert_eq!(task.exit, Some(exit));
        assert_eq!(
            task.stopped_reason.as_deref(),
            Some("CannotStartContainerError: no such program")
        );
        bench.finish().await;
    }
}

#[tokio::test]
async fn a_stop_sends_the_images_signal() {
    let bench = Bench::start(&Script::running().then(json!({"expect_signal": 3})).exits(0)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Running).await;
    let stopped = bench
        .client
        .stop_task(&task.name, StopRequest::default())
        .await
        .unwrap();
    assert_eq!(stopped.exit, Some(Exit::Code(0)));
    assert_eq!(stopped.stopped_reason.as_deref(), Some("Task stopped by user"));
    bench.finish().await;
}

#[tokio::test]
async fn a_process_that_ignores_its_stop_signal_is_killed() {
    let script = Script::running()
        .then(json!({"expect_signal": 3}))
        .then(json!({"expect_signal": 9}));
    let bench = Bench::start(&script.killed_by(9)).await;
    let task = bench
        .client
        .create_task(&request(|request| request.stop_timeout_seconds = 1))
        .await
        .unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Running).await;
    let stopped = bench.client.stop_task(&task.id, StopRequest::default()).await.unwrap();
    assert_eq!(stopped.exit, Some(Exit::Signal(9)));
    bench.finish().await;
}

#[tokio::test]
async fn a_stop_without_patience_kills_at_once() {
    let bench = Bench::start(&Script::running().then(json!({"expect_signal": 9})).killed_by(9)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Running).await;
    let stopped = bench
        .client
        .stop_task(
            &task.id,
            StopRequest {
                timeout_seconds: Some(0),
            },
        )
        .await
        .unwrap();
    assert_eq!(stopped.exit, Some(Exit::Signal(9)));
    bench.finish().await;
}

#[tokio::test]
async fn a_time_limit_stops_a_task() {
    let bench = Bench::start(&Script::running().then(json!({"expect_signal": 3})).killed_by(3)).await;
    let task = bench.run(|request| request.timeout_seconds = Some(1)).await;
    assert_eq!(task.exit, Some(Exit::Signal(3)));
    assert!(task.stopped_reason.unwrap().contains("time limit"));
    bench.finish().await;
}

#[tokio::test]
async fn a_created_task_can_be_stopped_and_forgotten() {
    let bench = Bench::start(&Script::empty()).await;
    let task = bench
        .client
        .create_task(&request(|request| request.name = Some("mine".into())))
        .await
        .unwrap();
    assert_eq!(task.status, Status::Provisioning);
    assert_eq!(code(bench.client.remove_task("mine").await), Some(ErrorCode::Conflict));
    let stopped = bench.client.stop_task("mine", StopRequest::default()).await.unwrap();
    assert_eq!((stopped.status, stopped.exit), (Status::Stopped, None));
    bench.client.remove_task(&task.id[..8]).await.unwrap();
    assert_eq!(code(bench.client.task("mine").await), Some(ErrorCode::TaskNotFound));
    bench.finish().await;
}

#[tokio::test]
async fn names_are_unique_until_their_task_is_forgotten() {
    let bench = Bench::start(&Script::running().exits(0)).await;
    let named = |request: &mut api::task::RunRequest| {
        request.name = Some("mine".into());
        request.remove = true;
    };
    let first = bench.client.create_task(&request(named)).await.unwrap();
    assert_eq!(
        code(bench.client.create_task(&request(named)).await),
        Some(ErrorCode::Conflict)
    );
    bench.client.stop_task(&first.id, StopRequest::default()).await.unwrap();
    let task = bench.run(named).await;
    assert_eq!((task.name.as_str(), task.exit), ("mine", Some(Exit::Code(0))));
    bench.finish().await;
}

#[tokio::test]
async fn tasks_are_listed_newest_first() {
    let bench = Bench::start(&Script::empty()).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(bench.client.create_task(&request(|_| ())).await.unwrap().id);
    }
    ids.reverse();
    let listed: Vec<String> = bench
        .client
        .tasks()
        .await
        .unwrap()
        .into_iter()
        .map(|task| task.id)
        .collect();
    assert_eq!(listed, ids);
    bench.finish().await;
}

#[tokio::test]
async fn many_tasks_run_at_the_same_time() {
    let bench = Bench::start(&Script::running().then(json!({"stdout": "x"})).exits(7)).await;
    let runs = futures_util::future::join_all((0..20).map(|_| bench.run(|request| request.remove = true)));
    assert!(runs.await.iter().all(|task| task.exit == Some(Exit::Code(7))));
    bench.finish().await;
}

#[tokio::test]
async fn the_end_of_the_host_agent_stops_its_tasks() {
    let bench = Bench::start(&Script::running().then(json!({"expect_signal": 3})).exits(0)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let mut attached = bench.client.attach(&task.id).await.unwrap().split().0;
    bench.reach(&task.id, Status::Running).await;
    let ended = tokio::spawn(async move { attached.next().await });
    bench.finish().await;
    let Some(api::attach::Frame::Ended(task)) = ended.await.unwrap().unwrap() else {
        panic!("the client did not get the task's end");
    };
    assert!(task.stopped_reason.unwrap().contains("host agent ended"));
}
