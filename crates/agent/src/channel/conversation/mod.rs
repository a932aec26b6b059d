//! The host's end of a data channel, without its socket: what arrives goes in, what is to be sent and what the client wants comes out.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::message::{self, FIN, Message, MessageError, MessageType, PayloadKind, uuid_text};
use super::payload::{self, Acknowledgement, HandshakeResponse, Size};
use super::sequence::{Arrival, Incoming, Outgoing};

/// The most bytes of output in a message: what clients of this protocol are used to.
pub const OUTPUT_LEN_MAX: usize = 1024;

/// The most bytes of input that wait for the process; what comes beyond that has to come again.
const INPUT_LEN_MAX: usize = 64 << 10;

/// The most messages of input that wait for the process.
const INPUTS_MAX: usize = 256;

/// The flag with which a client ends the session.
const TERMINATE: u32 = 2;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The process is to begin.
    Begin,
    /// Bytes for the process.
    Input(Bytes),
    /// Its terminal has another size.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// There is no more input.
    EndOfInput,
    /// The session is to end.
    Terminate,
    /// The client cannot go on, for this reason.
    Fail(String),
}

/// A conversation with a client that has shown its token.
#[derive(Debug)]
pub struct Conversation {
    session: String,
    /// What ids of messages are made of.
    seed: [u8; 16],
    ids: u64,
    began_ms: u64,
    has_begun: bool,
    is_paused: bool,
    outgoing: Outgoing,
    incoming: Incoming<Arrived>,
    /// Acknowledgements, and the end: sent at once, and not again.
    unsequenced: VecDeque<Vec<u8>>,
    wishes: VecDeque<Wish>,
    input_len: usize,
}

/// A message of the client's sequence.
#[derive(Debug)]
struct Arrived {
    kind: PayloadKind,
    is_last: bool,
    payload: Bytes,
}

impl Conversation {
    /// Begins with a handshake. `seed` is random.
    #[must_use]
    pub fn begin(session: String, seed: [u8; 16], now_ms: u64) -> Self {
        let mut conversation = Self {
            session,
            seed,
            ids: 0,
            began_ms: now_ms,
            has_begun: false,
            is_paused: false,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            unsequenced: VecDeque::new(),
            wishes: VecDeque::new(),
            input_len: 0,
        };
        conversation.push(now_ms, PayloadKind::HandshakeRequest, &payload::handshake_request());
        conversation
    }

    /// Takes a message.
    ///
    /// # Errors
    /// Where it is none.
    pub fn receive(&mut self, now_ms: u64, bytes: &[u8]) -> Result<(), MessageError> {
        let message = message::parse(bytes)?;
        match message.message_type {
            MessageType::Acknowledge => {
                if let Some(acknowledgement) = payload::parse::<Acknowledgement>(message.payload) {
                    self.outgoing.acknowledge(now_ms, acknowledgement.sequence);
                }
            }
            MessageType::Input => self.arrive(now_ms, &message),
            MessageType::PausePublication => self.is_paused = true,
            MessageType::StartPublication => self.is_paused = false,
            // These only we send.
            MessageType::Output | MessageType::ChannelClosed => {}
        }
        Ok(())
    }

    fn arrive(&mut self, now_ms: u64, message: &Message<'_>) {
        if self.input_len > INPUT_LEN_MAX || self.wishes.len() > INPUTS_MAX {
            return;
        }
        let arrival = self.incoming.arrive(message.sequence, || Arrived {
            kind: message.kind,
            is_last: message.flags & FIN != 0,
            payload: Bytes::copy_from_slice(message.payload),
        });
        if arrival == Arrival::Refused {
            return;
        }
        let acknowledgement = Acknowledgement {
            message_type: message.message_type.name().to_owned(),
            id: uuid_text(&message.id),
            sequence: message.sequence,
            is_sequential: true,
        };
        // It is plain data, and always has a JSON form.
        let acknowledgement = serde_json::to_vec(&acknowledgement).unwrap_or_default();
        self.push_unsequenced(now_ms, MessageType::Acknowledge, &acknowledgement);
        while let Some(arrived) = self.incoming.next_in_turn() {
            self.understand(now_ms, arrived);
        }
    }

