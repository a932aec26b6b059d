//! Packets to the guest, into the buffers it has given, each connection in its turn.

use std::sync::Arc;

use event_manager::EventOps;

use crate::ring::BrokenRing;
use crate::ring::buffers::{Buffers, Span};
use crate::vsock::packet::{self, HEADER_BYTES, Operation};
use crate::vsock::worker::Sockets;

impl Sockets {
    /// Fills the guest's buffers until they or the packets run out, or it was enough for one turn.
    pub(super) fn fill_guest(&mut self, ops: &mut EventOps<'_>) -> Result<(), BrokenRing> {
        let memory = Arc::clone(&self.parts.memory);
        let could_answer = self.can_answer();
        let mut filled = 0;
        while !(self.stray_resets.is_empty() && self.ready.is_empty()) {
            if filled == self.parts.receive.size() {
                self.parts.receive.kick_again();
                break;
            }
            let Some(chain) = self.parts.receive.next(&memory)? else {
                break;
            };
            let head = chain.head_index();
            let buffers = Buffers::parse(&memory, chain).unwrap_or_default();
            let written = if buffers.writable.len() < HEADER_BYTES {
                // No packet fits: the buffer goes back as it came.
                0
            } else if let Some(written) = self.fill(&buffers.writable, ops) {
                written
            } else {
                self.parts.receive.put_back();
                break;
            };
            self.parts
                .receive
                .complete(&memory, head, u32::try_from(written).unwrap_or(0))?;
            filled += 1;
        }
        if !could_answer && self.can_answer() {
            self.parts.transmit.kick_again();
        }
        if filled > 0 && self.parts.receive.wants_interrupt(&memory)? {
            self.parts.interrupt.raise_queue();
        }
        Ok(())
    }

    /// Writes one packet to `room`; returns its length, or `None` if there is none to write.
    fn fill(&mut self, room: &Span<'_>, ops: &mut EventOps<'_>) -> Option<usize> {
        let guest_cid = self.parts.guest_cid;
        let (front, rest) = room.split_at(HEADER_BYTES);
        if let Some(reset) = self.stray_resets.pop_front() {
            return Some(front.copy_from(&packet::stray_reset(guest_cid, reset.ports, reset.kind)));
        }
        // Each gets one look: one that has a packet, but needs more room than this, must not keep the loop running.
        for _ in 0..self.ready.len() {
            let token = self.ready.pop_front()?;
            let Some(connection) = self.connections.get_mut(token) else {
                continue;
            };
            connection.queued = false;
            let packet = connection.next_packet(&rest);
            self.settle(token, ops);
            if let Some(packet) = packet {
                front.copy_from(&packet.header(guest_cid));
                let payload = if let Operation::Data { bytes } = packet.operation {
                    bytes
                } else {
                    0
                };
                return Some(HEADER_BYTES + payload);
            }
        }
        None
    }
}
