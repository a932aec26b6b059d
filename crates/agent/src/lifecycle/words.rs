//! Why a task ended, in ECS's words where it has any.

use protocol::guest::StartFailure;

use super::Trouble;
use crate::record::{Stop, StopCode};
use api::task::Exit;

/// The reason where a client gives none.
pub const STOPPED_BY_USER: &str = "Task stopped by user";

/// A container's reason where its memory limit killed it.
pub(super) const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// An essential container ended.
pub(super) fn essential_exited() -> Stop {
    Stop {
        code: StopCode::EssentialContainerExited,
        reason: "Essential container in task exited".to_owned(),
    }
}

/// The task ran for as long as it may.
pub(super) fn time_limit() -> Stop {
    Stop {
        code: StopCode::UserInitiated,
        reason: "Task stopped because its time limit was reached".to_owned(),
    }
}

/// A signal came for a task whose processes did not run yet.
pub(super) fn by_signal() -> Stop {
    Stop {
        code: StopCode::UserInitiated,
        reason: STOPPED_BY_USER.to_owned(),
    }
}

/// A container could not be started.
pub(super) fn cannot_start(message: &str) -> String {
    format!("CannotStartContainerError: {message}")
}

/// The host or the guest agent could not give what every task needs.
pub(super) fn cannot_initialize(message: &str) -> String {
    format!("ResourceInitializationError: {message}")
}

/// What became of a process that did not start.
pub(super) const fn not_started(failure: StartFailure) -> Exit {
    match failure {
        StartFailure::NotFound => Exit::NotFound,
        StartFailure::NotExecutable => Exit::NotExecutable,
        StartFailure::Other => Exit::Failed,
    }
}

impl Trouble {
    /// The trouble in ECS's words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Image { message, .. } => format!("CannotPullContainerError: {message}"),
            Self::Container { message, .. } => cannot_start(message),
            Self::Resource { message } => cannot_initialize(message),
        }
    }

    /// The container that has it.
    pub(super) const fn container(&self) -> Option<usize> {
        match self {
            Self::Image { container, .. } | Self::Container { container, .. } => Some(*container),
            Self::Resource { .. } => None,
        }
    }
}
