//! The command line against a host agent that gives the answers that a test wrote for it: what is asked, what is printed, how it ends.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod fake_agent;

use std::process::Output;

use api::attach::Frame;
use api::exec::ExecEnd;
use api::task::{Exit, Status, Task};

use fake_agent::{Answer, FakeAgent, Input};

fn json(text: &str) -> Answer {
    Answer::Json(200, text.to_owned())
}

fn task(change: impl FnOnce(&mut Task)) -> Task {
    let mut task = Task {
        id: "3f2a".repeat(8),
        name: "web".into(),
        image: "app".into(),
        vcpu_milli: 250,
        memory_mib: 64,
        status: Status::Running,
        ..Task::default()
    };
    change(&mut task);
    task
}

fn document(value: &impl serde::Serialize) -> Answer {
    json(&serde_json::to_string(value).unwrap())
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str) {
    let found = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), found.as_ref()), (Some(code), stdout), "{stderr}");
}

fn exited(exit: Exit, reason: Option<&str>) -> Frame {
    let reason = reason.map(str::to_owned);
    Frame::Exited(ExecEnd { exit, reason })
}

#[test]
fn an_executed_command_ends_as_in_a_shell() {
    for (exit, code) in [
        (Exit::Code(7), 7),
        (Exit::Signal(15), 143),
        (Exit::NotFound, 127),
        (Exit::NotExecutable, 126),
    ] {
        let frames = vec![
            Frame::Stdout(b"out".to_vec()),
            Frame::Stderr(b"err".to_vec()),
            exited(exit, None),
        ];
        let agent = FakeAgent::start(&[("POST /v1/tasks/web/exec", Answer::Frames(frames, Input::Ignored))]);
        let output = agent.mote(&["exec", "-e", "A=1", "web/proxy", "ls", "-l"], "");
        check(&output, code, "out");
        assert_eq!(output.stderr, b"err");
        let body: serde_json::Value = serde_json::from_str(&agent.requests()[0].body).unwrap();
        assert_eq!(body["container"], "proxy");
        assert_eq!(body["command"], serde_json::json!(["ls", "-l"]));
        assert_eq!(body["env"], serde_json::json!(["A=1"]));
    }
}

#[test]
fn an_executed_command_gets_its_input_to_the_end() {
    let frames = vec![exited(Exit::Code(0), None)];
    let agent = FakeAgent::start(&[("POST /v1/tasks/web/exec", Answer::Frames(frames, Input::Echoed))]);
    check(
        &agent.mote(&["exec", "-i", "web", "cat"], "some words\n"),
        0,
        "some words\n",
    );
}

