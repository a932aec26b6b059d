//! The end of PID 1: while the relay serves, orphans are reaped; then every process ends and the machine powers off.

use std::io::Write;
use std::process::{Child, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, WaitOptions, wait};

use crate::{kernel, root};

/// What processes get between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// Waits for the relay's end and switches the machine off.
pub fn off_after(relay: Result<Child>) -> ExitCode {
    match relay {
        Ok(relay) => reap_until_exit(Pid::from_child(&relay)),
        Err(error) => say(&format!("machine: {error:#}")),
    }
    end_all_processes();
    root::unmount_data_disk();
    rustix::fs::sync();
    // Does not return; if it fails, the kernel panics at this process's exit, and QEMU ends by that.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    ExitCode::FAILURE
}

fn reap_until_exit(relay: Pid) {
    // No children at all is an error, and means the same.
    while let Ok(ended) = wait(WaitOptions::empty()) {
        if ended.is_some_and(|(pid, _)| pid == relay) {
            return;
        }
    }
}

fn end_all_processes() {
    kernel::signal_all_others(Signal::TERM);
    // Should nothing be left before, the machine powers off before this thread wakes.
    let killer = thread::Builder::new().spawn(|| {
        thread::sleep(GRACE);
        kernel::signal_all_others(Signal::KILL);
    });
    if killer.is_err() {
        kernel::signal_all_others(Signal::KILL);
    }
    while wait(WaitOptions::empty()).is_ok() {}
}

/// Writes a line to the console, which the host keeps in a file.
pub fn say(message: &str) {
    if let Ok(mut console) = std::fs::File::options().write(true).open("/dev/console") {
        let _ = writeln!(console, "{message}");
    }
}
