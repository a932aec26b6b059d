//! Reads tar as image layers use it: POSIX ustar and PAX, GNU's dialect, V7.
//!
//! [`Reader`] is the stream; what it reads is understood by pure functions over bytes: [`header`] for the 512-byte
//! blocks, [`number`] for the numbers in them, [`pax`] for extended headers, [`sparse`] for maps of sparse files.
//! Nothing here knows what a layer is, and no path is given a meaning.

mod error;
pub mod header;
mod member;
pub mod number;
pub mod pax;
mod reader;
#[cfg(test)]
pub(crate) mod sample;
pub mod sparse;

pub use error::TarError;
pub use member::{Member, MemberKind};
pub use reader::Reader;

/// A point in time as tar can tell it: before and after 1970, to the nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC, rounded down.
    pub seconds: i64,
    /// Nanoseconds to add, below 1,000,000,000.
    pub nanoseconds: u32,
}

#[cfg(test)]
mod tests;
