//! How a microVM ended, and what says so.

use protocol::vmm::ExitCode;

/// How a microVM ended: first come, first served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What the process exits with.
    pub exit: ExitCode,
    /// One sentence for a person.
    pub message: String,
}

impl Ending {
    /// An ending with its sentence.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// This program failed: the sentence is `error` with all its causes.
    pub fn failure(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitCode::Failure, format!("{:#}", error.into()))
    }
}
