//! One connection: the protocol between a host socket at one side and the guest's packets at the other.
//!
//! No byte that the guest was granted credit for is lost while the host reads, and the end of a stream travels behind
//! its last byte, in both directions, each by itself.

use std::os::unix::net::UnixStream;

use event_manager::EventSet;

use crate::ring::buffers::Span;
use crate::vsock::flow::{Allowance, Intake};
use crate::vsock::greeting::Greeting;
use crate::vsock::packet::{Credit, Finished, Operation, PAYLOAD_BYTES_MAX, Packet, Ports};
use crate::vsock::socket::{HostSocket, ReadEnd};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// A host program that has not named the guest's port yet.
    Greeting,
    /// A host program that waits for the guest's answer to a question, which may still have to be `asked`.
    Asking { ports: Ports, asked: bool },
    /// Both sides are connected.
    Open { ports: Ports },
    /// The guest is still to be told that the connection is over.
    Resetting { ports: Ports },
    /// The guest is done; the host has yet to take what the guest has sent.
    Draining,
    /// Nothing is left to do.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: HostSocket,
    stage: Stage,
    intake: Intake,
    allowance: Allowance,
    guest: Finished,
    host: Finished,
    /// What the guest knows of `host`.
    told: Finished,
    /// The host may have sent something; true until a read says otherwise, since events tell of changes only.
    readable: bool,
    hung_up: bool,
    owes_response: bool,
    owes_credit: bool,
    asked_for_credit: bool,
    /// Whether the worker has it in its queue of those with something for the guest.
    pub(super) queued: bool,
    /// Whether the event loop reports when the host takes bytes again.
    pub(super) watched_for_room: bool,
}

impl Connection {
    /// A connection that the guest has asked for, and `stream` grants.
    pub(super) fn granted(stream: UnixStream, ports: Ports, credit: Credit) -> Self {
        let mut connection = Self::new(stream, Stage::Open { ports });
        connection.allowance = Allowance::new(credit);
        connection.owes_response = true;
        connection
    }

    /// A host program that has come in and not said yet where it wants to go.
    pub(super) fn incoming(stream: UnixStream) -> Self {
        Self::new(stream, Stage::Greeting)
    }

    fn new(stream: UnixStream, stage: Stage) -> Self {
        Self {
            socket: HostSocket::new(stream),
            stage,
            intake: Intake::default(),
            allowance: Allowance::default(),
            guest: Finished::default(),
            host: Finished::default(),
            told: Finished::default(),
            readable: true,
            hung_up: false,
            owes_response: false,
            owes_credit: false,
            asked_for_credit: false,
            queued: false,
            watched_for_room: false,
        }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        self.socket.stream()
    }

