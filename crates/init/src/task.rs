//! The task: one event loop that carries streams and messages until the host ends it.
//!
//! A container's end is told at once, while what is left of its output is still on its way: the host waits for the ends of the streams
//! as well. The task ends when the host says so, or when the control connection ends: a guest that nobody talks to is of no use.

use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use protocol::frame::FrameError;
use protocol::guest::{ExitStatus, Start, StartFailure, ToGuest, ToHost};
use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::container::Container;
use crate::container::state::{self, Action, Event};
use crate::container::streams::{self, Carried};
use crate::control::{Control, ControlError};
use crate::failure::sentence;
use crate::kernel_log;
use crate::mount::Mounted;
use crate::poller::{Poller, Token};
use crate::relay::{Needs, Relay};
use crate::sys::signal;

/// Where the containers' file systems are mounted.
const CONTAINERS: &str = "/containers";

/// Why a task cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The host.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The event loop.
    #[error("cannot wait for events")]
    Events(#[source] io::Error),
    /// A container's process, before its program.
    #[error("cannot understand the report of a container's process")]
    Report(#[from] FrameError),
}

/// A relay and the end that it waits for.
#[derive(Debug)]
struct Carrier {
    relay: Relay,
    waits_for: Needs,
}

/// Everything that runs.
#[derive(Debug)]
pub struct Task<'a> {
    control: &'a mut Control,
    poller: Poller,
    children: OwnedFd,
    containers: Vec<Container>,
    carriers: Vec<Option<Carrier>>,
}

