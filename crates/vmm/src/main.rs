//! `mote-vmm CONFIG`: one process, one microVM.
//!
//! Knows no task, no container and no image: it reads one [`protocol::vmm::Config`], runs what that describes, tells about it on
//! its control socket, and exits with a [`protocol::vmm::ExitCode`].
//!
//! Read [`process`], which is the whole story; then [`microvm`], which boots or clones a guest, [`furnish`], which gives it its devices, and
//! [`vcpu`], which runs it. A guest that is saved becomes a [`template`].
//! The main thread serves the devices in the [`event_loop`]; each vCPU has a thread; they talk by [`reports`] and [`workers`].

#![cfg_attr(not(test), no_main)]

mod process;

mod config;
mod ending;

mod microvm;
mod template;
mod x86_64;

mod backing;
mod furnish;
mod host_side;
mod memory;
mod space;
mod tap;
mod touched;

mod bus;
mod kick;
mod vcpu;
mod vcpus;
mod wiring;

mod clock;
mod control;
mod event_loop;
mod reports;
mod signals;
mod socket;
mod subscriber;
mod workers;

use std::env;
use std::io::{self, Write};
use std::path::Path;

/// The C library's entry. Rust's own would look at the process for half as long as it then takes to set up a microVM.
#[cfg_attr(not(test), unsafe(export_name = "main"))]
#[cfg_attr(test, expect(dead_code, reason = "the test harness has its own"))]
extern "C" fn main_of_c() -> i32 {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let exit = if let [path] = arguments.as_slice() {
        process::run(Path::new(path))
    } else {
        let _ = writeln!(
            io::stderr(),
            "mote-vmm: usage: mote-vmm CONFIG (a path, or - for standard input)"
        );
        protocol::vmm::ExitCode::Failure
    };
    exit.into()
}
