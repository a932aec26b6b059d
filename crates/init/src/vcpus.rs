//! vCPUs beyond the first, brought online by a process of their own: it takes its time, and the containers need not wait for it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use protocol::guest::DOORBELL_VCPUS;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::failure::{Attempt, StepError, sentence};
use crate::kernel_log;
use crate::sys::doorbell::Doorbell;
use crate::sys::process::{self, Fork, fork_helper};

/// The process, and whom it waits for.
#[derive(Debug)]
pub struct Vcpus {
    process: Pid,
    wake: OwnedFd,
}

impl Vcpus {
    /// Starts the process, which then waits to be told how many.
    ///
    /// # Errors
    /// The kernel's.
    pub fn prepare(doorbell: &Doorbell) -> Result<Self, StepError> {
        let (waits, wake) = pipe_with(PipeFlags::CLOEXEC).attempting(|| "make a pipe")?;
        match fork_helper().attempting(|| "fork a process")? {
            Fork::Child => help(doorbell, waits),
            Fork::Parent(process) => Ok(Self { process, wake }),
        }
    }

    /// Whether `process` is the one that brings them online; how it ends tells how that went.
    pub fn is_done_by(&self, process: Pid) -> bool {
        self.process == process
    }

    /// Begins to bring vCPUs online until there are `count`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn begin(&self, count: u8) -> Result<(), StepError> {
        rustix::io::write(&self.wake, &[count]).attempting(|| "wake the process that brings vCPUs online")?;
        Ok(())
    }
}

/// Waits for the number and brings them online. Never returns into the guest agent's code, of which this process is a copy.
fn help(doorbell: &Doorbell, waits: OwnedFd) -> ! {
    let mut count = [0];
    if process::close_all_but(&[waits.as_raw_fd()]).is_err() || File::from(waits).read_exact(&mut count).is_err() {
        process::exit_now(1);
    }
    doorbell.ring(DOORBELL_VCPUS);
    let online = (1..count[0]).try_for_each(|vcpu| {
        let file = format!("/sys/devices/system/cpu/cpu{vcpu}/online");
        let written = File::options()
            .write(true)
            .open(&file)
            .and_then(|mut file| file.write_all(b"1"));
        written.attempting(|| format!("bring vCPU {vcpu} online"))
    });
    match online {
        Ok(()) => process::exit_now(0),
        Err(error) => {
            kernel_log::warn(&sentence(&error));
            process::exit_now(1)
        }
    }
}
