//! The host's end of a data channel, without its socket: what arrives goes in, what is to be sent and what the client wants comes out.

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn begin() -> Conversation {
        Conversation::begin("s".to_owned(), [7; 16], 0)
    }

    fn input(sequence: u64, kind: PayloadKind, payload: &[u8]) -> Vec<u8> {
        let message = Message {
            message_type: MessageType::Input,
            created_ms: 1,
            sequence,
            flags: 0,
            id: [1; 16],
            kind,
            payload,
        };
        message.to_bytes()
    }

    fn acknowledgement(sequence: u64) -> Vec<u8> {
        let content = Acknowledgement {
            message_type: "output_stream_data".to_owned(),
            id: String::new(),
            sequence,
            is_sequential: true,
        };
        let message = Message {
            message_type: MessageType::Acknowledge,
            created_ms: 1,
            sequence: 0,
            flags: 3,
            id: [2; 16],
            kind: PayloadKind::Other(0),
            payload: &serde_json::to_vec(&content).unwrap(),
        };
        message.to_bytes()
    }

    /// What is sent now: the kind of payload and the payload of each, acknowledgements as theirs.
    fn sent(conversation: &mut Conversation, now_ms: u64) -> Vec<(MessageType, PayloadKind, Vec<u8>)> {
        let due = std::iter::from_fn(|| conversation.next_due(now_ms));
        let told = |bytes: Vec<u8>| {
            let message = message::parse(&bytes).unwrap();
            (message.message_type, message.kind, message.payload.to_vec())
        };
        due.map(told).collect()
    }

    fn wishes(conversation: &mut Conversation) -> Vec<Wish> {
        std::iter::from_fn(|| conversation.next_wish()).collect()
    }

    #[test]
    fn a_session_begins_with_a_handshake() {
        let mut conversation = begin();
        let first = sent(&mut conversation, 0);
        assert_eq!(first[0].1, PayloadKind::HandshakeRequest);
        assert!(String::from_utf8_lossy(&first[0].2).contains("InteractiveCommands"));
        conversation.receive(5, &acknowledgement(0)).unwrap();
        let response = br#"{"ClientVersion":"1.2","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}],"Errors":null}"#;
        conversation
            .receive(5, &input(0, PayloadKind::HandshakeResponse, response))
            .unwrap();
        let next: Vec<_> = sent(&mut conversation, 5)
            .into_iter()
            .map(|(kind, payload, _)| (kind, payload))
            .collect();
        assert_eq!(
            next,
            [
                (MessageType::Acknowledge, PayloadKind::Other(0)),
                (MessageType::Output, PayloadKind::HandshakeComplete)
            ]
        );
        assert_eq!(wishes(&mut conversation), [Wish::Begin]);
        conversation
            .receive(6, &input(1, PayloadKind::Size, br#"{"cols":80,"rows":24}"#))
            .unwrap();
        conversation.receive(6, &input(2, PayloadKind::Bytes, b"ls\r")).unwrap();
        conversation
            .receive(6, &input(3, PayloadKind::Flag, &[0, 0, 0, 2]))
            .unwrap();
        assert_eq!(
            wishes(&mut conversation),
            [
                Wish::Resize { columns: 80, rows: 24 },
                Wish::Input(Bytes::from_static(b"ls\r")),
                Wish::Terminate
            ]
        );
    }

    #[test]
    fn a_client_without_a_handshake_begins_by_itself_and_one_that_cannot_says_why() {
        let mut conversation = begin();
        conversation
            .receive(0, &input(0, PayloadKind::Size, br#"{"cols":99999,"rows":1}"#))
            .unwrap();
        let resize = Wish::Resize {
            columns: u16::MAX,
            rows: 1,
        };
        assert_eq!(wishes(&mut conversation), [Wish::Begin, resize]);
        let mut conversation = begin();
        conversation
            .receive(0, &input(0, PayloadKind::HandshakeResponse, br#"{"Errors":["no"]}"#))
            .unwrap();
        assert_eq!(wishes(&mut conversation), [Wish::Fail("no".to_owned())]);
    }

    #[test]
    fn nothing_is_sent_while_the_client_pauses() {
        let mut conversation = begin();
        let control = |message_type| {
            let message = Message {
                message_type,
                created_ms: 1,
                sequence: 0,
                flags: 0,
                id: [3; 16],
                kind: PayloadKind::Other(0),
                payload: b"",
            };
            message.to_bytes()
        };
        conversation
            .receive(0, &control(MessageType::PausePublication))
            .unwrap();
        assert_eq!(sent(&mut conversation, 0), []);
        assert_eq!(conversation.due_ms(), None);
        conversation
            .receive(0, &control(MessageType::StartPublication))
            .unwrap();
        assert_eq!(sent(&mut conversation, 0).len(), 1);
    }

    #[test]
    fn input_that_nobody_takes_is_bounded() {
        let mut conversation = begin();
        let long = vec![0; 1000];
        for sequence in 0..1000 {
            conversation
                .receive(0, &input(sequence, PayloadKind::Bytes, &long))
                .unwrap();
        }
        let taken = wishes(&mut conversation).len();
        assert!((60..100).contains(&taken), "{taken}");
        let next = u64::try_from(taken - 1).unwrap();
        conversation
            .receive(0, &input(next, PayloadKind::Bytes, &long))
            .unwrap();
        assert_eq!(wishes(&mut conversation).len(), 1, "it comes again and is taken");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Both ways lose, repeat and reorder messages as they like; in the end everything is there once and in order.
        #[test]
        fn everything_arrives_once_and_in_order(
            output in proptest::collection::vec(any::<u8>(), 1..3000),
            typed in proptest::collection::vec(any::<u8>(), 1..40),
            mut seed: u64,
        ) {
            let mut host = begin();
            // A linear congruential generator (Knuth, MMIX): its high bits are the better ones.
            let mut fate = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed >> 62
            };
            let mut shown: Incoming<Vec<u8>> = Incoming::default();
            let mut keys = Outgoing::default();
            let (mut seen, mut received) = (vec![], vec![]);
            let mut rest = output.chunks(100);
            let mut now_ms = 0;
            let mut on_the_way: Vec<(bool, Vec<u8>)> = vec![];
            for key in &typed {
                let bytes = input(keys.next_sequence(), PayloadKind::Bytes, &[*key]);
                keys.push(bytes);
            }
            while seen.len() < output.len() || received.len() < typed.len() || !host.is_drained() {
                now_ms += 50;
                prop_assert!(now_ms < 4 * 60 * 1000, "it comes to an end");
                while host.has_room() && let Some(bytes) = rest.next() {
                    host.output(now_ms, bytes);
                }
                while let Some(bytes) = host.next_due(now_ms) {
                    on_the_way.push((true, bytes));
                }
                while let Some(bytes) = keys.take_due(now_ms) {
                    on_the_way.push((false, bytes.to_vec()));
                }
                let mut later = vec![];
                for (to_client, bytes) in std::mem::take(&mut on_the_way) {
                    match fate() {
                        // One in four is lost, one late, one twice.
                        0 => continue,
                        1 => {
                            later.push((to_client, bytes));
                            continue;
                        }
                        2 => later.push((to_client, bytes.clone())),
                        _ => {}
                    }
                    if !to_client {
                        host.receive(now_ms, &bytes).unwrap();
                        continue;
                    }
                    let message = message::parse(&bytes).unwrap();
                    if message.message_type == MessageType::Acknowledge {
                        let content: Acknowledgement = payload::parse(message.payload).unwrap();
                        keys.acknowledge(now_ms, content.sequence);
                        continue;
                    }
                    let content = if message.kind == PayloadKind::Bytes { message.payload } else { b"" };
                    if shown.arrive(message.sequence, || content.to_vec()) != Arrival::Refused {
                        later.push((false, acknowledgement(message.sequence)));
                    }
                    while let Some(content) = shown.next_in_turn() {
                        seen.extend(content);
                    }
                }
                on_the_way = later;
                for wish in wishes(&mut host) {
                    if let Wish::Input(bytes) = wish {
                        received.extend(bytes);
                    }
                }
            }
            prop_assert_eq!(seen, output);
            prop_assert_eq!(received, typed);
        }
    }
}
