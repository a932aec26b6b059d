//! Whole images, from tar archives that other programs wrote to a flat image that other programs read.
//!
//! The trees must equal what `umoci unpack` makes of the same layers, in everything that an image can say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against_umoci;
mod fsck;
mod image;
mod sample;
mod tool;

#[path = "../erofs_reader/mod.rs"]
mod erofs_reader;
#[path = "../listing/mod.rs"]
mod listing;
