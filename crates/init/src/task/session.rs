//! The sessions with the host, one after another.
//!
//! Whatever is wrong with a session ends it and nothing else: the containers run on, and the next host finds what the last one left.

use protocol::frame::Piece;
use protocol::guest::{Received, ToGuest, ToHost};
use rustix::event::epoll::EventFlags;

use super::{Task, TaskError, warn_of};
use crate::container::state::Event;
use crate::container::{listing, streams};
use crate::control::ControlError;
use crate::failure::sentence;
use crate::frames::Frame;
use crate::kernel_log;
use crate::poller::Token;
use crate::sys::vsock;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nobody.
    None,
    /// A host that has yet to say what it has.
    Greeted,
    /// A host.
    Live,
}

/// What the host sent, apart from where it arrived.
enum Demand {
    Message(ToGuest),
    /// Input that was passed on, as far as that is worth an answer.
    Passed(Option<Received>),
}

impl Task<'_> {
    /// Tells of a container's process: this host, if there is one, and every later one.
    pub(super) fn tell(&mut self, message: ToHost) -> Result<(), TaskError> {
        self.say(&message)?;
        self.told.push(message);
        Ok(())
    }

    /// Tells this host, if there is one.
    pub(super) fn say(&mut self, message: &ToHost) -> Result<(), TaskError> {
        if self.link != Link::Live {
            return Ok(());
        }
        let sent = self.ready.control.send(message);
        self.check(sent)
    }

    /// Sends what there is of the streams.
    pub(super) fn pump(&mut self) -> Result<(), TaskError> {
        if self.link != Link::Live {
            return Ok(());
        }
        let pumped = self.carriers.pump(&mut self.ready.control);
        self.check(pumped)
    }

    /// Ends the session where something is wrong with it.
    fn check(&mut self, result: Result<(), ControlError>) -> Result<(), TaskError> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.break_off(&sentence(&error)),
        }
    }

    fn break_off(&mut self, why: &str) -> Result<(), TaskError> {
        kernel_log::warn(&format!("the session with the host ends: {why}"));
        self.end_session()
    }

    /// Sends and takes what can be; whether the task is over.
    pub(super) fn converse(&mut self) -> Result<bool, TaskError> {
        if self.link == Link::None {
            return Ok(false);
        }
        let flushed = self.ready.control.flush();
        self.check(flushed)?;
        match self.ready.control.receive() {
            Ok(ended) => {
                if self.obey()? {
                    return Ok(true);
                }
                if ended {
                    self.end_session()?;
                }
            }
            Err(error) => self.break_off(&sentence(&error))?,
        }
        Ok(false)
    }

    /// Does what the host has asked for; whether the task is over.
    pub(super) fn obey(&mut self) -> Result<bool, TaskError> {
        while self.link != Link::None {
            let demand = match self.ready.control.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Message(message))) => Ok(Demand::Message(message)),
                Ok(Some(Frame::Piece(piece))) if self.link == Link::Live => {
                    let Piece { process, .. } = piece;
                    let accepted = self.carriers.accept(&self.ready.poller, &piece);
                    let named = |error| format!("the input of process {process} is unusable: {error}");
                    accepted.map(Demand::Passed).map_err(named)
                }
                Ok(Some(Frame::Piece(_))) => Err("there is input before the session is resumed".to_owned()),
                Err(error) => Err(sentence(&error)),
            };
            match (demand, self.link) {
                (Ok(Demand::Message(ToGuest::Shutdown)), _) => return Ok(true),
                (Ok(Demand::Message(ToGuest::Resume { received })), Link::Greeted) => self.resume(&received)?,
                (Ok(Demand::Message(message)), Link::Live) => self.perform(message)?,
                (Ok(Demand::Message(_)), _) => self.break_off("the host does not resume it")?,
                (Ok(Demand::Passed(Some(received))), _) => self.say(&ToHost::Acknowledge(received))?,
                (Ok(Demand::Passed(None)), _) => {}
                (Err(why), _) => self.break_off(&why)?,
            }
        }
        Ok(false)
    }

    fn perform(&mut self, message: ToGuest) -> Result<(), TaskError> {
        match message {
            ToGuest::Release { process } => {
                if !self.late.holds(process) {
                    self.happen(process, Event::Release)?;
                }
            }
            ToGuest::Restart { container, process } => self.restart(&container, process)?,
            ToGuest::Execute(execute) => self.execute(*execute)?,
            ToGuest::Signal { process, signal } => {
                if let Some(index) = self.process(process) {
                    let sent = self.processes[index].signal(signal);
                    warn_of(sent, &format!("send signal {signal} to process {process}"));
                }
            }
            ToGuest::Resize { process, size } => {
                let index = self.process(process);
                let terminal = index.and_then(|index| self.processes[index].connections.terminal.as_ref());
                if let Some(terminal) = terminal {
                    let resized = streams::resize(terminal, size);
                    warn_of(resized, &format!("resize the terminal of process {process}"));
                }
            }
            ToGuest::Acknowledge(received) => {
                if let Err(error) = self.carriers.acknowledge(&self.ready.poller, received) {
                    self.break_off(&error.to_string())?;
                }
            }
            ToGuest::Measure { request } => {
                let containers = self.usage();
                self.say(&ToHost::Measured { request, containers })?;
            }
            ToGuest::List { request, container } => {
                let container = self.container(&container).map(|index| &self.containers[index]);
                let processes = container.map(|container| listing::list(&container.cgroup));
                let processes = processes.unwrap_or_default();
                self.say(&ToHost::Listed { request, processes })?;
            }
            ToGuest::Start(_) | ToGuest::Resume { .. } | ToGuest::Shutdown => {
                kernel_log::warn("the host sent a message that has no place in its session, which changes nothing");
            }
        }
        Ok(())
    }

    /// Ends the session: what was executed for it ends too, and the next host is waited for.
    fn end_session(&mut self) -> Result<(), TaskError> {
        if self.link == Link::None {
            return Ok(());
        }
        self.link = Link::None;
        let forgotten = self.ready.poller.remove(&self.ready.control);
        forgotten.map_err(TaskError::Events)?;
        self.ready.control.hang_up();
        self.kill_executed()
    }

    /// Takes the host that has come to the port, instead of any other; whether there was one.
    pub(super) fn welcome(&mut self) -> Result<bool, TaskError> {
        let Some(socket) = vsock::accept(&self.ready.listener).map_err(TaskError::Events)? else {
            return Ok(false);
        };
        self.end_session()?;
        let greeted = self.ready.control.take_over(socket);
        let watched = self
            .ready
            .poller
            .add(&self.ready.control, Token::Control, EventFlags::IN);
        watched.map_err(TaskError::Events)?;
        self.link = Link::Greeted;
        self.check(greeted)?;
        Ok(true)
    }

    /// Tells a new host everything, and goes on where the last one was.
    fn resume(&mut self, received: &[Received]) -> Result<(), TaskError> {
        let inputs = self.carriers.resume(&self.ready.poller, received);
        let inputs = inputs.map_err(TaskError::Events)?;
        self.link = Link::Live;
        let all = std::mem::take(&mut self.told);
        for message in all.iter().chain(&inputs).chain([&ToHost::Resumed]) {
            self.say(message)?;
        }
        self.told = all;
        Ok(())
    }
}
