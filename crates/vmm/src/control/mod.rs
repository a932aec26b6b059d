//! The control socket: tells what happened, takes requests.
//!
//! Every connection gets all events from the first on. Nothing here waits: a controller that does not take its events, sends
//! what is no request, or comes when there are too many already, is cut off, and the microVM goes on.

mod connection;

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use event_manager::{EventOps, Events, MutEventSubscriber};
use protocol::frame;
use protocol::vmm::{self, Event, ExitCode, Request};
use vmm_sys_util::epoll::EventSet;

use crate::config;
use crate::control::connection::Connection;
use crate::ending::Ending;
use crate::reports::{Report, Reporter};
use crate::socket::{self, SocketError};

/// The most controllers at a time.
pub const CONNECTIONS_MAX: usize = 16;

/// The control socket and who is connected to it.
pub struct Control {
    listener: Option<UnixListener>,
    connections: BTreeMap<RawFd, Connection>,
    /// All events so far, as frames. An event happens once at most, so there are few.
    history: Vec<u8>,
    reporter: Option<Reporter>,
    /// Whether the microVM still is to be told what to be: then it is nobody's without a controller.
    awaits_shape: bool,
}

impl Control {
    /// Opens the socket that the configuration names. A microVM that awaits its shape ends with the last controller.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn open(control: &vmm::Control, awaits_shape: bool) -> Result<Self, SocketError> {
        let listener = match control {
            vmm::Control::Descriptor(descriptor) => socket::inherit(*descriptor)?,
            vmm::Control::Path(path) => socket::bind(path)?,
        };
        Ok(Self {
            listener: Some(listener),
            awaits_shape,
            ..Self::closed()
        })
    }

    /// A control socket that nobody can connect to.
    pub fn closed() -> Self {
        Self {
            listener: None,
            connections: BTreeMap::new(),
            history: Vec::new(),
            reporter: None,
            awaits_shape: false,
        }
    }

    /// Says where requests are reported.
    pub fn reporting_to(self, reporter: Reporter) -> Self {
        Self {
            reporter: Some(reporter),
            ..self
        }
    }

    /// Tells `event` to all who are connected, and to all who will be.
    pub fn announce(&mut self, event: &Event) {
        // An event of ours is far below a frame's limit.
        let Ok(frame) = frame::encode(event) else { return };
        self.history.extend(&frame);
        for connection in self.connections.values_mut() {
            if connection.send(&frame).is_err() {
                // The loop finds it closed, and removes it.
                let _ = connection.stream().shutdown(Shutdown::Both);
            }
        }
    }

    /// Tells the last event, also to those who are still waiting to be accepted.
    pub fn close(mut self, last: &Event) {
        while self.connections.len() < CONNECTIONS_MAX {
            let Some(connection) = self.accept() else { break };
            self.connections.insert(connection.stream().as_raw_fd(), connection);
        }
        self.announce(last);
    }

    /// The next controller that waits, having been told everything so far.
    fn accept(&self) -> Option<Connection> {
        let (stream, _) = self.listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        let mut connection = Connection::new(stream);
        connection.send(&self.history).ok()?;
        Some(connection)
    }

    fn welcome(&mut self, ops: &mut EventOps) {
        let Some(connection) = self.accept() else { return };
        if self.connections.len() < CONNECTIONS_MAX && ops.add(readable(connection.stream())).is_ok() {
            self.connections.insert(connection.stream().as_raw_fd(), connection);
        }
    }

    fn hear(&mut self, descriptor: RawFd, ops: &mut EventOps) {
        let Some(connection) = self.connections.get_mut(&descriptor) else {
            return;
        };
        match connection.receive() {
            Ok((requests, attached)) => self.obey_all(requests, attached),
            Err(_) => {
                let _ = ops.remove(readable(connection.stream()));
                self.connections.remove(&descriptor);
                self.end_if_abandoned();
            }
        }
    }

    /// Who starts a VMM is connected before it runs: one that has nobody was left by everybody.
    fn end_if_abandoned(&self) {
        if let Some(reporter) = self
            .reporter
            .as_ref()
            .filter(|_| self.awaits_shape && self.connections.is_empty())
        {
            reporter.report(Report::Ended(Ending::new(
                ExitCode::Stopped,
                "the controller went away before it said what the microVM is to be",
            )));
        }
    }

    /// What came with several requests belongs to the first shape: there is one at most.
    fn obey_all(&mut self, requests: Vec<Request>, mut attached: Vec<OwnedFd>) {
        for request in requests {
            let attached = match request {
                Request::Run(_) => std::mem::take(&mut attached),
                _ => Vec::new(),
            };
            self.obey(request, attached);
        }
    }

    fn obey(&mut self, request: Request, attached: Vec<OwnedFd>) {
        let Some(reporter) = &self.reporter else { return };
        match request {
            Request::Stop => {
                reporter.report(Report::Ended(Ending::new(
                    ExitCode::Stopped,
                    "a controller stopped the microVM",
                )));
            }
            Request::Observe => reporter.report(Report::Observe),
            // An impossible shape is the controller's mistake, after which there is nothing to wait for.
            Request::Run(shape) => {
                self.awaits_shape = false;
                reporter.report(match config::check(&shape) {
                    Ok(()) => Report::Shape(shape, attached),
                    Err(error) => Report::Ended(Ending::failure(error)),
                });
            }
        }
    }
}

fn readable(stream: &UnixStream) -> Events {
    Events::new(stream, EventSet::IN)
}

impl MutEventSubscriber for Control {
    fn init(&mut self, ops: &mut EventOps) {
        if let Some(listener) = &self.listener {
            // A new loop has room for its first descriptors; were it not so, the microVM would run uncontrolled.
            let _ = ops.add(Events::new(listener, EventSet::IN));
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps) {
        if self
            .listener
            .as_ref()
            .is_some_and(|listener| listener.as_raw_fd() == events.fd())
        {
            self.welcome(ops);
        } else {
            self.hear(events.fd(), ops);
        }
    }
}