#[test]
fn a_task_in_the_background_is_created_started_and_named() {
    let created = task(|_| ());
    let start = format!("POST /v1/tasks/{}/start", created.id);
    let wait = format!("GET /v1/tasks/{}/wait?status=RUNNING", created.id);
    let running = task(|task| {
        task.status = Status::Running;
        task.times.started_ms = Some(1);
    });
    let failed = task(|task| {
        task.status = Status::Stopped;
        task.exit = Some(Exit::NotFound);
        task.stopped_reason = Some("there is no such program".into());
    });
    for (then, code, message) in [(running, 0, ""), (failed, 127, "mote: there is no such program\n")] {
        let agent = FakeAgent::start(&[
            ("POST /v1/tasks", document(&created)),
            (&start, document(&created)),
            (&wait, document(&then)),
        ]);
        let output = agent.mote(&["run", "-d", "-p", "8080:80", "app", "serve"], "");
        check(&output, code, &format!("{}\n", created.id));
        assert_eq!(output.stderr, message.as_bytes());
        assert!(agent.requests()[0].body.contains(r#""host_port":8080,"port":80"#));
    }
}

#[test]
fn a_run_ends_as_its_process_and_says_why_it_did_not_run() {
    let ended = task(|task| {
        task.status = Status::Stopped;
        task.exit = Some(Exit::Failed);
        task.stopped_reason = Some("the image is for another architecture".into());
    });
    let frames = vec![Frame::Stdout(b"x".to_vec()), Frame::Ended(Box::new(ended))];
    let agent = FakeAgent::start(&[("POST /v1/run", Answer::Frames(frames, Input::Ignored))]);
    let output = agent.mote(&["run", "--rm", "app"], "");
    check(&output, 125, "x");
    assert_eq!(output.stderr, b"mote: the image is for another architecture\n");
}

#[test]
fn logs_go_where_they_were_written_to() {
    let lines = concat!(
        r#"{"time_ms":0,"container":"main","source":"stdout","text":"out\n"}"#,
        "\n",
        r#"{"time_ms":1500,"container":"main","source":"stderr","text":"err\n"}"#,
        "\n",
        r#"{"time_ms":1500,"container":"main","source":"stdout","base64":"/w=="}"#,
        "\n",
    );
    let path = "GET /v1/tasks/web/logs?follow=true&since_ms=1000&tail=5";
    let agent = FakeAgent::start(&[(path, json(lines)), ("GET /v1/tasks/web", document(&task(|_| ())))]);
    let output = agent.mote(&["logs", "-f", "--since", "1", "--tail", "5", "web"], "");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"out\n\xff"[..])
    );
    assert_eq!(output.stderr, b"err\n");
}

#[test]
fn lists_are_for_people_programs_and_scripts() {
    let tasks = serde_json::json!({"tasks": [task(|_| ())]});
    let agent = FakeAgent::start(&[("GET /v1/tasks", document(&tasks))]);
    check(&agent.mote(&["ps", "-q"], ""), 0, &format!("{}\n", "3f2a".repeat(8)));
    check(
        &agent.mote(&["ps", "--format", "{{.name}} {{.status}}"], ""),
        0,
        "web RUNNING\n",
    );
    let table = String::from_utf8(agent.mote(&["ps"], "").stdout).unwrap();
    assert!(table.starts_with("ID             NAME   IMAGE"), "{table}");
    let array: serde_json::Value = serde_json::from_slice(&agent.mote(&["ps", "--format", "json"], "").stdout).unwrap();
    assert_eq!(array[0]["memory_mib"], 64);
}

#[test]
fn several_tasks_are_done_though_one_fails() {
    let refused = Answer::Json(
        404,
        r#"{"code":"TaskNotFound","message":"there is no task nobody"}"#.to_owned(),
    );
    let ended = task(|task| task.exit = Some(Exit::Code(3)));
    let answers = [
        ("GET /v1/tasks/nobody/wait", refused),
        ("GET /v1/tasks/web/wait", document(&ended)),
    ];
    let agent = FakeAgent::start(&answers);
    let output = agent.mote(&["wait", "nobody", "web"], "");
    check(&output, 1, "3\n");
    assert_eq!(output.stderr, b"mote: there is no task nobody\n");
    check(&agent.mote(&["wait", "nobody"], ""), 125, "");
}

