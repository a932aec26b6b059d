//! Handshakes, bounds, and a line that loses, repeats and reorders messages.

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
