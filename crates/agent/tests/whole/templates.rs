//! Templates: made once, kept, checked, replaced; and what happens where they are of no use.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use api::task::{Exit, Origin, Status, StopRequest};
use api::template::TemplateState;
use serde_json::json;

use super::bench::{Bench, request};
use super::script::Script;

fn working() -> Script {
    Script::running().then(json!({"stdout": "x"})).exits(7)
}

/// A clone that fails before its guest answers.
fn broken() -> Script {
    Script::empty()
        .then(json!("runnable"))
        .then(json!({"complain": "bad registers"}))
        .then(json!({"exit": 1}))
}

/// The template's directory.
fn directory(base: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(base.join("templates")).unwrap();
    let path = entries.next().expect("there is a template").unwrap().path();
    assert!(entries.next().is_none(), "there are several templates");
    path
}

/// Waits until a later host agent may trust the template.
async fn sealed(base: &Path) {
    while !directory(base).join("manifest").exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tasks_that_start_at_once_share_one_template() {
    let bench = Bench::start(&working()).await;
    let runs = futures_util::future::join_all((0..10).map(|_| bench.run(|_| ()))).await;
    for task in runs {
        assert_eq!((task.exit, task.origin), (Some(Exit::Code(7)), Some(Origin::Clone)));
    }
    assert_eq!(bench.builds(), 1);
    let template = bench.template();
    assert_eq!(
        (template.state, template.clones, template.fallbacks),
        (TemplateState::Ready, 10, 0)
    );
    bench.finish().await;
}

#[tokio::test]
async fn a_template_serves_the_next_host_agent() {
    let bench = Bench::start(&working()).await;
    bench.run(|_| ()).await;
    sealed(bench.directory.path()).await;
    let before = directory(bench.directory.path());
    let bench = Bench::start_in(bench.die().await, 0).await;
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
    assert_eq!(bench.builds(), 1);
    assert_eq!(directory(bench.directory.path()), before);
    bench.finish().await;
}

#[tokio::test]
async fn a_template_of_other_ingredients_is_replaced() {
    let bench = Bench::start(&working()).await;
    bench.run(|_| ()).await;
    sealed(bench.directory.path()).await;
    let before = directory(bench.directory.path());
    let base = bench.die().await;
    std::fs::write(base.path().join("vmlinux"), "another kernel").unwrap();
    let bench = Bench::start_in(base, 0).await;
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
    assert_eq!(bench.builds(), 2);
    assert_ne!(directory(bench.directory.path()), before);
    bench.finish().await;
}

#[tokio::test]
async fn a_damaged_template_is_replaced() {
    let bench = Bench::start(&working()).await;
    bench.run(|_| ()).await;
    sealed(bench.directory.path()).await;
    let memory = directory(bench.directory.path()).join("guest/memory");
    let base = bench.die().await;
    change(&memory);
    let bench = Bench::start_in(base, 0).await;
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
    assert_eq!(bench.builds(), 2);
    bench.finish().await;
}

/// Writes to a file of a template. Root may write to read-only files; for others it is made writable first.
fn change(path: &Path) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 1 << 20).unwrap();
}

#[tokio::test]
async fn a_template_that_is_changed_while_it_is_in_use_is_replaced() {
    for pool in [0, 1] {
        let bench = Bench::start_with(&[("script", &working())], pool).await;
        bench.run(|_| ()).await;
        sealed(bench.directory.path()).await;
        let before = directory(bench.directory.path());
        change(&before.join("guest/memory"));
        assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
        assert_eq!(bench.builds(), 2);
        assert_ne!(directory(bench.directory.path()), before);
        bench.finish().await;
    }
}

