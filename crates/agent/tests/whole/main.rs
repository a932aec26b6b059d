//! The whole host agent, from its API to the protocol of VMM and guest agent, with a VMM that only speaks it.

mod attach;
mod bench;
mod failures;
mod http;
mod process;
mod runs;
mod script;
