//! The end-to-end tests: a real host agent, real images, real microVMs, in a machine.
//!
//! One host agent with all test images serves every test that does not need one of its own ([`fixture`]).

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod bad_input;
mod cleanup;
mod cli;
mod clones;
mod cycles;
mod devices;
mod disturbances;
mod ecs;
mod exit;
mod fallback;
mod faults;
mod fixture;
mod guest_agent;
mod images;
mod jail;
mod kernel;
mod late_rootfs;
mod network;
mod networks;
mod pool;
mod process;
mod rates;
mod reboot;
mod registry;
mod remote;
mod rootfs;
mod sessions;
mod sharing;
mod size;
mod sizes;
mod store;
mod streams;
mod templates;
mod usage;
mod vmm;
mod volumes;
