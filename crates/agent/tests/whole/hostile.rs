//! Guest agents that lie: each costs the host agent little, its task ends with a reason or can be ended, and no other task notices.

use api::task::{Exit, Status, StopRequest};
use serde_json::{Value, json};

use super::bench::{Bench, request};
use super::script::Script;

/// More messages than a host agent would have memory for, if it kept anything of each.
const FLOOD: u64 = 100_000;

/// How much more memory this process may have after a flood, in KiB.
const GROWTH_KIB_MAX: u64 = 32 << 10;

fn script(until: usize, steps: &[Value]) -> Script {
    let script = Script::running().first(until);
    steps
        .iter()
        .fold(script, |script, step| script.then(step.clone()))
        .then(json!("hang"))
}

/// Runs a guest agent that does `steps` after so many ordinary ones: the task ends with `words`.
async fn check(until: usize, steps: &[Value], words: &str) {
    let bench = Bench::start(&script(until, steps)).await;
    let task = bench.run(|_| ()).await;
    let reason = task.stopped_reason.unwrap_or_default();
    assert_eq!(task.exit, Some(Exit::Failed), "{reason}");
    assert!(reason.contains(words), "{reason:?} does not say {words:?}");
    assert!(reason.len() < 4096 && !reason.contains(char::is_control), "{reason:?}");
    bench.finish().await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn what_a_guest_agent_says_of_a_failure_is_told_in_one_sentence() {
    let long = format!("\u{1b}[2Jcannot mount{}", "\n!".repeat(100_000));
    check(4, &[json!({"failed": long})], "cannot mount").await;
    check(4, &[json!({"start_failed": [0, "other", long]})], "cannot mount").await;
}

#[tokio::test]
async fn the_nonsense_of_a_guest_agent_is_quoted_in_part() {
    let check_version = |version: u32| async move {
        check(2, &[json!({"hello": version})], &format!("version {version}")).await;
    };
    check_version(u32::MAX).await;
    check(4, &[json!("nonsense")], "nonsense").await;
    check(4, &[json!({"piece_at": u64::MAX})], "out of order").await;
    check(4, &[json!({"piece_at": 1})], "out of order").await;
    let hello = json!({"say": [{"hello": {"version": protocol::guest::VERSION}}, 1]});
    check(4, &[hello], "second greeting").await;
    check(4, &[json!({"say": ["resumed", 1]})], "when it was not expected").await;
}

/// Stops a task whose guest agent does not do its part.
async fn stop(bench: &Bench, task: &str) {
    let request = StopRequest {
        timeout_seconds: Some(0),
    };
    bench.client.stop_task(task, request).await.unwrap();
    bench.reach(task, Status::Stopped).await;
}

async fn check_half(until: usize, status: Status) {
    let bench = Bench::start(&script(until, &[json!("half")])).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, status).await;
    stop(&bench, &task.id).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_guest_agent_that_sends_half_a_message_and_no_more_can_be_stopped() {
    tokio::join!(
        check_half(3, Status::Activating),
        check_half(4, Status::Activating),
        check_half(7, Status::Running)
    );
}

/// The messages that a guest may say at any time.
fn floods() -> [Value; 4] {
    let usage = json!({"measured": {"request": 4711, "containers": []}});
    [
        json!({"started": {"process": 0}}),
        json!({"prepared": {"process": 0}}),
        usage,
        json!({"acknowledge": {"process": 0, "stream": "stdin", "offset": 0}}),
    ]
}

#[tokio::test]
async fn a_guest_agent_that_floods_takes_no_memory_and_ends_in_order() {
    for message in floods() {
        let steps = Script::running().then(json!({"say": [message, FLOOD / 100]}));
        let warm = Bench::start(&steps.clone().exits(0)).await;
        assert_eq!(warm.run(|_| ()).await.exit, Some(Exit::Code(0)), "{message}");
        warm.finish().await;
        let bench = Bench::start(&steps.then(json!({"say": [message, FLOOD]})).exits(0)).await;
        let before_kib = resident_kib();
        assert_eq!(bench.run(|_| ()).await.exit, Some(Exit::Code(0)), "{message}");
        let growth_kib = resident_kib().saturating_sub(before_kib);
        assert!(growth_kib < GROWTH_KIB_MAX, "{message}: {growth_kib} KiB");
        bench.finish().await;
    }
}

#[tokio::test]
async fn other_tasks_run_while_guest_agents_flood() {
    let bench = Bench::start(&Script::empty()).await;
    let write = |script: Script| std::fs::write(bench.directory.path().join("script"), script.text()).unwrap();
    let mut flooding = Vec::new();
    for step in [json!({"say": [floods()[0], u64::MAX]}), json!({"flood": u64::MAX})] {
        write(Script::running().then(step));
        let task = bench.client.create_task(&request(|_| ())).await.unwrap();
        bench.client.start_task(&task.id).await.unwrap();
        bench.reach(&task.id, Status::Running).await;
        flooding.push(task.id);
    }
    write(Script::running().exits(3));
    for _ in 0..5 {
        assert_eq!(bench.run(|_| ()).await.exit, Some(Exit::Code(3)));
    }
    tokio::join!(stop(&bench, &flooding[0]), stop(&bench, &flooding[1]));
    bench.finish().await;
}

#[tokio::test]
async fn output_that_has_to_wait_is_not_lost() {
    // More than is taken at once.
    let len = 70 << 20;
    let bench = Bench::start(&Script::running().then(json!({"flood": len})).exits(0)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let (received, ended) = super::attach::receive(&bench, &task.id).await;
    assert_eq!(received.stdout.len(), len);
    assert_eq!(ended.exit, Some(Exit::Code(0)));
    bench.finish().await;
}