#[tokio::test]
async fn an_unfinished_template_is_not_used() {
    let bench = Bench::start(&working()).await;
    bench.run(|_| ()).await;
    sealed(bench.directory.path()).await;
    let template = directory(bench.directory.path());
    let base = bench.die().await;
    std::fs::set_permissions(&template, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::remove_file(template.join("manifest")).unwrap();
    let part = format!("templates/{}-4.part", "0".repeat(32));
    std::fs::create_dir(base.path().join(part)).unwrap();
    let bench = Bench::start_in(base, 0).await;
    bench.run(|_| ()).await;
    assert_eq!(bench.builds(), 2);
    directory(bench.directory.path());
    bench.finish().await;
}

#[tokio::test]
async fn a_clone_that_fails_gets_a_full_boot_and_is_counted() {
    let bench = Bench::start_with(&[("script", &working()), ("script.clone", &broken())], 0).await;
    let task = bench.run(|_| ()).await;
    assert_eq!((task.exit, task.origin), (Some(Exit::Code(7)), Some(Origin::Boot)));
    let template = bench.template();
    assert_eq!((template.clones, template.fallbacks), (1, 1));
    bench.finish().await;
}

#[tokio::test]
async fn input_survives_a_fallback() {
    let script = Script::running().then(json!("cat")).exits(0);
    let bench = Bench::start_with(&[("script", &script), ("script.clone", &broken())], 0).await;
    let (_, attached) = bench
        .client
        .run(&request(|request| request.stdin = true))
        .await
        .unwrap();
    let (mut reader, mut writer) = attached.split();
    writer
        .send(&api::attach::Frame::Stdin(b"words".to_vec()))
        .await
        .unwrap();
    writer.send(&api::attach::Frame::StdinEnd).await.unwrap();
    let frame = reader.next().await.unwrap();
    assert_eq!(frame, Some(api::attach::Frame::Stdout(b"words".to_vec())));
    assert!(matches!(
        reader.next().await.unwrap(),
        Some(api::attach::Frame::Ended(_))
    ));
    bench.finish().await;
}

#[tokio::test]
async fn a_full_boot_that_fails_too_is_not_tried_again() {
    let bench = Bench::start(&broken()).await;
    let task = bench.run(|_| ()).await;
    assert_eq!((task.exit, task.origin), (Some(Exit::Failed), Some(Origin::Boot)));
    assert!(task.stopped_reason.unwrap().contains("bad registers"));
    bench.finish().await;
}

#[tokio::test]
async fn a_guest_that_answered_is_no_failed_clone() {
    let script = Script::running().first(3).then(json!({"exit": 3}));
    let bench = Bench::start_with(&[("script", &working()), ("script.clone", &script)], 0).await;
    let task = bench.run(|_| ()).await;
    assert_eq!((task.exit, task.origin), (Some(Exit::Failed), Some(Origin::Clone)));
    assert_eq!(bench.template().fallbacks, 0);
    bench.finish().await;
}

#[tokio::test]
async fn a_clone_that_is_stopped_does_not_boot_again() {
    let hanging = Script::empty().then(json!("runnable")).then(json!("hang"));
    let bench = Bench::start_with(&[("script", &working()), ("script.clone", &hanging)], 0).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    // The template's VMM, then the clone's.
    while bench.cgroups.processes.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let stopped = bench.client.stop_task(&task.id, StopRequest::default()).await.unwrap();
    assert_eq!((stopped.exit, stopped.origin), (None, Some(Origin::Clone)));
    bench.finish().await;
}

#[tokio::test]
async fn a_template_whose_clones_always_fail_is_dropped_and_not_made_again_at_once() {
    let bench = Bench::start_with(&[("script", &working()), ("script.clone", &broken())], 0).await;
    for _ in 0..5 {
        let task = bench.run(|_| ()).await;
        assert_eq!((task.exit, task.origin), (Some(Exit::Code(7)), Some(Origin::Boot)));
    }
    assert_eq!(bench.builds(), 1);
    let template = bench.template();
    assert_eq!((template.state, template.fallbacks), (TemplateState::Failed, 5));
    assert_eq!(
        std::fs::read_dir(bench.directory.path().join("templates"))
            .unwrap()
            .count(),
        0
    );
    bench.finish().await;
}

#[tokio::test]
async fn a_template_that_cannot_be_made_is_not_waited_for_again() {
    let failing = Script::empty()
        .then(json!({"complain": "no such CPU"}))
        .then(json!({"exit": 1}));
    let bench = Bench::start_with(&[("script", &working()), ("script.build", &failing)], 0).await;
    for _ in 0..3 {
        let task = bench.run(|_| ()).await;
        assert_eq!((task.exit, task.origin), (Some(Exit::Code(7)), Some(Origin::Boot)));
    }
    assert_eq!(bench.builds(), 1);
    let template = bench.template();
    assert_eq!((template.state, template.fallbacks), (TemplateState::Failed, 3));
    assert!(template.reason.unwrap().contains("no such CPU"));
    // A person may insist.
    let error = bench.core.templates().build(false).await.unwrap_err();
    assert!(error.message.contains("no such CPU"), "{error}");
    assert_eq!(bench.builds(), 2);
    std::fs::remove_file(bench.directory.path().join("script.build")).unwrap();
    let built = bench.core.templates().build(false).await.unwrap();
    assert_eq!(built.state, TemplateState::Ready);
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
    bench.finish().await;
}

#[tokio::test]
async fn a_task_that_waits_for_the_template_can_be_stopped() {
    let hanging = Script::empty().then(json!("hang"));
    let bench = Bench::start_with(&[("script", &working()), ("script.build", &hanging)], 0).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    while bench.builds() == 0 {
        tokio::task::yield_now().await;
    }
    let stopped = bench.client.stop_task(&task.id, StopRequest::default()).await.unwrap();
    assert_eq!((stopped.exit, stopped.origin), (None, None));
    // The end of the host agent ends what still is being made.
    bench.finish().await;
}

#[tokio::test]
async fn a_person_can_have_a_template_made_anew_and_removed() {
    let bench = Bench::start(&working()).await;
    let templates = bench.core.templates().clone();
    let first = templates.build(false).await.unwrap();
    let again = templates.build(false).await.unwrap();
    assert_eq!((&again.key, again.created_unix_ms), (&first.key, first.created_unix_ms));
    assert_eq!(bench.builds(), 1);
    let (one, other) = tokio::join!(templates.build(true), bench.run(|_| ()));
    assert_eq!((one.unwrap().key, other.exit), (first.key.clone(), Some(Exit::Code(7))));
    assert_eq!(bench.builds(), 2);
    templates.remove(&first.key[..4]).unwrap();
    // Of a task that has just ended, a moment is left.
    assert!(
        templates
            .list()
            .iter()
            .all(|template| template.state == TemplateState::Stale)
    );
    assert!(templates.remove(&first.key).is_err());
    assert_eq!(bench.run(|_| ()).await.origin, Some(Origin::Clone));
    assert_eq!(bench.builds(), 3);
    bench.finish().await;
}

#[tokio::test]
async fn a_replaced_template_goes_with_its_last_clone() {
    let script = Script::running().then(json!({"expect_signal": 9})).killed_by(9);
    let bench = Bench::start(&script).await;
    let task = bench.client.create_task(&request(|_| ())).await.unwrap();
    bench.client.start_task(&task.id).await.unwrap();
    bench.reach(&task.id, Status::Running).await;
    bench.core.templates().build(true).await.unwrap();
    let states = |bench: &Bench| -> Vec<TemplateState> {
        let listed = bench.core.templates().list();
        listed.into_iter().map(|template| template.state).collect()
    };
    assert_eq!(states(&bench), [TemplateState::Ready, TemplateState::Stale]);
    let kill = StopRequest {
        timeout_seconds: Some(0),
    };
    bench.client.stop_task(&task.id, kill).await.unwrap();
    // The host of the task is dropped a moment after its end is told.
    while states(&bench).len() > 1 {
        tokio::task::yield_now().await;
    }
    directory(bench.directory.path());
    assert_eq!(bench.cgroups.living.load(Ordering::SeqCst), 0);
    bench.finish().await;
}
