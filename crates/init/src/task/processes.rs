//! The processes of the containers: what happens to them, and what that means.

use std::io;
use std::os::fd::AsFd;

use protocol::guest::{DOORBELL_STARTED, Execute, ExitStatus, StartFailure, ToHost};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use super::{Task, TaskError, warn_of};
use crate::container::report::Report;
use crate::container::state::{self, Action, Event, State};
use crate::container::{ContainerError, execute, read_reports};
use crate::failure::sentence;
use crate::sys::signal;

/// The signal that nobody can refuse.
const KILL: u8 = 9;

impl Task<'_> {
    /// Reaps whoever has ended: containers' processes, executed ones, the guest agent's own, and orphans.
    pub(super) fn reap(&mut self) -> Result<(), TaskError> {
        signal::drain(&self.ready.children).map_err(TaskError::Events)?;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((process, status))) => self.mourn(process, status)?,
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(TaskError::Events(error.into())),
            }
        }
    }

    /// Notes the end of `process`.
    fn mourn(&mut self, process: Pid, status: WaitStatus) -> Result<(), TaskError> {
        if self.ready.vcpus.is_done_by(process) {
            return self.vcpus_are_online(exit_status(status));
        }
        let known = self.processes.iter_mut().find(|known| known.process == Some(process));
        let (Some(known), Some(status)) = (known, exit_status(status)) else {
            return Ok(());
        };
        known.process = None;
        // Resizing would keep the terminal open.
        known.connections.terminal = None;
        let number = known.number;
        let kills = self.containers[known.container].cgroup.memory_kills();
        let out_of_memory = kills > known.memory_kills;
        let closed = self.carriers.close_input(&self.ready.poller, number);
        closed.map_err(TaskError::Events)?;
        self.happen(number, Event::ProcessEnded { status, out_of_memory })
    }

    /// Reads what the process with this number reports, to its end if it is there.
    pub(super) fn read_report(&mut self, number: u32) -> Result<(), TaskError> {
        let Some(index) = self.process(number) else {
            return Ok(());
        };
        let process = &mut self.processes[index];
        let Some(socket) = &process.socket else {
            return Ok(());
        };
        let ended = read_reports(socket.as_fd(), &mut process.reports);
        while let Some(report) = self.next_report(number)? {
            match report {
                Report::Ready => {}
                Report::Prepared => self.happen(number, Event::Prepared)?,
                Report::Refused { reason, message } => self.happen(number, Event::StartFailed { reason, message })?,
            }
        }
        if ended && self.stop_listening_to(number)? {
            self.happen(number, Event::ReportEnded)?;
        }
        Ok(())
    }

    fn next_report(&mut self, number: u32) -> Result<Option<Report>, TaskError> {
        match self.process(number) {
            Some(index) => self.processes[index].reports.take().map_err(TaskError::Report),
            None => Ok(None),
        }
    }

    /// Whether it was listened to.
    fn stop_listening_to(&mut self, number: u32) -> Result<bool, TaskError> {
        let index = self.process(number);
        let Some(socket) = index.and_then(|index| self.processes[index].socket.take()) else {
            return Ok(false);
        };
        self.ready.poller.remove(&socket).map_err(TaskError::Events)?;
        Ok(true)
    }

    /// Decides what `event` means for a process and does it; one that is not known any more has no events.
    pub(super) fn happen(&mut self, number: u32, event: Event) -> Result<(), TaskError> {
        let Some(index) = self.process(number) else {
            return Ok(());
        };
        let process = &mut self.processes[index];
        let is_executed = process.is_executed;
        let (after, actions) = state::next(process.state.clone(), event);
        let is_over = after == State::Finished;
        process.state = after;
        for action in actions {
            self.act(number, is_executed, action)?;
        }
        // A container's own stays, for those who come late.
        if is_executed && is_over {
            self.stop_listening_to(number)?;
            self.processes
                .retain(|process| process.number != number || process.process.is_some());
        }
        Ok(())
    }

    fn act(&mut self, number: u32, is_executed: bool, action: Action) -> Result<(), TaskError> {
        let process = number;
        let message = match action {
            Action::CarryStreams => {
                self.carry_streams(number)?;
                return self.begin_the_rest();
            }
            Action::LetGo => {
                if let Some(index) = self.process(number) {
                    let released = self.processes[index].let_go();
                    warn_of(released.map_err(io::Error::from), &format!("release process {number}"));
                }
                return Ok(());
            }
            Action::TellPrepared => ToHost::Prepared { process },
            Action::TellStarted => ToHost::Started { process },
            Action::TellStartFailed(reason, message) => {
                self.stop_listening_to(number)?;
                let closed = self.carriers.close_input(&self.ready.poller, number);
                closed.map_err(TaskError::Events)?;
                if let Some(index) = self.process(number) {
                    self.processes[index].connections = crate::container::streams::Connections::default();
                }
                ToHost::StartFailed {
                    process,
                    reason,
                    message,
                }
            }
            Action::TellExited { status, out_of_memory } => ToHost::Exited {
                process,
                status,
                out_of_memory,
            },
        };
        let has_started = matches!(message, ToHost::Started { .. });
        if is_executed {
            self.say(&message)?;
        } else {
            self.tell(message)?;
        }
        if has_started && std::mem::take(&mut self.tells_started) {
            self.ready.doorbell.ring(DOORBELL_STARTED);
        }
        Ok(())
    }

    /// Begins to carry the streams of a process.
    fn carry_streams(&mut self, number: u32) -> Result<(), TaskError> {
        let Some(index) = self.process(number) else {
            return Ok(());
        };
        let connections = &mut self.processes[index].connections;
        let poller = &self.ready.poller;
        let carried = connections.carry(&mut self.carriers, poller, number);
        let opened = carried.and_then(|()| self.carriers.open_input(poller, number));
        match opened.map_err(TaskError::Events)? {
            Some(received) => self.say(&ToHost::Acknowledge(received)),
            None => Ok(()),
        }
    }

    /// Runs a container once more.
    pub(super) fn restart(&mut self, container: &str, number: u32) -> Result<(), TaskError> {
        match self.try_restart(container, number) {
            Ok(()) => Ok(()),
            Err(error) => self.tell(failed(number, &error)),
        }
    }

    fn try_restart(&mut self, name: &str, number: u32) -> Result<(), ContainerError> {
        let not_there = || ContainerError::NotRunning(name.to_owned());
        let index = self.container(name).ok_or_else(not_there)?;
        let is_own = |process: &crate::container::Process| process.container == index && !process.is_executed;
        let runs = |process: &crate::container::Process| process.state != State::Finished || process.process.is_some();
        if self.processes.iter().any(|process| is_own(process) && runs(process)) {
            return Err(ContainerError::Running(name.to_owned()));
        }
        let before = self.processes.iter().position(is_own);
        if let Some(before) = before.map(|position| self.processes.swap_remove(position).number) {
            // Whoever restarts it knows how it ended.
            self.told.retain(|message| spoken_of(message) != Some(before));
        }
        let container = &mut self.containers[index];
        let nursery = &self.ready.nursery;
        let hatched = nursery.take_again(&container.description, container.number, &container.cgroup)?;
        let process = container.begin_again(number, &self.place, hatched, index)?;
        self.listen_to(process)
    }

    /// Runs a further process in a container.
    pub(super) fn execute(&mut self, execute: Execute) -> Result<(), TaskError> {
        let number = execute.process;
        match self.try_execute(execute) {
            Ok(()) => Ok(()),
            Err(error) => self.say(&failed(number, &error)),
        }
    }

    fn try_execute(&mut self, execute: Execute) -> Result<(), ContainerError> {
        let not_there = || ContainerError::NotRunning(execute.container.clone());
        let index = self.container(&execute.container).ok_or_else(not_there)?;
        let mut own = self.processes.iter().filter(|process| !process.is_executed);
        let leader = own.find(|process| process.container == index && process.state == State::Running);
        let leader = leader.and_then(|process| process.process).ok_or_else(not_there)?;
        let process = execute::begin(execute, &self.containers[index], leader, index)?;
        self.listen_to(process)
    }

    /// Kills what was executed, and forgets it: nobody asks for it any more.
    pub(super) fn kill_executed(&mut self) -> Result<(), TaskError> {
        for process in self.processes.extract_if(.., |process| process.is_executed) {
            warn_of(process.signal(KILL), &format!("kill process {}", process.number));
            let poller = &self.ready.poller;
            let forgotten = process.socket.as_ref().map_or(Ok(()), |socket| poller.remove(socket));
            let abandoned = self.carriers.abandon(poller, process.number);
            forgotten.and(abandoned).map_err(TaskError::Events)?;
        }
        Ok(())
    }
}

fn failed(process: u32, error: &ContainerError) -> ToHost {
    ToHost::StartFailed {
        process,
        reason: StartFailure::Other,
        message: sentence(error),
    }
}

/// The process that a message tells of.
const fn spoken_of(message: &ToHost) -> Option<u32> {
    match message {
        ToHost::Prepared { process }
        | ToHost::Started { process }
        | ToHost::StartFailed { process, .. }
        | ToHost::Exited { process, .. } => Some(*process),
        _ => None,
    }
}

/// How a process ended; none where it only stopped or went on.
fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let byte = |number: i32| u8::try_from(number).ok();
    let code = status.exit_status().and_then(byte).map(ExitStatus::Code);
    code.or_else(|| status.terminating_signal().and_then(byte).map(ExitStatus::Signal))
}
