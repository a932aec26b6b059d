//! How failures of the kernel's calls are told: what was attempted, and the kernel's reason as the source.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

/// A step that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
pub struct StepError {
    /// The operation and what it was done to: `mount proc at /proc`.
    attempted: String,
    /// The kernel's reason.
    source: io::Error,
}

/// Names the operation of a result.
pub trait Attempt<T> {
    /// Says what was attempted, on what; called only where it failed.
    ///
    /// # Errors
    /// The same as before, named.
    fn attempting<S: Into<String>>(self, attempted: impl FnOnce() -> S) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempting<S: Into<String>>(self, attempted: impl FnOnce() -> S) -> Result<T, StepError> {
        self.map_err(|source| StepError {
            attempted: attempted().into(),
            source: source.into(),
        })
    }
}

/// An error and its causes as one sentence for a person.
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_one_sentence() {
        let result: Result<(), _> = Err(io::Error::from(io::ErrorKind::NotFound));
        let error = result.attempting(|| "open /etc/passwd").unwrap_err();
        assert_eq!(sentence(&error), "cannot open /etc/passwd: entity not found");
    }
}
