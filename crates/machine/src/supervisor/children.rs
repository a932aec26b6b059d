//! QEMU and the virtiofsds as processes.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::phase::Event;
use crate::options::{HostFiles, Options};
use crate::qemu::{self, Connections, Files, SharedDirectory};

/// Lines of the log that go into an error.
const LOG_LINES: usize = 10;

/// The processes of a machine. They die with this process; [`end`](Children::end) is the ordinary way.
pub struct Children {
    log: File,
    log_path: PathBuf,
    events: Sender<Event>,
    running: Vec<Running>,
}

struct Running {
    process: OwnedFd,
    waiter: thread::JoinHandle<()>,
}

/// A process that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its socket or log cannot be prepared.
    #[error("cannot prepare {program}")]
    Prepare {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The program does not start.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Children {
    /// No processes yet; what they will say goes to `log`.
    pub fn new(log: File, log_path: PathBuf, events: Sender<Event>) -> Self {
        Self {
            log,
            log_path,
            events,
            running: Vec::new(),
        }
    }

    /// Starts the virtiofsd of a directory. Its socket takes connections at once: it is ours until it is inherited.
    pub fn start_virtiofsd(
        &mut self,
        files: &Files,
        shared: &SharedDirectory,
        host_files: HostFiles,
    ) -> Result<(), SpawnError> {
        let prepare = |source| SpawnError::Prepare {
            program: "virtiofsd",
            source,
        };
        let listener = UnixListener::bind(&shared.socket).map_err(prepare)?;
        let descriptor = inheritable(&listener).map_err(prepare)?;
        let arguments = qemu::virtiofsd_arguments(shared, host_files, descriptor);
        self.start("virtiofsd", &files.virtiofsd, arguments, |_| Event::VirtiofsdEnded)?;
        Ok(())
    }

    /// Starts QEMU; the value is its process number.
    pub fn start_qemu(
        &mut self,
        options: &Options,
        files: &Files,
        control: UnixStream,
        connections: impl FnOnce(RawFd) -> Connections,
    ) -> Result<u32, SpawnError> {
        let descriptor = inheritable(&control).map_err(|source| SpawnError::Prepare {
            program: "QEMU",
            source,
        })?;
        let arguments = qemu::arguments(options, files, &connections(descriptor));
        self.start("QEMU", &files.qemu, arguments, |success| Event::QemuEnded { success })
    }

    fn start(
        &mut self,
        program: &'static str,
        path: &Path,
        arguments: Vec<OsString>,
        ended: fn(bool) -> Event,
    ) -> Result<u32, SpawnError> {
        let prepare = |source| SpawnError::Prepare { program, source };
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(path)
            .args(arguments)
            .stdin(Stdio::null());
        command
            .stdout(self.log.try_clone().map_err(prepare)?)
            .stderr(self.log.try_clone().map_err(prepare)?);
        let child = command
            .spawn()
            .map_err(|source| SpawnError::Start { program, source })?;
        let number = child.id();
        let process =
            pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(|error| prepare(error.into()))?;
        let events = self.events.clone();
        let waiter = thread::spawn(move || wait(child, &events, ended));
        self.running.push(Running { process, waiter });
        Ok(number)
    }

    /// Ends what still runs and waits for it.
    pub fn end(&mut self) {
        for running in &self.running {
            // An error means that it has ended already.
            let _ = pidfd_send_signal(&running.process, Signal::KILL);
        }
        for running in self.running.drain(..) {
            // A waiter that panicked has waited.
            let _ = running.waiter.join();
        }
    }

    /// `reason` with the last lines of the log.
    pub fn with_log(&self, reason: &str) -> String {
        let log = std::fs::read_to_string(&self.log_path).unwrap_or_default();
        match last_lines(&log) {
            lines if lines.is_empty() => reason.to_owned(),
            lines => format!("{reason}; its log ends with:\n{lines}"),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

fn wait(mut child: Child, events: &Sender<Event>, ended: fn(bool) -> Event) {
    let success = child.wait().is_ok_and(|status| status.success());
    // When the receiver has gone, nobody has to be told any more.
    let _ = events.send(ended(success));
}

/// Lets the next process that is started have the descriptor. The one after it does not: the caller's value closes it before.
fn inheritable(descriptor: &impl AsFd) -> io::Result<RawFd> {
    fcntl_setfd(descriptor, FdFlags::empty())?;
    Ok(descriptor.as_fd().as_raw_fd())
}

/// What a person wants to see of a log: its end, without the features of the CPU model that emulation lacks.
fn last_lines(log: &str) -> String {
    let mut lines: Vec<&str> = log
        .lines()
        .filter(|line| !line.contains("TCG doesn't support requested feature"))
        .collect();
    lines.drain(..lines.len().saturating_sub(LOG_LINES));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_end_of_the_log() {
        let noise = "qemu: warning: TCG doesn't support requested feature: CPUID";
        let log: Vec<String> = (0..20).map(|n| format!("line {n}\n{noise}")).collect();
        let shown = last_lines(&log.join("\n"));
        assert_eq!(shown.lines().count(), LOG_LINES);
        assert!(shown.ends_with("line 19") && !shown.contains("TCG"));
    }
}
