//! How a task ended and why, in the words that a person reads.

use api::task::Exit;
use protocol::guest::{ExitStatus, StartFailure};

/// The number of `SIGKILL`.
const SIGKILL: u8 = 9;

/// Why a task is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A client asked for it.
    Request,
    /// It ran for as long as it may.
    TimeLimit,
    /// The host agent ends.
    AgentEnds,
}

impl Cause {
    /// The cause as the beginning of a sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Request => "stopped by request",
            Self::TimeLimit => "stopped because its time limit was reached",
            Self::AgentEnds => "stopped because the host agent ended",
        }
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How its process ended; none where it never ran and mote is not to blame.
    pub exit: Option<Exit>,
    /// Why the task stopped, for a person.
    pub reason: String,
}

impl Outcome {
    /// The task was stopped when no process ran yet.
    pub(super) fn never_ran(cause: Cause) -> Self {
        Self {
            exit: None,
            reason: format!("{} before its process ran", cause.text()),
        }
    }

    /// mote failed.
    pub(super) const fn failed(reason: String) -> Self {
        Self {
            exit: Some(Exit::Failed),
            reason,
        }
    }

    /// The microVM was lost under a running process.
    pub(super) fn died(message: &str) -> Self {
        Self::failed(format!(
            "the microVM ended while the container's process ran: {message}"
        ))
    }

    /// The guest agent could not start the process.
    pub(super) const fn not_started(failure: StartFailure, reason: String) -> Self {
        let exit = match failure {
            StartFailure::NotFound => Exit::NotFound,
            StartFailure::NotExecutable => Exit::NotExecutable,
            StartFailure::Other => Exit::Failed,
        };
        Self {
            exit: Some(exit),
            reason,
        }
    }

    /// The process ended by itself.
    pub(super) fn exited(status: ExitStatus, out_of_memory: bool) -> Self {
        let ending = match status {
            ExitStatus::Code(code) => format!("its process exited with code {code}"),
            ExitStatus::Signal(signal) => format!("its process was ended by signal {signal}"),
        };
        let reason = if out_of_memory {
            format!("{ending}, after its memory limit was reached")
        } else {
            ending
        };
        Self {
            exit: Some(exit(status)),
            reason,
        }
    }

    /// The process ended after it was asked to.
    pub(super) fn stopped(cause: Cause, status: ExitStatus) -> Self {
        Self {
            exit: Some(exit(status)),
            reason: cause.text().to_owned(),
        }
    }

    /// The process was killed, but nobody confirmed it.
    pub(super) fn killed(cause: Cause) -> Self {
        let reason = format!("{}; the guest agent did not report its end", cause.text());
        Self {
            exit: Some(Exit::Signal(SIGKILL)),
            reason,
        }
    }
}

const fn exit(status: ExitStatus) -> Exit {
    match status {
        ExitStatus::Code(code) => Exit::Code(code),
        ExitStatus::Signal(signal) => Exit::Signal(signal),
    }
}
