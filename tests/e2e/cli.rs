//! The command line as a person uses it: tasks in the background, entered, listened to, copied from and to, ended.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tests::command::{Ran, ran};
use tests::host::HUNG_SECONDS;

use crate::fixture::host;

/// A task that is removed when dropped.
struct Background {
    id: String,
}

impl Background {
    /// Runs `script` in the background.
    fn start(options: &[&str], script: &str) -> Self {
        let arguments = [
            &["run", "-d", "--timeout", HUNG_SECONDS],
            options,
            &["busybox", "sh", "-c", script],
        ]
        .concat();
        let id = host().ran(&arguments).ended_with(0).text().trim().to_owned();
        assert_eq!(id.len(), 32, "{id}");
        Self { id }
    }

    /// Runs `mote VERB OPTIONS TASK REST`.
    #[track_caller]
    fn mote(&self, verb: &[&str], rest: &[&str]) -> Ran {
        host().ran(&[verb, &[&self.id], rest].concat())
    }

    #[track_caller]
    fn exec(&self, options: &[&str], script: &str) -> Ran {
        self.mote(&[&["exec"], options].concat(), &["sh", "-c", script])
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Where the test removed it, there is nothing to do.
        let _ = ran(&mut host().mote(&["rm", "-f", &self.id]), b"");
    }
}

/// What a task waits for until a test lets it go on.
const WAIT_FOR_GO: &str = "until test -e /go; do sleep 0.1; done";

#[test]
fn a_task_in_the_background_is_entered_waited_for_and_forgotten() {
    let task = Background::start(
        &["--label", "team=blue"],
        &format!("echo begun; {WAIT_FOR_GO}; echo done; exit 7"),
    );
    let listed = host().ran(&["ps", "-q", "--filter", "label=team=blue"]).ended_with(0);
    assert!(listed.text().contains(&task.id), "{listed}");
    let status = task
        .mote(&["inspect", "--format", "{{.status}} {{.exit}}"], &[])
        .ended_with(0);
    assert!(status.text().trim().ends_with("ING"), "{status}");
    task.exec(&[], "touch /go").ended_with(0);
    assert_eq!(task.mote(&["wait"], &[]).ended_with(0).text(), "7\n");
    assert_eq!(task.mote(&["logs"], &[]).ended_with(0).text(), "begun\ndone\n");
    task.mote(&["rm"], &[]).ended_with(0);
    assert!(task.mote(&["inspect"], &[]).refusal().contains("there is no task"));
}

#[test]
fn an_executed_command_has_its_own_environment_and_ends_as_in_a_shell() {
    let task = Background::start(&[], WAIT_FOR_GO);
    assert_eq!(
        task.exec(&["-e", "A=1", "-w", "/tmp", "-u", "1000"], "echo $A; pwd; id -u")
            .ended_with(0)
            .text(),
        "1\n/tmp\n1000\n"
    );
    task.exec(&[], "exit 9").ended_with(9);
    task.exec(&[], "kill -TERM $$").ended_with(143);
    task.mote(&["exec"], &["/no/such/program"]).ended_with(127);
    task.mote(&["exec"], &["/etc/passwd"]).ended_with(126);
    let apart = task.exec(&[], "echo out; echo err >&2").ended_with(0);
    assert_eq!((apart.text().as_str(), apart.stderr.as_str()), ("out\n", "err\n"));
    assert!(task.exec(&["-t"], "tty").ended_with(0).text().starts_with("/dev/pts/"));
}

#[test]
fn an_executed_command_takes_input_to_its_end() {
    let task = Background::start(&[], WAIT_FOR_GO);
    let mut command = host().mote(&["exec", "-i", &task.id, "sha256sum"]);
    let input = vec![7; 3_000_000];
    let here = ran(&mut Command::new("sha256sum"), &input).unwrap().text();
    assert_eq!(ran(&mut command, &input).unwrap().ended_with(0).text(), here);
}

