//! Attached clients: output and input, whole and in order.

use api::attach::{Frame, Stop};
use api::task::{Exit, Status, StopRequest, Task, TerminalSize};
use serde_json::json;

use super::bench::{Bench, request};
use super::script::Script;

/// What a client got.
#[derive(Default)]
pub struct Received {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Attaches, and takes everything until the task has ended.
pub async fn receive(bench: &Bench, task: &str) -> (Received, Task) {
    let mut reader = bench.client.attach(task).await.unwrap().split().0;
    let mut received = Received::default();
    loop {
        match reader.next().await.unwrap().expect("the stream ends with the task") {
            Frame::Stdout(bytes) => received.stdout.extend(bytes),
            Frame::Stderr(bytes) => received.stderr.extend(bytes),
            Frame::Ended(task) => {
                assert_eq!(reader.next().await.unwrap(), None, "the end is the last frame");
                return (received, *task);
            }
            other => panic!("a client gets no {other:?}"),
        }
    }
}

#[tokio::test]
async fn streams_are_kept_apart() {
    let script = Script::running()
        .then(json!({"stdout": "out"}))
        .then(json!({"stderr": "err"}))
        .exits(0);
    let bench = Bench::start(&script).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let (received, ended) = receive(&bench, &task.id).await;
    assert_eq!((&received.stdout[..], &received.stderr[..]), (&b"out"[..], &b"err"[..]));
    assert_eq!(ended.exit, Some(Exit::Code(0)));
    bench.finish().await;
}

#[tokio::test]
async fn a_hundred_megabytes_arrive_whole_and_in_order() {
    const LEN: usize = 100_000_000;
    let bench = Bench::start(&Script::running().then(json!({"flood": LEN})).exits(0)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let (received, ended) = receive(&bench, &task.id).await;
    assert_eq!(received.stdout.len(), LEN);
    let wrong = received.stdout.iter().enumerate().find(|(index, byte)| {
        let place = index % 65_521;
        **byte != place.to_le_bytes()[place % 2]
    });
    assert_eq!(wrong, None);
    assert_eq!(ended.exit, Some(Exit::Code(0)));
    bench.finish().await;
}

#[tokio::test]
async fn input_reaches_the_process_and_ends_there() {
    let bench = Bench::start(&Script::running().then(json!("cat")).exits(0)).await;
    let task = bench
        .client
        .create_task(&request(|request| request.stdin = true))
        .await
        .unwrap();
    let (mut reader, mut writer) = bench.client.attach(&task.id).await.unwrap().split();
    for text in ["one ", "two ", "three"] {
        writer.send(&Frame::Stdin(text.into())).await.unwrap();
    }
    writer.send(&Frame::StdinEnd).await.unwrap();
    let mut received = Vec::new();
    let ended = loop {
        match reader.next().await.unwrap().unwrap() {
            Frame::Stdout(bytes) => received.extend(bytes),
            Frame::Ended(task) => break task,
            other => panic!("a client gets no {other:?}"),
        }
    };
    assert_eq!(received, b"one two three");
    assert_eq!(ended.exit, Some(Exit::Code(0)));
    bench.finish().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_input_and_not_the_task() {
    let script = Script::running()
        .then(json!("cat"))
        .then(json!({"expect_signal": 9}))
        .killed_by(9);
    let bench = Bench::start(&script).await;
    let task = bench
        .client
        .create_task(&request(|request| request.stdin = true))
        .await
        .unwrap();
    drop(bench.client.attach(&task.id).await.unwrap());
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
async fn output_that_nobody_takes_does_not_hold_a_task_up() {
    let bench = Bench::start(&Script::running().then(json!({"flood": 10_000_000})).exits(0)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Stopped).await;
    let (received, ended) = receive(&bench, &task.id).await;
    assert_eq!(received.stdout, b"");
    assert_eq!(ended.exit, Some(Exit::Code(0)));
    bench.finish().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_task_back_until_it_is_killed() {
    let script = Script::running().then(json!({"flood": 100_000_000})).exits(0);
    let bench = Bench::start(&script).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let slow = bench.client.attach(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Running).await;
    let kill = bench.client.stop_task(
        &task.id,
        StopRequest {
            timeout_seconds: Some(0),
        },
    );
    // The fake does not hear a signal while it writes: the kill ends in the loss of its microVM.
    assert_eq!(kill.await.unwrap().exit, Some(Exit::Signal(9)));
    drop(slow);
    bench.finish().await;
}

#[tokio::test]
async fn every_attached_client_gets_the_output() {
    let bench = Bench::start(&Script::running().then(json!("cat")).exits(0)).await;
    let task = bench
        .client
        .create_task(&request(|request| request.stdin = true))
        .await
        .unwrap();
    let (_, mut writer) = bench.client.attach(&task.id).await.unwrap().split();
    let (one, other, ()) = tokio::join!(receive(&bench, &task.id), receive(&bench, &task.id), async {
        bench.reach(&task.id, Status::Running).await;
        writer.send(&Frame::Stdin("x".into())).await.unwrap();
        writer.send(&Frame::StdinEnd).await.unwrap();
    });
    assert_eq!(one.1, other.1);
    bench.finish().await;
}

#[tokio::test]
async fn a_terminal_is_told_its_size() {
    let bench = Bench::start(&Script::running().then(json!("expect_resize")).exits(0)).await;
    let with_terminal =
        |request: &mut api::task::RunRequest| request.terminal = Some(TerminalSize { columns: 80, rows: 24 });
    let task = bench.client.create_task(&request(with_terminal)).await.unwrap();
    let (mut reader, mut writer) = bench.client.attach(&task.id).await.unwrap().split();
    bench.reach(&task.id, Status::Running).await;
    writer
        .send(&Frame::Resize(TerminalSize { columns: 132, rows: 43 }))
        .await
        .unwrap();
    assert_eq!(reader.next().await.unwrap(), Some(Frame::Stdout(b"132x43".to_vec())));
    assert!(matches!(reader.next().await.unwrap(), Some(Frame::Ended(_))));
    bench.finish().await;
}

#[tokio::test]
async fn a_client_can_signal_and_stop_its_task() {
    let script = Script::running()
        .then(json!({"expect_signal": 10}))
        .then(json!({"expect_signal": 3}));
    let bench = Bench::start(&script.killed_by(3)).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    let (mut reader, mut writer) = bench.client.attach(&task.id).await.unwrap().split();
    bench.reach(&task.id, Status::Running).await;
    writer.send(&Frame::Stop(Stop::Signal(10))).await.unwrap();
    writer.send(&Frame::Stop(Stop::Gracefully)).await.unwrap();
    let Some(Frame::Ended(ended)) = reader.next().await.unwrap() else {
        panic!("the task did not end")
    };
    assert_eq!(ended.exit, Some(Exit::Signal(3)));
    bench.finish().await;
}
