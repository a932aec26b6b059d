//! The program: when it is ready, who else may run, how it ends, and what it finds of a predecessor.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use api::client::Client;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mote-agent"));
    for (option, path) in [
        ("--socket", "mote.sock"),
        ("--state", "state"),
        ("--runtime", "run"),
        ("--cgroups", "cg"),
        ("--templates", "templates"),
    ] {
        command.arg(option).arg(directory.join(path));
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn ready(command: &mut Command) -> Child {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// The exit code of a program that does not get ready, and what it says.
async fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let process = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(process).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn it_says_that_it_is_ready_and_ends_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = ready(&mut command(directory.path())).await;
    let socket = directory.path().join("mote.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let client = Client::unix(&socket);
    assert_eq!(client.version().await.unwrap().version, env!("CARGO_PKG_VERSION"));
    assert_eq!(client.images().await.unwrap(), []);
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_second_one_is_refused_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let first = ready(&mut command(directory.path())).await;
    let (code, words) = refused(&mut command(directory.path())).await;
    assert_eq!(code, Some(1));
    assert!(
        words.contains(&format!("another host agent (process {})", first.id().unwrap())),
        "{words}"
    );
    let client = Client::unix(&directory.path().join("mote.sock"));
    client.version().await.unwrap();
}

#[tokio::test]
async fn of_two_at_once_with_the_same_state_one_is_refused() {
    let (state, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Each has a socket and a runtime directory of its own.
    let [mut one, mut two] = ["one", "two"].map(|name| {
        let directory = others.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(state.path(), directory.join("state")).unwrap();
        command(&directory).spawn().unwrap()
    });
    let (ended, refused) = tokio::select! {
        ended = one.wait() => (ended, &mut one),
        ended = two.wait() => (ended, &mut two),
    };
    assert_eq!(ended.unwrap().code(), Some(1));
    let mut words = String::new();
    let mut stderr = refused.stderr.take().unwrap();
    stderr.read_to_string(&mut words).await.unwrap();
    assert!(
        words.contains("another host agent (") && words.contains("/state; stop it"),
        "{words}"
    );
}

#[tokio::test]
async fn a_socket_that_something_else_answers_on_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let _other = UnixListener::bind(directory.path().join("mote.sock")).unwrap();
    let (code, words) = refused(&mut command(directory.path())).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("already answers"), "{words}");
}

#[tokio::test]
async fn a_file_in_the_sockets_place_is_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mote.sock");
    std::fs::write(&path, "precious").unwrap();
    let (code, words) = refused(&mut command(directory.path())).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("no socket"), "{words}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn after_a_kill_the_next_one_cleans_up_and_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = ready(&mut command(directory.path())).await;
    first.kill().await.unwrap();
    let left = directory.path().join("run/microvms/17");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("vsock"), "left over").unwrap();
    let mut second = ready(&mut command(directory.path())).await;
    assert!(!left.exists());
    Client::unix(&directory.path().join("mote.sock"))
        .version()
        .await
        .unwrap();
    signal(&second, rustix::process::Signal::INT);
    assert_eq!(second.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn an_idle_one_ends_by_itself_if_it_is_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = ready(command(directory.path()).args(["--idle-exit", "1"])).await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let mut log = String::new();
    child.stderr.unwrap().read_to_string(&mut log).await.unwrap();
    assert!(log.contains("idle"), "{log}");
}
