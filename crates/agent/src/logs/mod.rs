//! The output of containers: on disk, bounded, read from any point, followed while it is written.
//!
//! Each container has a directory, `TASK/CONTAINER`, of files that are only appended to. [`entry`] is what they are made of and [`segment`] one
//! of them; [`writer`] appends, and stores a piece of output once however often it comes ([`positions`]); [`reader`] makes [`lines`] of it.
//! [`store`] knows all of them.

pub mod entry;
pub mod lines;
pub mod positions;
pub mod reader;
pub mod segment;
pub mod store;
pub mod writer;

#[cfg(test)]
mod tests;

pub use store::Logs;
