//! PID 1 of the machine: makes the host's files, devices, cgroups and network appear, then lets the relay serve the host.
//!
//! Two processes run this program. PID 1 boots ([`boot`]), starts the relay, reaps orphans, and powers the machine off when the relay ends
//! ([`power`]). The relay ([`relay`]) is an ordinary child, so that waiting for the programs it runs ([`exec`]) never meets the reaping.

mod boot;
mod control;
mod devices;
mod exec;
mod kernel;
mod modules;
mod network;
mod power;
mod program;
mod relay;
mod root;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(relay::ARGUMENT) => relay::main(),
        _ if std::process::id() == 1 => power::off_after(boot::run()),
        _ => ExitCode::FAILURE,
    }
}
