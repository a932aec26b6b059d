//! The guest agent's life: from its first instruction to the end of the microVM.

use std::panic;

use protocol::guest::{DOORBELL_BOOTED, DOORBELL_SHUTDOWN};
use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::control::{Control, ControlError};
use crate::failure::{StepError, sentence};
use crate::guest;
use crate::kernel_log;
use crate::mount::Mounted;
use crate::sys::doorbell::Doorbell;
use crate::sys::{process, signal};
use crate::task::{Task, TaskError};

/// What ends the microVM before its time.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Boots the guest, runs the task, ends the microVM.
///
/// Where there is nobody to tell that it failed, it dies: the kernel then panics, and the VMM reports that. Nothing that went
/// wrong looks like a good end.
pub fn run() -> ! {
    let doorbell = match Doorbell::open() {
        Ok(doorbell) => doorbell,
        Err(error) => die(&format!("cannot open the doorbell: {error}")),
    };
    doorbell.ring(DOORBELL_BOOTED);
    panic::set_hook(Box::new(|panic| die(&panic.to_string())));
    let mut control = match Control::connect() {
        Ok(control) => control,
        Err(error) => {
            // Without /dev the log cannot be reached.
            let _ = guest::set_up();
            die(&sentence(&error))
        }
    };
    let mut mounted = Mounted::default();
    if let Err(error) = run_task(&mut control, &mut mounted) {
        let message = sentence(&error);
        kernel_log::emergency(&message);
        if let Err(error) = control.fail(message) {
            die(&format!("cannot tell the host: {error}"));
        }
    }
    shut_down(&doorbell, &mut mounted)
}

/// All that the host asks for, from the bootstrap message on.
fn run_task(control: &mut Control, mounted: &mut Mounted) -> Result<(), BootError> {
    guest::set_up()?;
    let start = control.read_start()?;
    guest::identify(&start)?;
    Task::begin(&start, control, mounted)?.run()?;
    Ok(())
}

/// Ends every process, writes everything back, and rings for the end.
fn shut_down(doorbell: &Doorbell, mounted: &mut Mounted) -> ! {
    signal::kill_all();
    while wait(WaitOptions::empty()).is_ok() {}
    mounted.unmount_all();
    rustix::fs::sync();
    doorbell.ring(DOORBELL_SHUTDOWN);
    // A VMM that does not listen still notices a reset.
    let _ = reboot(RebootCommand::Restart);
    die("the microVM did not end")
}

/// Says why, and ends the guest agent: the kernel panics.
fn die(message: &str) -> ! {
    kernel_log::emergency(message);
    process::exit_now(1)
}