impl<'a> Task<'a> {
    /// Starts to prepare every container of `start`. One that cannot be prepared is told to the host; the others go on.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn begin(start: &Start, control: &'a mut Control, mounted: &mut Mounted) -> Result<Self, TaskError> {
        let poller = Poller::new().map_err(TaskError::Events)?;
        let children = signal::child_signals().map_err(TaskError::Events)?;
        poller
            .add(&children, Token::Children, EventFlags::IN)
            .map_err(TaskError::Events)?;
        poller
            .add(&*control, Token::Control, EventFlags::IN)
            .map_err(TaskError::Events)?;
        let mut task = Self {
            control,
            poller,
            children,
            containers: Vec::new(),
            carriers: Vec::new(),
        };
        for (number, description) in start.containers.iter().enumerate() {
            let directory = Path::new(CONTAINERS).join(number.to_string());
            match Container::start(description, &start.hostname, &directory, mounted) {
                Ok(container) => task.watch(container)?,
                Err(error) => task.control.send(&ToHost::StartFailed {
                    container: description.name.clone(),
                    reason: StartFailure::Other,
                    message: sentence(&error),
                })?,
            }
        }
        Ok(task)
    }

    /// Carries on until the task is over.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn run(&mut self) -> Result<(), TaskError> {
        let mut awaited = EventFlags::IN;
        loop {
            let needed = if self.control.wants_to_send() {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            if needed != awaited {
                self.poller
                    .modify(&*self.control, Token::Control, needed)
                    .map_err(TaskError::Events)?;
                awaited = needed;
            }
            for token in self.poller.wait().map_err(TaskError::Events)? {
                match token {
                    Token::Control => {
                        if self.talk()? {
                            return Ok(());
                        }
                    }
                    Token::Children => self.reap()?,
                    Token::Report(index) => self.read_report(index)?,
                    Token::Relay(index) => self.carry(index)?,
                }
            }
        }
    }

    /// Waits for the report of a container that was just forked.
    fn watch(&mut self, container: Container) -> Result<(), TaskError> {
        let index = index_of(self.containers.len())?;
        if let Some(report) = &container.report {
            ioctl_fionbio(report, true).map_err(|error| TaskError::Events(error.into()))?;
            self.poller
                .add(report, Token::Report(index), EventFlags::IN)
                .map_err(TaskError::Events)?;
        }
        self.containers.push(container);
        Ok(())
    }

    /// Sends and receives; whether the task is over.
    fn talk(&mut self) -> Result<bool, TaskError> {
        self.control.flush()?;
        let received = self.control.receive()?;
        for message in received.messages {
            match message {
                ToGuest::Shutdown => return Ok(true),
                ToGuest::Release { container } => self.happen_to(&container, Event::Release)?,
                ToGuest::Signal { container, signal } => {
                    if let Some(process) = self.find(&container).and_then(|container| container.process) {
                        warn_of(
                            signal::send(process, signal),
                            &format!("send signal {signal} to {container}"),
                        );
                    }
                }
                ToGuest::Resize { container, size } => {
                    if let Some(terminal) = self.find(&container).and_then(|found| found.carried.terminal.as_ref()) {
                        warn_of(
                            streams::resize(terminal, size),
                            &format!("resize the terminal of {container}"),
                        );
                    }
                }
                ToGuest::Start(_) => {
                    kernel_log::warn("the host sent a second bootstrap message, which changes nothing")
                }
            }
        }
        Ok(received.ended)
    }

    /// Reaps whoever has ended: containers' first processes, and orphans of the guest agent.
    fn reap(&mut self) -> Result<(), TaskError> {
        signal::drain(&self.children).map_err(TaskError::Events)?;
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

    /// Reads what a container's process reports, to its end if it is there.
    fn read_report(&mut self, index: u32) -> Result<(), TaskError> {
        let index = index as usize;
        let mut bytes = [0; 4096];
        loop {
            let Some(container) = self.containers.get_mut(index) else {
                return Ok(());
            };
            let Some(report) = &mut container.report else {
                return Ok(());
            };
            match report.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Ok(len) if len > 0 => {
                    for message in container.reported.push(&bytes[..len])? {
                        if let Some(event) = event_of(message) {
                            self.happen(index, event)?;
                        }
                    }
                }
                Ok(_) | Err(_) => {
                    self.poller.remove(&*report).map_err(TaskError::Events)?;
                    container.report = None;
                    return self.happen(index, Event::ReportEnded);
                }
            }
        }
    }

    /// Lets a relay make a step, and waits for the end it then needs.
    fn carry(&mut self, index: u32) -> Result<(), TaskError> {
        let Some(slot) = self.carriers.get_mut(index as usize) else {
            return Ok(());
        };
        let Some(carrier) = slot else { return Ok(()) };
        let needs = carrier.relay.step();
        if needs == carrier.waits_for {
            return Ok(());
        }
        // Only one end is ever watched: the other would report over and over what nobody can do anything about.
        self.poller.remove(watched(carrier).0).map_err(TaskError::Events)?;
        carrier.waits_for = needs;
        if needs == Needs::Nothing {
            *slot = None;
            return Ok(());
        }
        let (end, flags) = watched(carrier);
        self.poller
            .add(end, Token::Relay(index), flags)
            .map_err(TaskError::Events)
    }

    /// Begins to carry the streams of a container.
    fn carry_streams(&mut self, index: usize) -> Result<(), TaskError> {
        for (source, sink) in std::mem::take(&mut self.containers[index].carried.directions) {
            let relay = Relay::new(source, sink).map_err(TaskError::Events)?;
            let carrier = Carrier {
                relay,
                waits_for: Needs::Source,
            };
            let (end, flags) = watched(&carrier);
            let token = Token::Relay(index_of(self.carriers.len())?);
            self.poller.add(end, token, flags).map_err(TaskError::Events)?;
            self.carriers.push(Some(carrier));
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
            match action {
                Action::CarryStreams => self.carry_streams(index)?,
                Action::LetGo => warn_of(self.containers[index].let_go(), &format!("release {container}")),
                Action::TellPrepared => self.control.send(&ToHost::Prepared { container })?,
                Action::TellStarted => self.control.send(&ToHost::Started { container })?,
                Action::TellStartFailed(reason, message) => {
                    // Streams that were never carried end here.
                    self.containers[index].carried = Carried::default();
                    self.control.send(&ToHost::StartFailed {
                        container,
                        reason,
                        message,
                    })?;
                }
                Action::TellExited { status, out_of_memory } => {
                    self.control.send(&ToHost::Exited {
                        container,
                        status,
                        out_of_memory,
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// The end that a relay waits for, and what for.
fn watched(carrier: &Carrier) -> (BorrowedFd<'_>, EventFlags) {
    match carrier.waits_for {
        Needs::Sink => (carrier.relay.sink(), EventFlags::OUT),
        Needs::Source | Needs::Nothing => (carrier.relay.source(), EventFlags::IN),
    }
}

/// What a message on the report pipe means.
fn event_of(message: ToHost) -> Option<Event> {
    match message {
        ToHost::Prepared { .. } => Some(Event::Prepared),
        ToHost::StartFailed { reason, message, .. } => Some(Event::StartFailed { reason, message }),
        ToHost::Hello { .. } | ToHost::Started { .. } | ToHost::Exited { .. } | ToHost::Failed { .. } => None,
    }
}

/// How a process ended; none where it only stopped or went on.
fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let byte = |number: i32| u8::try_from(number).ok();
    let code = status.exit_status().and_then(byte).map(ExitStatus::Code);
    code.or_else(|| status.terminating_signal().and_then(byte).map(ExitStatus::Signal))
}

/// An index as tokens carry it.
fn index_of(index: usize) -> Result<u32, TaskError> {
    u32::try_from(index).map_err(|error| TaskError::Events(io::Error::other(error)))
}

/// Tells the kernel's log of a failure that concerns nobody else.
fn warn_of(result: io::Result<()>, attempted: &str) {
    if let Err(error) = result {
        kernel_log::warn(&format!("cannot {attempted}: {error}"));
    }
}
