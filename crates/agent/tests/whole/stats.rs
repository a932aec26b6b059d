//! What tasks use, and the one request that runs a task.

use api::attach::Frame;
use api::error::ErrorCode;
use api::task::{Exit, Status, StopRequest};
use serde_json::json;

use super::bench::{Bench, request};
use super::script::Script;

#[tokio::test]
async fn one_request_creates_starts_and_attaches() {
    let bench = Bench::start(&Script::running().then(json!({"stdout": "x"})).exits(7)).await;
    let (id, attached) = bench.client.run(&request(|_| ())).await.unwrap();
    let mut reader = attached.split().0;
    assert_eq!(reader.next().await.unwrap(), Some(Frame::Stdout(b"x".to_vec())));
    let Some(Frame::Ended(task)) = reader.next().await.unwrap() else {
        panic!("the stream did not end with the task")
    };
    assert_eq!((task.id, task.exit), (id, Some(Exit::Code(7))));
    bench.finish().await;
}

#[tokio::test]
async fn a_request_that_cannot_run_is_refused_in_a_document() {
    let bench = Bench::start(&Script::empty()).await;
    let error = bench
        .client
        .run(&request(|request| request.image = "none".into()))
        .await;
    assert_eq!(error.err().unwrap().code(), Some(ErrorCode::ImageNotFound));
    let error = bench.client.run(&request(|request| request.memory_mib = 0)).await;
    assert_eq!(error.err().unwrap().code(), Some(ErrorCode::InvalidParameter));
    assert!(bench.client.tasks().await.unwrap().is_empty());
    bench.finish().await;
}

#[tokio::test]
async fn a_running_task_tells_what_it_uses_and_others_do_not() {
    let bench = Bench::start(&Script::running().then(json!({"expect_signal": 9})).killed_by(9)).await;
    let waiting = bench.client.create_task(&request(|_| ())).await.unwrap();
    let running = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&running.id).await.unwrap();
    bench.reach(&running.id, Status::Running).await;
    // What the kernel would have in the cgroup.
    let entry = bench.core.entry(&running.id).unwrap();
    let cgroup = entry.whereabouts.borrow().clone().unwrap().cgroup;
    std::fs::create_dir_all(&cgroup).unwrap();
    std::fs::write(cgroup.join("cpu.stat"), "usage_usec 7\n").unwrap();

    let stats = bench.client.task_stats(&running.name).await.unwrap();
    assert_eq!((&stats.id, stats.vcpu_milli, stats.memory_mib), (&running.id, 250, 64));
    assert_eq!(stats.cpu.used_us, 7);
    // A fake VMM has no guest, but a program, a heap and a stack.
    assert!(stats.memory.vmm.proportional_bytes > 0, "{stats:?}");
    assert_eq!(stats.memory.total, stats.memory.vmm, "{stats:?}");
    assert!(stats.sampled_ns > stats.accepted_ns);
    let all = bench.client.stats().await.unwrap();
    assert_eq!(all.iter().map(|stats| &stats.id).collect::<Vec<_>>(), [&running.id]);

    let code = async |task: &str| bench.client.task_stats(task).await.unwrap_err().code();
    assert_eq!(code(&waiting.id).await, Some(ErrorCode::Conflict));
    assert_eq!(code("none").await, Some(ErrorCode::TaskNotFound));
    let timeout_seconds = Some(0);
    bench
        .client
        .stop_task(&running.id, StopRequest { timeout_seconds })
        .await
        .unwrap();
    assert_eq!(code(&running.id).await, Some(ErrorCode::Conflict));
    assert!(bench.client.stats().await.unwrap().is_empty());
    bench.finish().await;
}

#[tokio::test]
async fn a_template_that_is_not_there_cannot_be_removed() {
    let bench = Bench::start(&Script::empty()).await;
    assert!(bench.client.templates().await.unwrap().templates.is_empty());
    let error = bench.client.remove_template("3f2a").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TemplateNotFound));
    bench.finish().await;
}
