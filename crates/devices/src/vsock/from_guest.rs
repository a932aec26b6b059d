//! Packets from the guest, one after the other, each to its connection.

use std::sync::Arc;

use event_manager::EventOps;

use crate::ring::BrokenRing;
use crate::ring::buffers::{Buffers, Span};
use crate::vsock::connection::Connection;
use crate::vsock::packet::{self, HEADER_BYTES, Operation, Packet, Refusal};
use crate::vsock::worker::{Sockets, StrayReset};

/// The most resets of unknown connections that wait for room in the guest; then no more packets are looked at.
const STRAY_RESETS_MAX: usize = 64;

impl Sockets {
    /// Takes packets until there are none, or enough for one turn.
    pub(super) fn serve_guest(&mut self, ops: &mut EventOps<'_>) -> Result<(), BrokenRing> {
        let memory = Arc::clone(&self.parts.memory);
        let mut served = 0;
        while self.can_answer() {
            if served == self.parts.transmit.size() {
                // A guest that never stops must not keep the other devices from their turn.
                self.parts.transmit.kick_again();
                break;
            }
            let Some(chain) = self.parts.transmit.next(&memory)? else {
                break;
            };
            let head = chain.head_index();
            if let Ok(buffers) = Buffers::parse(&memory, chain) {
                self.receive(&buffers.readable, ops);
            }
            self.parts.transmit.complete(&memory, head, 0)?;
            served += 1;
        }
        if served > 0 && self.parts.transmit.wants_interrupt(&memory)? {
            self.parts.interrupt.raise_queue();
        }
        Ok(())
    }

    /// Whether the answer to any packet has a place to wait. Most answers wait in their connection.
    pub(super) fn can_answer(&self) -> bool {
        self.stray_resets.len() < STRAY_RESETS_MAX
    }

    fn receive(&mut self, bytes: &Span<'_>, ops: &mut EventOps<'_>) {
        let (front, rest) = bytes.split_at(HEADER_BYTES);
        let mut header = [0; HEADER_BYTES];
        if front.copy_to(&mut header) < HEADER_BYTES {
            return;
        }
        match packet::parse(&header, rest.len(), self.parts.guest_cid) {
            Ok(packet) => self.dispatch(&packet, &rest, ops),
            Err(Refusal::Ignore) => {}
            Err(Refusal::Reset { ports, kind }) => match self.connections.find(ports) {
                Some(token) => {
                    if let Some(connection) = self.connections.get_mut(token) {
                        connection.abort();
                    }
                    self.settle(token, ops);
                }
                None => self.stray_resets.push_back(StrayReset { ports, kind }),
            },
        }
    }

    fn dispatch(&mut self, packet: &Packet, rest: &Span<'_>, ops: &mut EventOps<'_>) {
        let payload = match packet.operation {
            Operation::Data { bytes } => rest.split_at(bytes).0,
            _ => Span::default(),
        };
        let Some(token) = self.connections.find(packet.ports) else {
            self.dispatch_stray(packet, ops);
            return;
        };
        if let Some(connection) = self.connections.get_mut(token) {
            connection.receive(packet, &payload);
        }
        self.settle(token, ops);
    }

    /// A packet that belongs to no connection may ask for one.
    fn dispatch_stray(&mut self, packet: &Packet, ops: &mut EventOps<'_>) {
        let granted = match packet.operation {
            Operation::Request if !self.connections.is_full() => self.parts.host.connect(packet.ports.host).ok(),
            Operation::Reset => return,
            _ => None,
        };
        let connection = granted.map(|stream| Connection::granted(stream, packet.ports, packet.credit));
        match connection.map(|connection| self.add(connection, ops)) {
            Some(Ok(token)) => self.settle(token, ops),
            Some(Err(_)) | None => self.stray_resets.push_back(StrayReset {
                ports: packet.ports,
                kind: packet::STREAM,
            }),
        }
    }
}
