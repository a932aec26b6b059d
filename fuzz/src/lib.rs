//! What several fuzz targets share: [`sealed`] and [`scratch`] for archives, [`flat_image`] for what becomes of layers, [`driver`]
//! for devices.
//!
//! A target is a file of `fuzz_targets/`, named after the crate and the module whose parser it feeds, or after the
//! device that it drives. It asserts what must hold for any input that is not refused. Its seeds lie in `corpus/`.

#![forbid(unsafe_code)]

pub mod flat_image;
pub mod scratch;
pub mod sealed;

/// The driver of the property tests.
#[path = "../../crates/devices/tests/hostile/driver/mod.rs"]
pub mod driver;

/// Reads the file systems that are written, by the format's description alone.
#[path = "../../crates/image/tests/erofs_reader/mod.rs"]
mod erofs_reader;
