//! The process of a VMM: how it is started, what it reports, how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use protocol::vmm::{Config, Control, Event, ExitCode};
use std::os::unix::process::ExitStatusExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;

use super::cgroup::{Cgroup, CgroupError};
use super::frames;
use crate::clock::Point;
use crate::task::Notice;

/// The number under which a VMM inherits its control socket: the first behind standard input, output and error.
const CONTROL_DESCRIPTOR: i32 = 3;

/// How much of what a VMM writes to standard error is kept, in bytes: its end.
const STDERR_LEN_MAX: usize = 4096;

/// How many lines of that are told.
const STDERR_LINES_MAX: usize = 3;

/// Why a VMM could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A socket.
    #[error("cannot make the socket {}", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program.
    #[error("cannot start the VMM {}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its cgroup.
    #[error("cannot move the VMM into its cgroup")]
    Cgroup(#[source] CgroupError),
}

/// A running VMM. Dropping it kills it.
pub struct VmmProcess {
    /// The process.
    pub child: Child,
    /// The connection to its control socket.
    pub control: tokio::net::UnixStream,
    /// What it says when it fails.
    pub stderr: ChildStderr,
}

/// Starts `program` in `cgroup` and gives it `config`, whose control socket is bound in `directory`.
pub async fn start(
    program: &Path,
    mut config: Config,
    directory: &Path,
    cgroup: &dyn Cgroup,
) -> Result<VmmProcess, ProcessError> {
    let path = directory.join("control");
    let socket_failed = |source| ProcessError::Socket {
        path: path.clone(),
        source,
    };
    let listener = UnixListener::bind(&path).map_err(socket_failed)?;
    // The connection waits in the listener's queue until the VMM takes it.
    let control = connect(&path).map_err(socket_failed)?;
    config.control = Control::Descriptor(CONTROL_DESCRIPTOR);

    let spawn_failed = |source| ProcessError::Spawn {
        path: program.to_owned(),
        source,
    };
    let mut command = Command::new(program);
    command
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // In a process group of its own: Ctrl-C on the host agent is not for it.
    command.kill_on_drop(true).process_group(0);
    command
        .fd_mappings(vec![FdMapping {
            parent_fd: OwnedFd::from(listener),
            child_fd: CONTROL_DESCRIPTOR,
        }])
        .map_err(|collision| spawn_failed(io::Error::other(collision)))?;
    let mut child = command.spawn().map_err(spawn_failed)?;
    let missing = || spawn_failed(io::Error::other("its standard input or error is missing"));
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    // It does nothing before it has its configuration, so nothing that it does escapes the cgroup.
    let process = child.id().ok_or_else(missing)?;
    cgroup.enter(process).map_err(ProcessError::Cgroup)?;
    let document = serde_json::to_vec(&config).map_err(|error| spawn_failed(error.into()))?;
    // A VMM that ends without reading it tells why by its end.
    let _ = stdin.write_all(&document).await;
    Ok(VmmProcess { child, control, stderr })
}

fn connect(path: &Path) -> io::Result<tokio::net::UnixStream> {
    let connection = UnixStream::connect(path)?;
    connection.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(connection)
}

/// Follows the events of a VMM until its control connection ends; what it said of its end.
pub async fn follow(mut control: impl AsyncRead + Unpin, notices: mpsc::Sender<Notice>) -> Option<(ExitCode, String)> {
    let mut ended = None;
    // The VMM's end is told by its process, so a connection that fails tells nothing.
    while let Ok(Some(event)) = frames::read::<Event>(&mut control).await {
        let (point, monotonic_ns) = match event {
            Event::VcpuRunnable { monotonic_ns } => (Point::VcpuRunnable, monotonic_ns),
            Event::GuestBooted { monotonic_ns } => (Point::GuestBooted, monotonic_ns),
            Event::Ended { exit, message } => {
                ended = Some((exit, message));
                continue;
            }
        };
        // A task that is over takes no notices.
        let _ = notices.send(Notice::Reached(point, monotonic_ns)).await;
    }
    ended
}

/// Reads a VMM's standard error to its end and keeps the last lines.
pub async fn last_lines(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..len]);
        let surplus = kept.len().saturating_sub(STDERR_LEN_MAX);
        kept.drain(..surplus);
    }
    summarize(&kept)
}

fn summarize(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let printable = |line: &str| {
        line.trim()
            .chars()
            .filter(|character| !character.is_control())
            .collect::<String>()
    };
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(STDERR_LINES_MAX)..].join("; ")
}

/// Why a VMM ended, for a person: its own words where there are any.
pub fn ending(status: io::Result<ExitStatus>, ended: Option<(ExitCode, String)>, stderr: &str) -> String {
    if let Some((_, message)) = ended.filter(|(_, message)| !message.is_empty()) {
        return message;
    }
    let how = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(ExitCode::GuestShutdown) => "the guest shut down".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::GuestPanic) => "the guest kernel panicked".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Stopped) => "the VMM was told to stop".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Failure) && !stderr.is_empty() => return stderr.to_owned(),
            (Some(code), _) => format!("the VMM exited with code {code}"),
            (None, Some(signal)) => format!("the VMM was ended by signal {signal}"),
            (None, None) => "the VMM ended".to_owned(),
        },
        Err(error) => format!("the VMM cannot be waited for: {error}"),
    };
    if stderr.is_empty() {
        how
    } else {
        format!("{how}: {stderr}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw_status: i32, ended: Option<&str>, stderr: &str, expected: &str) {
        let ended = ended.map(|message| (ExitCode::Failure, message.to_owned()));
        assert_eq!(ending(Ok(ExitStatus::from_raw(raw_status)), ended, stderr), expected);
    }

    #[test]
    fn the_vmms_own_words_come_first() {
        check(1 << 8, Some("cannot open /dev/kvm"), "noise", "cannot open /dev/kvm");
        check(1 << 8, None, "cannot open /dev/kvm", "cannot open /dev/kvm");
    }

    #[test]
    fn an_end_without_words_is_told_by_its_status() {
        check(0, None, "", "the guest shut down");
        check(3 << 8, None, "", "the guest kernel panicked");
        check(9, None, "", "the VMM was ended by signal 9");
        check(
            101 << 8,
            None,
            "thread panicked",
            "the VMM exited with code 101: thread panicked",
        );
    }

    #[tokio::test]
    async fn only_the_last_lines_of_a_long_complaint_are_kept() {
        let text = "filler\n".repeat(10_000) + "one\n\ntwo\n\x1b[31mthree\n";
        assert_eq!(last_lines(text.as_bytes()).await, "one; two; [31mthree");
    }
}
