//! The output of containers: on disk, bounded, read from any point, followed while it is written.
//!
//! Each container has a directory, `TASK/CONTAINER`, of files that are only appended to. [`entry`] is what they are made of and [`segment`] one
//! of them; [`writer`] appends, and stores a piece of output once however often it comes ([`positions`]); [`reader`] makes [`lines`] of it.
//! [`store`] knows all of them, [`catalogue`] which streams there are, [`groups`] what is known of their groups.
//!
//! Two ways to read them: [`cloudwatch`] has the calls of `CloudWatch` Logs, [`native`] the host agent's own route.

pub mod catalogue;
pub mod cloudwatch;
pub mod entry;
pub mod groups;
pub mod lines;
pub mod merge;
pub mod native;
pub mod positions;
pub mod reader;
pub mod segment;
pub mod store;
pub mod writer;

#[cfg(test)]
mod tests;

pub use store::Logs;
