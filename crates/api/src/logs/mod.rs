//! The wire protocol of Amazon `CloudWatch` Logs, as far as the logs of containers are read and kept with it.
//!
//! AWS JSON 1.1, as in [`crate::ecs`]. [`request`] are the documents in, [`answer`] those out, [`error`] the refusals, [`arn`] the names,
//! [`pattern`] what chooses events.

pub mod answer;
pub mod arn;
pub mod error;
pub mod pattern;
pub mod request;

/// What comes before the operation's name in [`crate::ecs::TARGET_HEADER`].
pub const TARGET_PREFIX: &str = "Logs_20140328.";

/// The most events of an answer.
pub const EVENTS_MAX: usize = 10_000;

/// The most bytes of the events of an answer, where each counts [`EVENT_OVERHEAD`] more than it has.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// What an event counts beside its message, in bytes.
pub const EVENT_OVERHEAD: usize = 26;

/// The most log groups or streams of an answer.
pub const NAMES_MAX: usize = 50;

/// For how many days logs can be kept.
pub const RETENTION_DAYS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];
