//! OCI image in, rootfs snapshot out.

pub mod config;
pub mod credentials;
pub mod digest;
pub mod manifest;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod source;
