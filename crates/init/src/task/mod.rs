//! The task: one event loop that carries streams and messages until the host ends it.
//!
//! A container's end is told at once, while what is left of its output is still on its way: the host waits for the ends of the streams
//! as well. The task ends when the host says so, or when the control connection ends: a guest that nobody talks to is of no use.

mod late;

use std::io;
use std::os::fd::AsFd;

use protocol::guest::{self, DOORBELL_STARTED, ExitStatus, Start, StartFailure, ToGuest, ToHost, WANTS_STARTED};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::carriers::Carriers;
use crate::container::report::Report;
use crate::container::state::{self, Action, Event};
use crate::container::{Container, ContainerError, read_reports, streams};
use crate::control::ControlError;
use crate::failure::{Attempt, StepError, sentence};
use crate::guest::identify;
use crate::kernel_log;
use crate::poller::Token;
use crate::ready::Ready;
use crate::slots::SlotError;
use crate::sys::signal;
use late::{Late, share};

/// Why a task cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The host.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The event loop.
    #[error("cannot wait for events")]
    Events(#[source] io::Error),
    /// The devices.
    #[error(transparent)]
    Device(#[from] SlotError),
    /// A container's process, before its program.
    #[error("cannot understand the report of a container's process")]
    Report(#[source] protocol::frame::FrameError),
    /// vCPUs beyond the first.
    #[error("cannot bring all vCPUs online")]
    Vcpus,
    /// A call to the kernel.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Everything that runs.
#[derive(Debug)]
pub struct Task<'a> {
    ready: &'a mut Ready,
    containers: Vec<Container>,
    carriers: Carriers,
    late: Late,
    /// Whether the VMM wants to hear that the first program has begun.
    tells_started: bool,
}

impl<'a> Task<'a> {
    /// Connects to the host, and prepares every container that it asks for. One that cannot be prepared is told to the host; the others
    /// go on.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn begin(ready: &'a mut Ready, plugged: u32) -> Result<Self, TaskError> {
        ready.control.begin()?;
        // While the host accepts.
        ready.disks.plug(plugged)?;
        ready.control.say_hello()?;
        let start = ready.control.wait_for_start()?;
        identify(&ready.random, &start)?;
        let mut task = Self {
            ready,
            containers: Vec::with_capacity(start.containers.len()),
            carriers: Carriers::default(),
            late: Late::new(start.vcpus, start.growth_mib, start.waits_for_vcpus),
            tells_started: plugged & WANTS_STARTED != 0,
        };
        task.begin_what_is_waited_for()?;
        task.start_all(start)?;
        Ok(task)
    }

    fn start_all(&mut self, start: Start) -> Result<(), TaskError> {
        let count = start.containers.len();
        if count == 0 {
            // There is no process whose start could be in the way.
            self.begin_the_rest()?;
        }
        for description in start.containers {
            let container = description.name.clone();
            if let Err(error) = self.start(description, &start.hostname, count) {
                self.ready.control.send(&ToHost::StartFailed {
                    container,
                    reason: StartFailure::Other,
                    message: sentence(&error),
                })?;
            }
        }
        Ok(())
    }

    /// Begins to prepare one of `count` containers.
    fn start(&mut self, description: guest::Container, hostname: &str, count: usize) -> Result<(), ContainerError> {
        if self.find(&description.name).is_some() {
            return Err(ContainerError::Name(description.name));
        }
        self.ready
            .disks
            .mount_image(description.rootfs_slot, Some(&self.ready.uevents))?;
        if let Some(slot) = description.scratch_slot {
            self.ready.disks.mount_scratch(slot)?;
        }
        let nursling = self.ready.nursery.take(&description)?;
        let share = share(self.ready.memory.high(), count);
        let limited = description.memory_bytes_max.is_some_and(|max| max <= share);
        let mut container = Container::begin(description, hostname, nursling)?;
        if !limited {
            container.cgroup.slow_down_above(self.late.grows().then_some(share))?;
        }
        if let Some(socket) = &container.socket {
            let token = Token::Report(container.number);
            let watched = self.ready.poller.add(socket, token, EventFlags::IN);
            watched.attempting(|| "wait for a container's process")?;
        }
        self.containers.push(container);
        Ok(())
    }

    /// Carries on until the task is over.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn run(&mut self) -> Result<(), TaskError> {
        let mut awaited = EventFlags::IN;
        // Behind the bootstrap message there may be others.
        if self.obey()? {
            return Ok(());
        }
        loop {
            let needed = if self.ready.control.wants_to_send() {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            if needed != awaited {
                let modified = self.ready.poller.modify(&self.ready.control, Token::Control, needed);
                modified.map_err(TaskError::Events)?;
                awaited = needed;
            }
            for token in self.ready.poller.wait().map_err(TaskError::Events)? {
                match token {
                    Token::Control => {
                        self.ready.control.flush()?;
                        let ended = self.ready.control.receive()?;
                        if self.obey()? || ended {
                            return Ok(());
                        }
                    }
                    Token::Children => self.reap()?,
                    Token::Report(number) => self.read_report(number)?,
                    Token::Relay(index) => {
                        let carried = self.carriers.step(&self.ready.poller, index);
                        carried.map_err(TaskError::Events)?;
                    }
                    Token::Uevents => self.look_at_memory()?,
                }
            }
        }
    }

    /// Does what the host has asked for; whether the task is over.
    fn obey(&mut self) -> Result<bool, TaskError> {
        while let Some(message) = self.ready.control.next_message()? {
            match message {
                ToGuest::Shutdown => return Ok(true),
                ToGuest::Release { container } => {
                    if !self.late.holds(&container) {
                        self.happen_to(&container, Event::Release)?;
                    }
                }
                ToGuest::Signal { container, signal } => {
                    if let Some(process) = self.find(&container).and_then(|container| container.process) {
                        warn_of(
                            signal::send(process, signal),
                            &format!("send signal {signal} to {container}"),
                        );
                    }
                }
                ToGuest::Resize { container, size } => {
                    let found = self.find(&container);
                    if let Some(terminal) = found.and_then(|found| found.connections.terminal.as_ref()) {
                        warn_of(
                            streams::resize(terminal, size),
                            &format!("resize the terminal of {container}"),
                        );
                    }
                }
                ToGuest::Start(_) => {
                    kernel_log::warn("the host sent a second bootstrap message, which changes nothing");
                }
            }
        }
        Ok(false)
    }

    /// Reaps whoever has ended: containers' first processes, the guest agent's own, and orphans.
    fn reap(&mut self) -> Result<(), TaskError> {
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
        let index = self
            .containers
            .iter()
            .position(|container| container.process == Some(process));
        let (Some(index), Some(status)) = (index, exit_status(status)) else {
            return Ok(());
        };
        self.containers[index].process = None;
        let out_of_memory = self.containers[index].cgroup.ran_out_of_memory();
        self.happen(index, Event::ProcessEnded { status, out_of_memory })
    }

    /// Reads what the process with this number reports, to its end if it is there.
    fn read_report(&mut self, number: u32) -> Result<(), TaskError> {
        let Some(index) = self.containers.iter().position(|container| container.number == number) else {
            return Ok(());
        };
        let container = &mut self.containers[index];
        let Some(socket) = &container.socket else {
            return Ok(());
        };
        let ended = read_reports(socket.as_fd(), &mut container.reports);
        while let Some(report) = self.containers[index].reports.take().map_err(TaskError::Report)? {
            match report {
                Report::Ready => {}
                Report::Prepared => {
                    let container = &mut self.containers[index];
                    let event = match container.connections.greet(&container.name) {
                        Ok(()) => Event::Prepared,
                        Err(error) => Event::StartFailed {
                            reason: StartFailure::Other,
                            message: sentence(&error),
                        },
                    };
                    self.happen(index, event)?;
                }
                Report::Refused { reason, message } => self.happen(index, Event::StartFailed { reason, message })?,
            }
        }
        if ended && let Some(socket) = self.containers[index].socket.take() {
            self.ready.poller.remove(&socket).map_err(TaskError::Events)?;
            self.happen(index, Event::ReportEnded)?;
        }
        Ok(())
    }

    /// The container that the host calls `name`.
    fn find(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// As [`Self::happen`], for a container that the host names; one that could not be started has no more events.
    fn happen_to(&mut self, name: &str, event: Event) -> Result<(), TaskError> {
        match self.containers.iter().position(|container| container.name == name) {
            Some(index) => self.happen(index, event),
            None => Ok(()),
        }
    }

    /// Decides what `event` means for a container and does it.
    fn happen(&mut self, index: usize, event: Event) -> Result<(), TaskError> {
        let container = &mut self.containers[index];
        let (after, actions) = state::next(container.state.clone(), event);
        container.state = after;
        for action in actions {
            let container = self.containers[index].name.clone();
            let message = match action {
                Action::CarryStreams => {
                    self.carry_streams(index)?;
                    self.begin_the_rest()?;
                    continue;
                }
                Action::LetGo => {
                    let released = self.containers[index].let_go();
                    warn_of(released.map_err(io::Error::from), &format!("release {container}"));
                    continue;
                }
                Action::TellPrepared => ToHost::Prepared { container },
                Action::TellStarted => ToHost::Started { container },
                Action::TellStartFailed(reason, message) => {
                    self.abandon(index)?;
                    ToHost::StartFailed {
                        container,
                        reason,
                        message,
                    }
                }
                Action::TellExited { status, out_of_memory } => ToHost::Exited {
                    container,
                    status,
                    out_of_memory,
                },
            };
            self.ready.control.send(&message)?;
            if matches!(message, ToHost::Started { .. }) && std::mem::take(&mut self.tells_started) {
                self.ready.doorbell.ring(DOORBELL_STARTED);
            }
        }
        Ok(())
    }

    /// Begins to carry the streams of a container.
    fn carry_streams(&mut self, index: usize) -> Result<(), TaskError> {
        for (source, sink) in self.containers[index].connections.take_directions()? {
            let carried = self.carriers.carry(&self.ready.poller, source, sink);
            carried.map_err(TaskError::Events)?;
        }
        Ok(())
    }

    /// Lets go of the process and the streams of a container that could not be started: both end then, where they have not yet.
    fn abandon(&mut self, index: usize) -> Result<(), TaskError> {
        let container = &mut self.containers[index];
        // The host hears of each stream before its end, if it still can.
        let _ = container.connections.greet(&container.name);
        drop(container.connections.take_directions()?);
        if let Some(socket) = container.socket.take() {
            self.ready.poller.remove(&socket).map_err(TaskError::Events)?;
        }
        Ok(())
    }
}

/// How a process ended; none where it only stopped or went on.
fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let byte = |number: i32| u8::try_from(number).ok();
    let code = status.exit_status().and_then(byte).map(ExitStatus::Code);
    code.or_else(|| status.terminating_signal().and_then(byte).map(ExitStatus::Signal))
}

/// Tells the kernel's log of a failure that concerns nobody else.
fn warn_of(result: io::Result<()>, attempted: &str) {
    if let Err(error) = result {
        kernel_log::warn(&format!("cannot {attempted}: {error}"));
    }
}
