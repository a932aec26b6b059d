//! The whole host agent, from its API to the protocol of VMM and guest agent, with a VMM that only speaks it.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod attach;
mod bench;
mod failures;
mod fakes;
mod hostile;
mod http;
mod pool;
mod process;
mod runs;
mod script;
mod stats;
mod survival;
mod templates;