#[test]
fn ecs_is_asked_in_its_own_words() {
    let listed = json(r#"{"serviceArns":["arn:aws:ecs:r:a:service/default/web"]}"#);
    let described = json(
        r#"{"services":[{"serviceName":"web","status":"ACTIVE","taskDefinition":"arn:x/web:3","desiredCount":2,"runningCount":2}],"failures":[]}"#,
    );
    let answers = [
        ("ListServices", listed),
        ("DescribeServices", described),
        ("UpdateService", json(r#"{"service":{"serviceName":"web"}}"#)),
        (
            "DeleteCluster",
            Answer::Json(
                400,
                r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#.to_owned(),
            ),
        ),
        (
            "RegisterTaskDefinition",
            json(r#"{"taskDefinition":{"family":"web","revision":4}}"#),
        ),
    ];
    let agent = FakeAgent::start(&answers);
    check(&agent.mote(&["service", "list", "-q"], ""), 0, "web\n");
    check(
        &agent.mote(&["service", "list", "--format", "{{.runningCount}}"], ""),
        0,
        "2\n",
    );
    check(&agent.mote(&["service", "scale", "web=5"], ""), 0, "web\n");
    let scaled = agent.requests().pop().unwrap();
    assert_eq!(scaled.body, r#"{"desiredCount":5,"service":"web"}"#);
    let refused = agent.mote(&["cluster", "rm", "staging"], "");
    check(&refused, 125, "");
    assert_eq!(refused.stderr, b"mote: Cluster not found.\n");
    check(
        &agent.mote(&["task-definition", "register", "-"], r#"{"family":"web"}"#),
        0,
        "web:4\n",
    );
}

#[test]
fn a_secret_comes_by_standard_input_and_is_not_shown() {
    let stored = json(r#"{"name":"db","created_unix_ms":0,"changed_unix_ms":0}"#);
    let agent = FakeAgent::start(&[("POST /v1/secrets", stored)]);
    check(&agent.mote(&["secret", "create", "db"], "p4ss"), 0, "db\n");
    assert!(agent.requests()[0].body.contains(r#""value":"p4ss""#));
}

#[test]
fn events_end_when_the_host_agent_has_no_more() {
    let lines = concat!(
        r#"{"time_ms":0,"subject":"task","action":"running","id":"a","name":"web"}"#,
        "\n",
        r#"{"time_ms":0,"subject":"image","action":"pulled","id":"b"}"#,
        "\n",
    );
    let agent = FakeAgent::start(&[("GET /v1/events?follow=true&until_ms=1000", json(lines))]);
    let output = agent.mote(&["events", "--until", "1", "--filter", "subject=task"], "");
    check(&output, 0, "1970-01-01T00:00:00.000Z task running a (name=web)\n");
}

#[test]
fn an_image_without_tar_cannot_be_copied_from() {
    let frames = vec![exited(Exit::NotFound, Some("tar: not found"))];
    let agent = FakeAgent::start(&[("POST /v1/tasks/web/exec", Answer::Frames(frames, Input::Ignored))]);
    let output = agent.mote(&["cp", "web:/etc/passwd", "-"], "");
    check(&output, 125, "");
    assert_eq!(
        output.stderr,
        b"mote: the container's image has no tar, which copying needs\n"
    );
}

#[test]
fn what_is_copied_from_a_task_lands_on_this_host() {
    let directory = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    archive.append_data(&mut header, "hosts", &b"hello"[..]).unwrap();
    let frames = vec![
        Frame::Stdout(archive.into_inner().unwrap()),
        exited(Exit::Code(0), None),
    ];
    let agent = FakeAgent::start(&[("POST /v1/tasks/web/exec", Answer::Frames(frames, Input::Ignored))]);
    let target = directory.path().join("mine");
    check(
        &agent.mote(&["cp", "web:/etc/hosts", &target.display().to_string()], ""),
        0,
        "",
    );
    assert_eq!(std::fs::read_to_string(target).unwrap(), "hello");
    let body: serde_json::Value = serde_json::from_str(&agent.requests()[0].body).unwrap();
    assert_eq!(
        body["command"],
        serde_json::json!(["tar", "-C", "/etc", "-cf", "-", "hosts"])
    );
}

#[test]
fn a_disk_is_not_pruned_without_being_asked() {
    let pruned = json(r#"{"tasks":[],"images":["app:1"],"freed_bytes":1000}"#);
    let agent = FakeAgent::start(&[("POST /v1/system/prune", pruned)]);
    let refused = agent.mote(&["system", "prune"], "y\n");
    check(&refused, 125, "");
    check(
        &agent.mote(&["system", "prune", "--force"], ""),
        0,
        "image app:1\nfreed 1.0kB\n",
    );
    assert_eq!(agent.requests().len(), 1);
}
