//! The first process of a container that asked for one: it reaps whoever is left behind, passes signals on, and ends as its one child does.
//!
//! It is this program once more, without anything that the guest agent has in memory.

use std::ffi::CString;

use rustix::process::{Pid, WaitOptions, wait};

use crate::container::program::{Program, Refusal};
use crate::sys::process::{self, Fork, fork_helper};
use crate::sys::signal;

/// How the program is called when it is this.
const NAME: &str = "mote-reaper";

/// Added to a signal's number to make a shell's exit code of it.
const SIGNALLED: i32 = 128;

/// The process that is to be led, where this program was called as a reaper.
pub fn led() -> Option<Pid> {
    let mut arguments = std::env::args();
    if arguments.next()? != NAME {
        return None;
    }
    Pid::from_raw(arguments.next()?.parse().ok()?)
}

/// Forks, and goes on as the reaper of what was forked; returns in the child, which is in the foreground of its terminal and has no signal held back.
///
/// # Errors
/// The kernel's, as the refusal of the program.
pub fn lead(program: &Program) -> Result<(), Refusal> {
    let refused = |error: &std::io::Error| Refusal::other(format!("cannot fork the program's process: {error}"));
    // A signal that comes while there is nobody yet who passes it on waits.
    signal::hold_all().map_err(|error| refused(&error))?;
    match fork_helper().map_err(|error| refused(&error))? {
        Fork::Child => {
            // Both may fail: a terminal is not there, or somebody else's.
            let _ = rustix::process::setpgid(None, None);
            let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
            signal::reset().map_err(|error| refused(&error))
        }
        Fork::Parent(child) => {
            let number = child.as_raw_nonzero().to_string();
            let arguments = [NAME.to_owned(), number].map(|text| CString::new(text).unwrap_or_default());
            let _ = program.replace_self(c"/proc/self/exe", &arguments);
            // As it is, it does the same.
            let _ = process::close_all_but(&[]);
            run(child)
        }
    }
}

/// Reaps and passes signals on until `child` has ended.
pub fn run(child: Pid) -> ! {
    // As people see it; it is nothing else than its name.
    let _ = rustix::thread::set_name(c"init");
    // Where this fails, signals end the process as they would without it.
    let _ = signal::hold_all();
    loop {
        reap(child);
        match signal::wait() {
            Ok(signal::CHILD) => {}
            // That it is gone already is about to be told.
            Ok(signal) => drop(signal::send(child, signal)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => process::exit_now(1),
        }
    }
}

/// Reaps all that have ended, and ends with `child`.
fn reap(child: Pid) {
    while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
        if process != child {
            continue;
        }
        let by_signal = status.terminating_signal().map(|signal| SIGNALLED + signal);
        if let Some(code) = status.exit_status().or(by_signal) {
            process::exit_now(code);
        }
    }
}
