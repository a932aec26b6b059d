//! A layer's index as bytes, kept beside the layer's data file.
//!
//! The form is our own, little-endian, without padding:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic, with the version as its last byte |
//! | … | the entries, in order |
//! | 8 | number of entries |
//! | 8 | blocks of the data file |
//! | 32 | SHA-256 of all bytes before |
//!
//! An entry is the length of the path's start that it shares with the entry before (2 bytes), the rest of the path
//! (length in 4 bytes, then bytes), the kind (1 byte), and what the kind needs.
//!
//! A layer of a million files has an index of a hundred megabytes, so none is ever in memory as a whole: [`Writer`] writes
//! it while the layer is converted, [`Index`] reads it through a window of some kilobytes.

mod decode;
mod encode;
mod read;
mod window;

pub use decode::IndexError;
pub use encode::Writer;
pub use read::{Entries, Index, Place, Records, entries_len};
pub use window::ReadAt;

/// "moteidx" and the version. A change of the form takes a new version: what is stored in an old one is refused, and has to be removed
/// and pulled again.
const MAGIC: [u8; 8] = *b"moteidx\x03";

/// Bytes of the closing digest.
const DIGEST_BYTES: usize = 32;

/// Bytes behind the entries: two numbers and the digest.
const TRAILER_BYTES: u64 = 16 + DIGEST_BYTES as u64;

/// The byte that says what an entry is.
mod kind {
    pub const FILE: u8 = 0;
    pub const DIRECTORY: u8 = 1;
    pub const SYMLINK: u8 = 2;
    pub const CHARACTER_DEVICE: u8 = 3;
    pub const BLOCK_DEVICE: u8 = 4;
    pub const FIFO: u8 = 5;
    pub const HARD_LINK: u8 = 6;
    pub const WHITEOUT: u8 = 7;
    pub const OPAQUE: u8 = 8;
    pub const PACKED: u8 = 9;
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
