//! Asks a guest kernel, from inside, for everything that containers and the guest agent need of it.
//!
//! Runs as PID 1 of a microVM: one line per check on the console, then a summary, then the machine is reset. Linked
//! statically, since nothing else is in that microVM. Changes nothing outside the machine that it ends. With the argument `late-devices` it
//! plays the guest agent of a clone instead, and uses what was plugged late.

use std::io::{self, Write};

mod calls;
mod containers;
mod devices;
mod filesystems;
mod late;
mod netlink;
mod network;
mod system;

/// What a check says: nothing, or why the kernel falls short.
type Outcome = Result<(), String>;

/// Counts outcomes and prints each as it comes: after a crash the last line tells how far the kernel got.
#[derive(Default)]
struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    fn record(&mut self, name: &str, outcome: Outcome) -> io::Result<()> {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                writeln!(io::stdout(), "ok {name}")
            }
            Err(reason) => {
                self.failed += 1;
                writeln!(io::stdout(), "FAIL {name}: {reason}")
            }
        }
    }
}

fn run(report: &mut Report) -> io::Result<()> {
    filesystems::check(report)?;
    calls::check(report)?;
    containers::check(report)?;
    devices::check(report)?;
    network::check(report)?;
    writeln!(
        io::stdout(),
        "kernel-check: {} passed, {} failed",
        report.passed,
        report.failed
    )
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some(containers::UNSHARE_USER) => return system::unshare(libc::CLONE_NEWUSER),
        Some(late::LATE_DEVICES) => return late::run(),
        _ => {}
    }
    run(&mut Report::default())?;
    io::stdout().flush()?;
    system::reset_machine()
}
