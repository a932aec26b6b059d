//! Tasks that fail, each in its own way: one sentence says why, and nothing is left.

use api::error::ErrorCode;
use api::task::{Exit, RunRequest, Status, StopRequest};
use serde_json::{Value, json};

use super::bench::{Bench, config, request};
use super::script::Script;

/// Runs `script`: the task fails, and its reason has `words` in it.
async fn check(script: Script, words: &str) {
    let bench = Bench::start(&script).await;
    let task = bench.run(|_| ()).await;
    let reason = task.stopped_reason.unwrap_or_default();
    assert_eq!(task.exit, Some(Exit::Failed), "{reason}");
    assert!(reason.contains(words), "{reason:?} does not say {words:?}");
    bench.finish().await;
}

async fn check_refused(change: impl FnOnce(&mut RunRequest), code: ErrorCode, words: &str) {
    let bench = Bench::start(&Script::empty()).await;
    let error = bench.client.create_task(&request(change)).await.unwrap_err();
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(bench.client.tasks().await.unwrap(), []);
    bench.finish().await;
}

#[tokio::test]
async fn a_vmm_that_dies_is_reported_from_every_step_on() {
    for len in 0..=7 {
        let script = Script::running()
            .first(len)
            .then(json!({"complain": "out of luck"}))
            .then(json!({"exit": 1}));
        check(script, "out of luck").await;
    }
}

#[tokio::test]
async fn a_vmm_that_crashes_is_told_by_its_signal() {
    // The first process of a namespace, which a VMM is under root, is not ended by a signal that it sends itself, so what follows ends it.
    let signal = if rustix::process::geteuid().is_root() { 11 } else { 6 };
    let expected = format!("ended by signal {signal}");
    check(Script::running().first(2).then(json!("abort")), &expected).await;
}

#[tokio::test]
async fn a_guest_kernel_that_panics_is_told_in_the_vmms_words() {
    let ended = json!({"ended": ["guest_panic", "the guest kernel panicked: VFS: cannot open root device"]});
    check(
        Script::running().then(ended).then(json!({"exit": 3})),
        "cannot open root device",
    )
    .await;
}

#[tokio::test]
async fn output_before_a_crash_is_not_lost() {
    let script = Script::running()
        .then(json!({"flood": 1_000_000}))
        .then(json!({"exit": 3}));
    let bench = Bench::start(&script).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let (received, ended) = super::attach::receive(&bench, &task.id).await;
    assert_eq!(received.stdout.len(), 1_000_000);
    assert_eq!(ended.exit, Some(Exit::Failed));
    bench.finish().await;
}

#[tokio::test]
async fn an_exit_that_was_reported_counts_although_the_vmm_dies() {
    let script = Script::running()
        .then(json!({"exited": {"code": 5}}))
        .then(json!({"exit": 1}));
    let bench = Bench::start(&script).await;
    assert_eq!(bench.run(|_| ()).await.exit, Some(Exit::Code(5)));
    bench.finish().await;
}

fn after_start(step: Value) -> Script {
    Script::running().first(4).then(step).then(json!("hang"))
}

#[tokio::test]
async fn a_guest_agent_that_breaks_the_protocol_ends_the_task() {
    check(
        Script::empty().then(json!({"hello": 99})).then(json!("hang")),
        "version 99",
    )
    .await;
    check(
        Script::empty()
            .then(json!({"hello": protocol::guest::VERSION}))
            .then(json!("nonsense"))
            .then(json!("hang")),
        "nonsense",
    )
    .await;
    check(after_start(json!({"prepared": 5})), "process 5").await;
    check(after_start(json!({"exited_of": [5, {"code": 0}]})), "process 5").await;
    check(
        after_start(json!({"failed": "cannot mount the rootfs"})),
        "cannot mount the rootfs",
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_nobody_expects_ends_the_task() {
    check(after_start(json!({"stray_piece": 5})), "process 5").await;
}

#[tokio::test]
async fn a_cpu_limit_that_cannot_be_set_keeps_the_process_from_running() {
    let bench = Bench::start(&Script::running().exits(0)).await;
    bench
        .cgroups
        .refuse_limits
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let task = bench.run(|_| ()).await;
    assert_eq!(task.exit, Some(Exit::Failed));
    assert_eq!(task.clock.process_started_ns, None);
    bench.finish().await;
}

#[tokio::test]
async fn a_guest_that_does_not_boot_can_be_stopped() {
    let bench = Bench::start(&Script::empty().then(json!("runnable")).then(json!("hang"))).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Pending).await;
    let stopped = bench.client.stop_task(&task.id, StopRequest::default()).await.unwrap();
    assert_eq!(stopped.exit, None);
    bench.finish().await;
}

#[tokio::test]
async fn a_guest_that_does_not_shut_down_loses_its_microvm_and_keeps_its_exit_code() {
    let script = Script::running()
        .then(json!("close"))
        .then(json!({"exited": {"code": 4}}))
        .then(json!("hang"));
    let bench = Bench::start(&script).await;
    assert_eq!(bench.run(|_| ()).await.exit, Some(Exit::Code(4)));
    bench.finish().await;
}

#[tokio::test]
async fn a_scratch_disk_that_cannot_be_made_is_named() {
    let bench = Bench::start(&Script::empty()).await;
    let config = config(bench.directory.path());
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    std::fs::remove_dir_all(&config.state).unwrap();
    std::fs::write(&config.state, "in the way").unwrap();
    let (_, ended) = super::attach::receive(&bench, &task.id).await;
    assert_eq!(ended.exit, Some(Exit::Failed));
    assert!(ended.stopped_reason.unwrap().contains("scratch disk"));
    bench.finish().await;
}

#[tokio::test]
async fn what_is_missing_on_the_host_is_named_with_its_remedy() {
    let bench = Bench::start(&Script::empty()).await;
    std::fs::remove_file(bench.directory.path().join("vmlinux")).unwrap();
    let error = bench.client.create_task(&request(|_| ())).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::HostUnable));
    assert!(error.to_string().contains("cannot find the guest kernel at"), "{error}");
    assert!(error.to_string().contains("make kernel"), "{error}");
    bench.finish().await;
}

#[tokio::test]
async fn a_host_that_cannot_meter_runs_nothing() {
    let bench = Bench::start(&Script::empty()).await;
    bench
        .cgroups
        .are_missing
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let error = bench.client.create_task(&request(|_| ())).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::HostUnable));
    assert!(
        error.to_string().contains("cgroup v2 is not mounted at /nowhere"),
        "{error}"
    );
    bench.finish().await;
}

#[tokio::test]
async fn what_cannot_run_is_refused_before_anything_is_made() {
    check_refused(
        |request| request.image = "nope".into(),
        ErrorCode::ImageNotFound,
        "nope",
    )
    .await;
    check_refused(|request| request.memory_mib = 5, ErrorCode::InvalidParameter, "6 MiB").await;
    check_refused(
        |request| request.vcpu_milli = 0,
        ErrorCode::InvalidParameter,
        "0.001 vCPU",
    )
    .await;
    check_refused(
        |request| request.command.clear(),
        ErrorCode::InvalidParameter,
        "no command specified",
    )
    .await;
    check_refused(
        |request| request.name = Some("a b".into()),
        ErrorCode::InvalidParameter,
        "no name",
    )
    .await;
}
