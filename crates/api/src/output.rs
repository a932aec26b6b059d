//! What containers wrote, as the host agent keeps it.

use serde::{Deserialize, Serialize};

/// The query of a `GET` of [`crate::route::TASK_LOGS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// The container; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Nothing that came before this, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Nothing that came at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Of that, only so many of the last lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// Whether what comes later is told as it comes, until the task has stopped.
    #[serde(default)]
    pub follow: bool,
}

/// One line of the answer to a `GET` of [`crate::route::TASK_LOGS`]: a JSON object on a line of its own, oldest first.
///
/// Exactly one of [`Self::text`] and [`Self::base64`] is there. Put one after the other, they are what the container wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it came, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The container that wrote it.
    pub container: String,
    /// Where it wrote it to.
    pub source: LogSource,
    /// What it wrote, with its line end; without, where it wrote none or the line is too long for one entry and goes on in the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same where it is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Where a container writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Its terminal.
    Terminal,
}