    /// What a message of the client's sequence means.
    fn understand(&mut self, now_ms: u64, arrived: Arrived) {
        if arrived.kind == PayloadKind::HandshakeResponse {
            let response = payload::parse::<HandshakeResponse>(&arrived.payload);
            match response.and_then(|response| response.errors?.into_iter().next()) {
                Some(error) => self.wishes.push_back(Wish::Fail(error)),
                None if self.has_begun => {}
                None => {
                    let took_ms = now_ms.saturating_sub(self.began_ms);
                    self.push(
                        now_ms,
                        PayloadKind::HandshakeComplete,
                        &payload::handshake_complete(took_ms),
                    );
                    self.start();
                }
            }
            return;
        }
        // A client that knows of no handshake begins with something else.
        self.start();
        match arrived.kind {
            PayloadKind::Bytes if !arrived.payload.is_empty() => {
                self.input_len += arrived.payload.len();
                self.wishes.push_back(Wish::Input(arrived.payload));
            }
            PayloadKind::Size => {
                if let Some(Size { cols, rows }) = payload::parse(&arrived.payload) {
                    let bounded = |size: u32| u16::try_from(size).unwrap_or(u16::MAX);
                    self.wishes.push_back(Wish::Resize {
                        columns: bounded(cols),
                        rows: bounded(rows),
                    });
                }
            }
            PayloadKind::Flag if *arrived.payload == TERMINATE.to_be_bytes() => {
                self.wishes.push_back(Wish::Terminate);
            }
            _ => {}
        }
        if arrived.is_last {
            self.wishes.push_back(Wish::EndOfInput);
        }
    }

    fn start(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.wishes.push_back(Wish::Begin);
        }
    }

    /// The next thing that the client wants.
    pub fn next_wish(&mut self) -> Option<Wish> {
        let wish = self.wishes.pop_front()?;
        if let Wish::Input(bytes) = &wish {
            self.input_len -= bytes.len();
        }
        Some(wish)
    }

    /// Whether more output may be given.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    /// Sends output, at most [`OUTPUT_LEN_MAX`] bytes.
    pub fn output(&mut self, now_ms: u64, bytes: &[u8]) {
        self.push(now_ms, PayloadKind::Bytes, bytes);
    }

    /// Tells the client that this is the end; `reason` where it is not plain.
    pub fn close(&mut self, now_ms: u64, reason: &str) {
        let id = uuid_text(&self.next_id());
        let closed = payload::channel_closed(&self.session, &id, now_ms, reason);
        self.push_unsequenced(now_ms, MessageType::ChannelClosed, &closed);
    }

    /// A message that is to be sent now.
    pub fn next_due(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if let Some(message) = self.unsequenced.pop_front() {
            return Some(message);
        }
        if self.is_paused {
            return None;
        }
        self.outgoing.take_due(now_ms).map(<[u8]>::to_vec)
    }

    /// When something is to be sent again.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        self.outgoing.due_ms().filter(|_| !self.is_paused)
    }

    /// Whether the client has everything.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether the client has not answered for too long.
    #[must_use]
    pub fn is_abandoned(&self, now_ms: u64) -> bool {
        !self.is_paused && self.outgoing.is_abandoned(now_ms)
    }

    fn push(&mut self, now_ms: u64, kind: PayloadKind, payload: &[u8]) {
        let message = Message {
            message_type: MessageType::Output,
            created_ms: now_ms,
            sequence: self.outgoing.next_sequence(),
            // The first message of the sequence says so.
            flags: u64::from(self.outgoing.next_sequence() == 0),
            id: self.next_id(),
            kind,
            payload,
        };
        let bytes = message.to_bytes();
        self.outgoing.push(bytes);
    }

    fn push_unsequenced(&mut self, now_ms: u64, message_type: MessageType, payload: &[u8]) {
        let message = Message {
            message_type,
            created_ms: now_ms,
            sequence: 0,
            flags: 0,
            id: self.next_id(),
            kind: PayloadKind::Other(0),
            payload,
        };
        let bytes = message.to_bytes();
        self.unsequenced.push_back(bytes);
    }

    /// An id that no other message has: a random UUID's form (RFC 9562, 5.4).
    fn next_id(&mut self) -> [u8; 16] {
        self.ids += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.ids.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }
}
