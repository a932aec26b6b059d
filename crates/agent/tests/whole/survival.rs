//! The host agent is killed, or replaced: what ran runs on, and nothing that was written or told is lost.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::attach::Frame;
use api::client::Client;
use api::task::{Exit, Status, StopRequest, Task};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::bench::request;
use super::script::Script;

/// A directory in which one host agent after the other runs.
struct Host {
    directory: tempfile::TempDir,
    client: Client,
    agent: Option<Child>,
}

impl Host {
    /// A host whose VMMs do what `script` says, with a host agent that keeps tasks.
    async fn start(script: &Script) -> Self {
        Self::start_with(&[("script", script)]).await
    }

    async fn start_with(scripts: &[(&str, &Script)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [("vmlinux", "kernel"), ("part", "")] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        for (name, script) in scripts {
            std::fs::write(directory.path().join(name), script.text()).unwrap();
        }
        let fifo = directory.path().join("go");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let client = Client::unix(&directory.path().join("mote.sock"));
        let mut host = Self {
            directory,
            client,
            agent: None,
        };
        host.start_agent("keep").await;
        host
    }

    async fn start_agent(&mut self, on_exit: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-host"));
        command.arg(self.directory.path()).arg(on_exit);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).await.unwrap();
        assert_eq!(line, "ready\n");
        self.agent = Some(child);
    }

    /// Kills the host agent, without a word.
    async fn kill(&mut self) {
        self.agent.take().unwrap().kill().await.unwrap();
    }

