//! The harness of the end-to-end tests: a host agent of the test's own, real images, a real registry, and a count of what is left over.
//!
//! Everything here runs inside a machine, as root; `cargo xtask e2e` brings it there. Start at [`host::Host`].

#![expect(clippy::unwrap_used, reason = "a harness fails the test that uses it")]

pub mod command;
pub mod disk;
pub mod host;
pub mod injection;
pub mod leftovers;
pub mod patience;
pub mod registry;
pub mod running;
pub mod state;
pub mod wires;
pub mod world;
