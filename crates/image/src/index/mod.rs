//! A layer's index as bytes, kept beside the layer's data file.
//!
//! The form is our own, little-endian, without padding:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic, with the version as its last byte |
//! | 8 | blocks of the data file |
//! | 8 | number of entries |
//! | … | the entries, in order |
//! | 32 | SHA-256 of all bytes before |
//!
//! An entry is the length of the path's start that it shares with the entry before (2 bytes), the rest of the path
//! (length in 4 bytes, then bytes), the kind (1 byte), and what the kind needs.

mod decode;
mod encode;

pub use decode::{IndexError, parse};
pub use encode::encode;

/// "moteidx" and the version. A change of the form takes a new version, and old files are converted again.
const MAGIC: [u8; 8] = *b"moteidx\x01";

/// Bytes of the closing digest.
const DIGEST_BYTES: usize = 32;

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
}

#[cfg(test)]
mod tests;