    /// Asks the host agent to end.
    async fn terminate(&mut self) {
        let mut agent = self.agent.take().unwrap();
        let process = i32::try_from(agent.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
        assert_eq!(agent.wait().await.unwrap().code(), Some(0));
    }

    async fn restart(&mut self) {
        self.kill().await;
        self.start_agent("keep").await;
    }

    async fn run(&self) -> Task {
        let task = self.client.create_task(&request(|_| ())).await.unwrap();
        self.client.start_task(&task.id).await.unwrap()
    }

    async fn reach(&self, task: &str, status: Status) -> Task {
        loop {
            let task = self.client.task(task).await.unwrap();
            if task.status >= status {
                return task;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Opens the gate at which the fake VMM waits.
    async fn open_gate(&self) {
        let path = self.directory.path().join("go");
        tokio::task::spawn_blocking(move || drop(std::fs::File::options().write(true).open(path).unwrap()))
            .await
            .unwrap();
    }

    /// How often `text` is in the log of the task's container.
    fn logged(&self, task: &str, text: &str) -> usize {
        let mut bytes = vec![];
        read_all(&self.directory.path().join("state/logs").join(task), &mut bytes);
        String::from_utf8_lossy(&bytes).matches(text).count()
    }

    /// Ends it with all tasks, and checks that nothing is left.
    async fn finish(mut self) {
        self.kill().await;
        self.start_agent("stop").await;
        self.terminate().await;
        for left in ["run/microvms", "cgroups", "templates"] {
            let entries = std::fs::read_dir(self.directory.path().join(left)).map_or(0, Iterator::count);
            assert_eq!(entries, 0, "{left} is not empty");
        }
    }
}

fn read_all(path: &Path, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            read_all(&entry.path(), bytes);
        } else {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
}

#[tokio::test]
async fn no_output_and_no_exit_code_is_lost_when_the_host_agent_is_killed() {
    let script = Script::running()
        .then(json!({"stdout": "before;"}))
        .then(json!({"gate": "go"}))
        .then(json!({"stdout": "meanwhile;"}))
        .exits(7);
    let mut host = Host::start(&script).await;
    let task = host.run().await;
    host.reach(&task.id, Status::Running).await;
    host.kill().await;
    host.open_gate().await;
    host.start_agent("keep").await;
    let ended = host.reach(&task.id, Status::Stopped).await;
    assert_eq!(ended.exit, Some(Exit::Code(7)), "{ended:?}");
    assert_eq!(ended.stop_code.as_deref(), Some("EssentialContainerExited"));
    assert_eq!(
        (host.logged(&task.id, "before;"), host.logged(&task.id, "meanwhile;")),
        (1, 1)
    );
    host.finish().await;
}

#[tokio::test]
async fn a_task_runs_through_many_deaths_of_the_host_agent() {
    let mut script = Script::running();
    for _ in 0..5 {
        script = script
            .then(json!({"gate": "go"}))
            .then(json!({"stdout": "line;"}))
            .then(json!({"stderr": "error;"}));
    }
    let mut host = Host::start(&script.exits(3)).await;
    let task = host.run().await;
    host.reach(&task.id, Status::Running).await;
    for _ in 0..5 {
        host.restart().await;
        host.open_gate().await;
    }
    let ended = host.reach(&task.id, Status::Stopped).await;
    assert_eq!(ended.exit, Some(Exit::Code(3)), "{ended:?}");
    assert_eq!(
        (host.logged(&task.id, "line;"), host.logged(&task.id, "error;")),
        (5, 5)
    );
    host.finish().await;
}

#[tokio::test]
async fn a_host_agent_may_be_killed_at_every_step_of_a_start() {
    for len in 0..=7 {
        let all = Script::running().exits(7);
        let mut steps = all.0.clone();
        steps.insert(len, json!({"gate": "go"}));
        let mut host = Host::start(&Script(steps)).await;
        let task = host.run().await;
        // Whatever step the guest is at, and whatever is stored by now.
        host.reach(&task.id, Status::Pending).await;
        host.kill().await;
        host.start_agent("keep").await;
        let path = host.directory.path().join("go");
        let is_over = Arc::new(AtomicBool::new(false));
        let (gate, known) = (path.clone(), is_over.clone());
        let opener = std::thread::spawn(move || {
            // A microVM that was not told what to be is made anew, and waits there again. The last time it is the reader below that comes.
            while !known.load(Ordering::SeqCst) {
                drop(std::fs::File::options().write(true).open(&gate).unwrap());
            }
        });
        let ended = host.reach(&task.id, Status::Stopped).await;
        assert_eq!(ended.exit, Some(Exit::Code(7)), "{len}: {ended:?}");
        is_over.store(true, Ordering::SeqCst);
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let _reader = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
        opener.join().unwrap();
        host.finish().await;
    }
}

#[tokio::test]
async fn a_microvm_that_dies_while_no_host_agent_runs_ends_its_task() {
    let script = Script::running().then(json!({"gate": "go"})).then(json!({"exit": 1}));
    let mut host = Host::start(&script).await;
    let task = host.run().await;
    host.reach(&task.id, Status::Running).await;
    host.kill().await;
    host.open_gate().await;
    while processes(&host) > 0 {
        tokio::task::yield_now().await;
    }
    host.start_agent("keep").await;
    let ended = host.reach(&task.id, Status::Stopped).await;
    assert_eq!(ended.exit, Some(Exit::Failed), "{ended:?}");
    assert!(ended.stopped_reason.unwrap().contains("no host agent ran"));
    assert_eq!(ended.stop_code.as_deref(), Some("TerminationNotice"));
    host.finish().await;
}

/// VMMs that run a task on this host.
fn processes(host: &Host) -> usize {
    let cgroups = std::fs::read_dir(host.directory.path().join("cgroups")).unwrap();
    let living = cgroups.flatten().filter(|entry| {
        let process = std::fs::read_to_string(entry.path().join("procs")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
        stat.contains("(fake-vmm)") && !stat.contains(") Z ")
    });
    living.count()
}

#[tokio::test]
async fn a_host_agent_that_is_asked_to_end_keeps_tasks_or_stops_them() {
    let script = Script::running().then(json!({"expect_signal": 15})).exits(0);
    let mut host = Host::start(&script).await;
    let task = host.run().await;
    host.reach(&task.id, Status::Running).await;
    host.terminate().await;
    assert_eq!(processes(&host), 1);
    host.start_agent("stop").await;
    assert_eq!(host.client.task(&task.id).await.unwrap().status, Status::Running);
    host.terminate().await;
    assert_eq!(processes(&host), 0);
    host.start_agent("keep").await;
    let ended = host.client.task(&task.id).await.unwrap();
    assert_eq!((ended.status, ended.exit), (Status::Stopped, Some(Exit::Code(0))));
    assert!(ended.stopped_reason.unwrap().contains("host agent ended"));
    host.finish().await;
}

#[tokio::test]
async fn a_client_attaches_again_and_goes_on() {
    let script = Script::running().then(json!("cat")).exits(0);
    let mut host = Host::start(&script).await;
    let wanted = request(|request| request.stdin = true);
    let task = host.client.create_task(&wanted).await.unwrap();
    let (mut reader, mut writer) = host.client.attach(&task.id).await.unwrap().split();
    writer.send(&Frame::Stdin(b"one".to_vec())).await.unwrap();
    assert_eq!(reader.next().await.unwrap(), Some(Frame::Stdout(b"one".to_vec())));
    host.restart().await;
    let (mut reader, mut writer) = host.client.attach(&task.id).await.unwrap().split();
    writer.send(&Frame::Stdin(b"two".to_vec())).await.unwrap();
    writer.send(&Frame::StdinEnd).await.unwrap();
    let mut received = vec![];
    let ended = loop {
        match reader.next().await.unwrap().unwrap() {
            Frame::Stdout(bytes) => received.extend(bytes),
            Frame::Ended(task) => break task,
            other => panic!("a client gets no {other:?}"),
        }
    };
    // What was not acknowledged comes again.
    assert!(received.ends_with(b"two"), "{received:?}");
    assert_eq!(ended.exit, Some(Exit::Code(0)));
    assert_eq!((host.logged(&task.id, "one"), host.logged(&task.id, "two")), (1, 1));
    host.finish().await;
}

#[tokio::test]
async fn a_stop_that_was_promised_is_kept() {
    let script = Script::running()
        .then(json!({"expect_signal": 15}))
        .then(json!({"gate": "go"}))
        .then(json!({"expect_signal": 15}))
        .then(json!({"expect_signal": 9}))
        .killed_by(9);
    let mut host = Host::start(&script).await;
    let task = host.run().await;
    host.reach(&task.id, Status::Running).await;
    let client = host.client.clone();
    let id = task.id.clone();
    let timeout_seconds = Some(2);
    let stopping = tokio::spawn(async move { client.stop_task(&id, StopRequest { timeout_seconds }).await });
    host.reach(&task.id, Status::Stopping).await;
    host.restart().await;
    assert!(stopping.await.unwrap().is_err(), "its host agent is gone");
    host.open_gate().await;
    let ended = host.reach(&task.id, Status::Stopped).await;
    assert_eq!(ended.exit, Some(Exit::Signal(9)));
    assert_eq!(ended.stopped_reason.as_deref(), Some("Task stopped by user"));
    host.finish().await;
}