#[test]
fn a_signal_to_the_client_reaches_the_executed_command() {
    let task = Background::start(&[], WAIT_FOR_GO);
    let script = "trap 'echo caught; exit 3' INT; touch /listening; while :; do sleep 0.1; done";
    let mut command = host().mote(&["exec", &task.id, "sh", "-c", script]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    task.exec(&[], "until test -e /listening; do sleep 0.1; done")
        .ended_with(0);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), ended.stdout.as_slice()),
        (Some(3), &b"caught\n"[..])
    );
}

#[test]
fn a_signal_is_sent_by_name() {
    let task = Background::start(&[], "trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done");
    let mut logs = host().mote(&["logs", "-f", &task.id]);
    let mut logs = logs.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    // Then it listens to the signal.
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    task.mote(&["kill", "-s", "USR1"], &[]).ended_with(0);
    assert_eq!(task.mote(&["wait"], &[]).ended_with(0).text(), "5\n");
    // Following ends with the task.
    assert!(lines.next().is_none());
    assert!(logs.wait().unwrap().success());
}

#[test]
fn output_is_attached_to_while_a_task_runs() {
    let script = "until test -e /go; do echo waiting; sleep 0.1; done; echo heard; exit 4";
    let task = Background::start(&[], script);
    let mut command = host().mote(&["attach", &task.id]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Then it is attached to.
    assert_eq!(lines.next().unwrap(), "waiting");
    task.exec(&[], "touch /go").ended_with(0);
    assert_eq!(lines.last().unwrap(), "heard");
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn files_are_copied_to_a_task_and_back() {
    let task = Background::start(&[], WAIT_FOR_GO);
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path).display().to_string();
    std::fs::create_dir_all(at("site/sub")).unwrap();
    std::fs::write(at("site/sub/page"), "hello").unwrap();
    let inside = |path: &str| format!("{}:{path}", task.id);

    host().ran(&["cp", &at("site"), &inside("/tmp")]).ended_with(0);
    assert_eq!(
        task.exec(&[], "cat /tmp/site/sub/page; stat -c %u /tmp/site").text(),
        "hello0\n"
    );
    host().ran(&["cp", &at("site/."), &inside("/new")]).ended_with(0);
    assert_eq!(task.exec(&[], "cat /new/sub/page").text(), "hello");
    host()
        .ran(&["cp", &at("site/sub/page"), &inside("/tmp/renamed")])
        .ended_with(0);

    host().ran(&["cp", &inside("/tmp/renamed"), &at("back")]).ended_with(0);
    assert_eq!(std::fs::read_to_string(at("back")).unwrap(), "hello");
    host().ran(&["cp", &inside("/tmp/site"), &at("copy")]).ended_with(0);
    assert_eq!(std::fs::read_to_string(at("copy/sub/page")).unwrap(), "hello");
    let refusal = host().ran(&["cp", &inside("/no/such/file"), &at("x")]).refusal();
    assert!(refusal.contains("No such file"), "{refusal}");
}

#[test]
fn what_runs_is_listed() {
    let task = Background::start(&["--name", "listed"], WAIT_FOR_GO);
    let processes = task
        .mote(&["top", "--format", "{{.pid}} {{.command.0}}"], &[])
        .ended_with(0);
    assert!(processes.text().contains("1 sh\n"), "{processes}");
    let name = host()
        .ran(&["ps", "--format", "{{.name}}", "--filter", "name=listed"])
        .ended_with(0);
    assert_eq!(name.text(), "listed\n");
}

#[test]
fn several_tasks_are_ended_though_one_is_not_there() {
    let task = Background::start(&[], WAIT_FOR_GO);
    let ended = host().ran(&["stop", "-t", "0", "nobody", &task.id]).ended_with(1);
    assert_eq!(ended.text(), format!("{}\n", task.id));
    assert!(ended.stderr.contains("nobody"), "{ended}");
}

#[test]
fn shells_and_people_are_told_of_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    host().ran(&["man", &path]).ended_with(0);
    assert!(directory.path().join("mote-run.1").is_file());
    assert!(
        host()
            .ran(&["completions", "bash"])
            .ended_with(0)
            .text()
            .contains("task-definition")
    );
    assert!(
        host()
            .ran(&["agent", "install", "--print"])
            .ended_with(0)
            .text()
            .contains("KillMode=process")
    );
}