    /// The ports by which the guest names it, while the guest does.
    pub(super) fn ports(&self) -> Option<Ports> {
        match self.stage {
            Stage::Asking { ports, .. } | Stage::Open { ports } | Stage::Resetting { ports } => Some(ports),
            Stage::Greeting | Stage::Draining | Stage::Closed => None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// Whether the event loop should report when the host takes bytes again.
    pub(super) fn waits_for_room(&self) -> bool {
        self.socket.has_pending()
    }

    /// Closes the host's end.
    pub(super) fn close(self) {
        self.socket.close();
    }

    /// The guest port that an incoming host program has just named.
    pub(super) fn greeting(&mut self) -> Option<u32> {
        if self.stage != Stage::Greeting {
            return None;
        }
        match self.socket.take_greeting() {
            Greeting::Connect { port, .. } => return Some(port),
            Greeting::Invalid => self.stage = Stage::Closed,
            Greeting::Incomplete => {}
        }
        None
    }

    /// Asks the guest on behalf of an incoming host program.
    pub(super) fn ask(&mut self, ports: Ports) {
        self.stage = Stage::Asking { ports, asked: false };
    }

    /// Takes note of what the event loop says of the socket.
    pub(super) fn note(&mut self, events: EventSet) {
        self.readable = true;
        self.hung_up |= events.intersects(EventSet::HANG_UP | EventSet::ERROR);
        if self.hung_up || events.contains(EventSet::OUT) {
            let left = self.socket.flush();
            self.intake.forward(left);
            self.after_sending();
        }
        match self.stage {
            Stage::Greeting | Stage::Asking { asked: false, .. } if self.hung_up => self.stage = Stage::Closed,
            Stage::Asking { ports, asked: true } if self.hung_up => self.stage = Stage::Resetting { ports },
            // Otherwise the end is found behind the last byte.
            Stage::Open { .. } if self.hung_up && (self.host.sending || self.guest.receiving) => {
                self.host = Finished::BOTH;
            }
            _ => {}
        }
    }

    /// Takes what the guest has sent for this connection.
    pub(super) fn receive(&mut self, packet: &Packet, payload: &Span<'_>) {
        self.allowance.learn(packet.credit);
        self.asked_for_credit &= self.allowance.left() == 0;
        match (self.stage, packet.operation) {
            (_, Operation::Reset) => self.drain(),
            (Stage::Resetting { .. }, _) | (Stage::Open { .. }, Operation::CreditUpdate) => {}
            (Stage::Asking { ports, asked: true }, Operation::Response) => {
                self.stage = Stage::Open { ports };
                if !self.socket.answer_greeting(ports.host) {
                    self.abort();
                }
            }
            (Stage::Open { .. }, Operation::Data { .. }) => self.take(payload),
            (Stage::Open { ports }, Operation::Shutdown(finished)) => self.guest_finishes(ports, finished),
            (Stage::Open { .. }, Operation::CreditRequest) => self.owes_credit = true,
            _ => self.abort(),
        }
    }

    /// Ends a connection whose guest side does not follow the rules.
    pub(super) fn abort(&mut self) {
        if let Some(ports) = self.ports() {
            self.socket.give_up();
            self.stage = Stage::Resetting { ports };
        }
    }

    fn take(&mut self, payload: &Span<'_>) {
        if self.guest.sending || self.intake.receive(payload.len()).is_err() {
            self.abort();
            return;
        }
        let left = self.socket.send(payload);
        self.intake.forward(left);
        self.after_sending();
    }

    fn after_sending(&mut self) {
        self.host.receiving |= self.socket.is_deaf();
        if self.socket.has_pending() {
            return;
        }
        if self.guest.sending {
            self.socket.end_sending();
        }
        if self.stage == Stage::Draining {
            self.stage = Stage::Closed;
        }
    }

    fn guest_finishes(&mut self, ports: Ports, finished: Finished) {
        self.guest = self.guest.or(finished);
        if finished.receiving {
            self.socket.end_receiving();
        }
        self.after_sending();
        if self.guest == Finished::BOTH {
            // Linux waits for this up to eight seconds before it lets go of a closed socket.
            self.stage = Stage::Resetting { ports };
        }
    }

    /// The guest is done with this connection; the host still gets what the guest has sent.
    fn drain(&mut self) {
        self.guest = Finished::BOTH;
        self.stage = if self.socket.has_pending() {
            Stage::Draining
        } else {
            Stage::Closed
        };
    }

    /// Whether there may be a packet for the guest.
    pub(super) fn has_packet(&self) -> bool {
        match self.stage {
            Stage::Asking { asked, .. } => !asked,
            Stage::Resetting { .. } => true,
            Stage::Open { .. } => {
                self.owes_response
                    || self.owes_credit
                    || self.told != self.host
                    || self.intake.is_stale()
                    || (self.wants_data() && (self.allowance.left() > 0 || !self.asked_for_credit))
            }
            Stage::Greeting | Stage::Draining | Stage::Closed => false,
        }
    }

    /// The next packet for the guest, its payload already in the front of `room`.
    pub(super) fn next_packet(&mut self, room: &Span<'_>) -> Option<Packet> {
        let (ports, operation) = match self.stage {
            Stage::Asking { ports, asked: false } => {
                self.stage = Stage::Asking { ports, asked: true };
                (ports, Operation::Request)
            }
            Stage::Resetting { ports } => {
                self.drain();
                (ports, Operation::Reset)
            }
            Stage::Open { ports } => (ports, self.next_of_open(room)?),
            Stage::Asking { .. } | Stage::Greeting | Stage::Draining | Stage::Closed => return None,
        };
        Some(Packet {
            ports,
            operation,
            credit: self.intake.announce(),
        })
    }

    fn next_of_open(&mut self, room: &Span<'_>) -> Option<Operation> {
        if std::mem::take(&mut self.owes_response) {
            return Some(Operation::Response);
        }
        if let Some(bytes) = self.read(room) {
            return Some(Operation::Data { bytes });
        }
        // The end comes behind the last byte: it is only known once there was nothing more to read.
        if self.told != self.host {
            self.told = self.host;
            if self.told == Finished::BOTH {
                // The guest has nobody left to talk to; whatever it still sends is answered with a reset.
                self.stage = Stage::Closed;
            }
            return Some(Operation::Shutdown(self.told));
        }
        if self.wants_data() && self.allowance.left() == 0 && !self.asked_for_credit {
            self.asked_for_credit = true;
            return Some(Operation::CreditRequest);
        }
        if std::mem::take(&mut self.owes_credit) || self.intake.is_stale() {
            return Some(Operation::CreditUpdate);
        }
        None
    }

    /// Whether bytes of the host would be taken to the guest, as far as the two sides are concerned.
    fn wants_data(&self) -> bool {
        self.readable && !self.host.sending && !self.guest.receiving
    }

    /// Reads from the host into guest memory; `None` when there is nothing to be had now.
    fn read(&mut self, room: &Span<'_>) -> Option<usize> {
        let (room, _) = room.split_at(self.allowance.left().min(PAYLOAD_BYTES_MAX));
        if !self.wants_data() || room.is_empty() {
            return None;
        }
        let (bytes, end) = self.socket.read(&room);
        self.allowance.spend(bytes);
        match end {
            ReadEnd::Full => {}
            ReadEnd::Empty => self.readable = false,
            ReadEnd::Over => {
                self.host = self.host.or(Finished {
                    receiving: self.hung_up,
                    sending: true,
                })
            }
            ReadEnd::Broken => self.host = Finished::BOTH,
        }
        (bytes > 0).then_some(bytes)
    }
}
