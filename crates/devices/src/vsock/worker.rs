//! The half of the device that serves its queues: sockets and rings, on the device thread.
//!
//! Sockets are watched for changes only (edge-triggered): what a connection may still do is written in the connection,
//! so a side that cannot take more costs nothing until it can.

use std::collections::VecDeque;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use vm_memory::GuestMemoryMmap;

use crate::interrupt::Interrupt;
use crate::ring::{BrokenRing, Ring};
use crate::vsock::backend::Host;
use crate::vsock::connection::Connection;
use crate::vsock::connections::Connections;
use crate::vsock::packet::Ports;

const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
const LISTENER: u32 = 2;

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) memory: Arc<GuestMemoryMmap>,
    /// Buffers for packets to the guest.
    pub(super) receive: Ring,
    /// Packets from the guest.
    pub(super) transmit: Ring,
    pub(super) interrupt: Interrupt,
    pub(super) guest_cid: u64,
    pub(super) host: Host,
    /// Where host programs come in, if they can.
    pub(super) listener: Option<UnixListener>,
}

/// A reset of a connection that is in no table.
pub(super) struct StrayReset {
    pub(super) ports: Ports,
    pub(super) kind: u16,
}

/// The worker.
pub(super) struct Sockets {
    pub(super) parts: Parts,
    pub(super) connections: Connections,
    /// The tokens of connections that may have a packet for the guest, each once, longest waiting first. All are in the table.
    pub(super) ready: VecDeque<u32>,
    /// Answers to packets that belong to no connection.
    pub(super) stray_resets: VecDeque<StrayReset>,
    broken: bool,
}

impl Sockets {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            connections: Connections::new(),
            ready: VecDeque::new(),
            stray_resets: VecDeque::new(),
            broken: false,
        }
    }

    /// Adds a connection to the table and its socket to the event loop. Without the latter the connection is refused.
    pub(super) fn add(&mut self, connection: Connection, ops: &mut EventOps<'_>) -> Result<u32, Connection> {
        if self.connections.is_full() {
            return Err(connection);
        }
        let token = self.connections.free_token();
        if ops
            .add(Events::with_data(connection.stream(), token, watched(false)))
            .is_err()
        {
            return Err(connection);
        }
        self.connections.insert(token, connection);
        Ok(token)
    }

    /// Brings table, event loop and queue in line with what a connection has become.
    pub(super) fn settle(&mut self, token: u32, ops: &mut EventOps<'_>) {
        self.connections.relink(token);
        let Some(connection) = self.connections.get_mut(token) else {
            return;
        };
        if connection.is_closed() {
            self.remove(token, ops);
            return;
        }
        if connection.waits_for_room() != connection.watched_for_room {
            connection.watched_for_room = !connection.watched_for_room;
            let events = Events::with_data(connection.stream(), token, watched(connection.watched_for_room));
            if ops.modify(events).is_err() {
                connection.abort();
            }
        }
        if connection.has_packet() && !connection.queued {
            connection.queued = true;
            self.ready.push_back(token);
        }
    }

    fn remove(&mut self, token: u32, ops: &mut EventOps<'_>) {
        let Some(connection) = self.connections.remove(token) else {
            return;
        };
        if connection.queued {
            // A guest that takes no packets would have the queue grow with each connection that it gives up.
            self.ready.retain(|&queued| queued != token);
        }
        // Out of the event loop before it is closed: its number may be the next socket's. A failure means that it is
        // not in the loop.
        let _ = ops.remove(Events::empty(connection.stream()));
        connection.close();
    }

    fn on_socket(&mut self, token: u32, events: EventSet, ops: &mut EventOps<'_>) {
        let Some(connection) = self.connections.get_mut(token) else {
            return;
        };
        connection.note(events);
        if let Some(guest) = connection.greeting() {
            let ports = self.connections.free_ports(guest);
            if let Some(connection) = self.connections.get_mut(token) {
                connection.ask(ports);
            }
        }
        self.settle(token, ops);
    }

    fn accept(&mut self, ops: &mut EventOps<'_>) {
        // An error ends the round: no more clients, or no more descriptors, and then the next client is the next chance.
        while let Some(Ok((stream, _))) = self.parts.listener.as_ref().map(UnixListener::accept) {
            if let Some(stream) = non_blocking(stream) {
                // A client for whom there is no place sees its connection closed.
                let _ = self.add(Connection::incoming(stream), ops);
            }
        }
    }

    fn turn(&mut self, events: Events, ops: &mut EventOps<'_>) -> Result<(), BrokenRing> {
        match events.data() {
            RECEIVE => {}
            TRANSMIT => self.serve_guest(ops)?,
            LISTENER => self.accept(ops),
            token => self.on_socket(token, events.event_set(), ops),
        }
        self.fill_guest(ops)
    }
}

/// What the event loop reports of a connection's socket.
fn watched(for_room: bool) -> EventSet {
    let always = EventSet::IN | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
    if for_room { always | EventSet::OUT } else { always }
}

fn non_blocking(stream: UnixStream) -> Option<UnixStream> {
    stream.set_nonblocking(true).is_ok().then_some(stream)
}

impl MutEventSubscriber for Sockets {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        // Packets may be waiting already.
        self.parts.transmit.kick_again();
        let watched = self.parts.receive.watch(RECEIVE, ops);
        let watched = watched
            .and_then(|()| self.parts.transmit.watch(TRANSMIT, ops))
            .and_then(|()| match &self.parts.listener {
                Some(listener) => {
                    let listened = EventSet::IN | EventSet::EDGE_TRIGGERED;
                    ops.add(Events::with_data(listener, LISTENER, listened))
                }
                None => Ok(()),
            });
        if watched.is_err() {
            self.broken = true;
            self.parts.interrupt.request_reset();
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        match events.data() {
            RECEIVE => self.parts.receive.clear_kick(),
            TRANSMIT => self.parts.transmit.clear_kick(),
            _ => {}
        }
        if !self.broken && self.turn(events, ops).is_err() {
            self.broken = true;
            self.parts.interrupt.request_reset();
        }
    }
}
