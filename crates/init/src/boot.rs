//! The guest agent's life: from its first instruction to the end of the microVM.

use std::panic;

use protocol::guest::{DOORBELL_BOOTED, DOORBELL_SHUTDOWN};
use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::failure::sentence;
use crate::kernel_log;
use crate::lodging;
use crate::ready::Ready;
use crate::sys::doorbell::Doorbell;
use crate::sys::{process, signal};
use crate::task::{Task, TaskError};
use crate::warm;

/// Boots the guest, runs the task, ends the microVM.
///
/// Where there is nobody to tell that it failed, it dies: the kernel then panics, and the VMM reports that. Nothing that went
/// wrong looks like a good end.
pub fn run() -> ! {
    panic::set_hook(Box::new(|panic| die(&panic.to_string())));
    lodging::settle();
    let doorbell = match Doorbell::open() {
        Ok(doorbell) => doorbell,
        Err(error) => die(&format!("cannot open the doorbell: {error}")),
    };
    let mut ready = match Ready::make(doorbell) {
        Ok(ready) => ready,
        Err(error) => die(&sentence(&error)),
    };
    come_to_rest();
    // What the host is to hear of containers does not wait for their programs. Not before: who rests lets others run.
    if let Err(error) = process::go_first() {
        die(&format!("cannot run before containers: {error}"));
    }
    ready.doorbell.ring(DOORBELL_BOOTED);
    // Here templates are taken: what follows happens in each clone.
    let plugged = ready.doorbell.plugged_slots();
    if let Err(error) = run_task(&mut ready, plugged) {
        let message = sentence(&error);
        kernel_log::emergency(&message);
        if let Err(error) = ready.control.fail(message) {
            die(&format!("cannot tell the host: {error}"));
        }
    }
    shut_down(&ready)
}

/// All that the host asks for.
fn run_task(ready: &mut Ready, plugged: u32) -> Result<(), TaskError> {
    Task::begin(ready, plugged)?.run()
}

/// Lets everybody else finish what is under way.
fn come_to_rest() {
    rustix::fs::sync();
    warm::idle();
}

/// Rings for the end. What the scratch disk and the processes hold goes with the microVM; other disks get what was written.
fn shut_down(ready: &Ready) -> ! {
    if ready.disks.keeps() {
        signal::kill_all();
        while wait(WaitOptions::empty()).is_ok() {}
        rustix::fs::sync();
    }
    ready.doorbell.ring(DOORBELL_SHUTDOWN);
    // A VMM that does not listen still notices a reset.
    let _ = reboot(RebootCommand::Restart);
    die("the microVM did not end")
}

/// Says why, and ends the guest agent: the kernel panics.
fn die(message: &str) -> ! {
    kernel_log::emergency(message);
    process::exit_now(1)
}
