//! Packets and buffers that no driver should send.

use std::io::Read;

use proptest::prelude::*;

use super::peer::*;
use crate::slots::testing::queue::{into, out};
use crate::slots::testing::{BUFFERS, MEMORY_BYTES};
use crate::vsock::CONNECTIONS_MAX;

const GUEST: u64 = GUEST_CID as u64;

fn check_stray(header: Header, payload: &[u8], expected: &[u16]) {
    let mut peer = Peer::new();
    peer.send_raw(header, payload);
    assert_eq!(peer.operations(), expected, "{header:?}");
}

#[test]
fn packets_of_no_connection_are_reset_but_for_resets() {
    for operation in [RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 0, 8, u16::MAX] {
        check_stray(Header::new(operation), &[], &[RST]);
    }
    check_stray(Header::new(RST), &[], &[]);
}

#[test]
fn packets_with_other_addresses_are_ignored() {
    for (from, to) in [(4, 2), (2, 2), (GUEST, 1), (GUEST, GUEST), (u64::MAX, u64::MAX)] {
        check_stray(
            Header {
                from: (from, LOCAL),
                to: (to, SERVICE),
                ..Header::new(REQUEST)
            },
            &[],
            &[],
        );
    }
}

#[test]
fn other_kinds_of_sockets_are_reset_in_kind() {
    let mut peer = Peer::new();
    peer.send(
        Header {
            kind: 2,
            ..Header::new(REQUEST)
        },
        &[],
    );
    let seen = peer.receive();
    assert_eq!((seen[0].header.operation, seen[0].header.kind), (RST, 2));
}

#[test]
fn lies_about_the_payload_reset_the_connection() {
    for bytes in [9, 65_537, u32::MAX] {
        let mut peer = Peer::new();
        let mut service = peer.connect();
        peer.send_raw(
            Header {
                bytes,
                ..Header::new(RW)
            },
            &[0; 8],
        );
        assert_eq!(peer.operations(), [RST]);
        assert_eq!(service.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn bytes_behind_the_payload_do_not_count() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.send_raw(
        Header {
            bytes: 2,
            ..Header::new(RW)
        },
        b"abcd",
    );
    peer.send_raw(
        Header {
            bytes: 0,
            ..Header::new(RW)
        },
        b"efgh",
    );
    peer.shut(SEND);
    let mut said = Vec::new();
    service.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"ab");
}

#[test]
fn operations_out_of_turn_reset_the_connection() {
    for operation in [REQUEST, RESPONSE, 0, 99] {
        let mut peer = Peer::new();
        let mut service = peer.connect();
        peer.say(operation);
        assert_eq!(peer.operations(), [RST]);
        assert_eq!(service.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn data_behind_the_end_resets_the_connection() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.shut(SEND);
    peer.send(Header::new(RW), b"more");
    assert_eq!(peer.operations(), [RST]);
    assert_eq!(service.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn data_in_front_of_the_answer_resets_the_connection() {
    let mut peer = Peer::new();
    let (mut client, request) = super::request_from(&mut peer, b"CONNECT 52\n");
    peer.send(super::answer_to(&request, RW), b"early");
    assert_eq!(peer.operations(), [RST]);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn chains_that_are_no_packets_come_back() {
    let mut peer = Peer::new();
    let end = MEMORY_BYTES as u64;
    let header = out(end - 100, 43);
    for chain in [
        &[header][..],
        &[into(BUFFERS, 44)],
        &[out(end, 44)],
        &[out(end - 100, 44), out(end - 10, 100)],
    ] {
        peer.tx.add(chain);
        peer.guest.kick(1);
        assert_eq!(peer.tx.take_used().map(|(_, bytes)| bytes), Some(0), "{chain:?}");
    }
    assert!(peer.operations().is_empty());
    peer.connect();
}

#[test]
fn buffers_that_hold_no_packet_come_back_empty() {
    let mut peer = Peer::new();
    peer.starve();
    let end = MEMORY_BYTES as u64;
    for chain in [
        &[into(BUFFERS, 43)][..],
        &[out(BUFFERS, 4096)],
        &[into(end, 4096)],
        &[into(BUFFERS, 0)],
    ] {
        peer.send(
            Header {
                to: (2, 9),
                ..Header::new(CREDIT_UPDATE)
            },
            &[],
        );
        let head = peer.rx.add(chain);
        peer.guest.kick(0);
        let used = std::iter::from_fn(|| peer.rx.take_used()).last();
        assert_eq!(used, Some((head, 0)), "{chain:?}");
    }
}

#[test]
fn a_buffer_for_a_header_and_no_data_does_not_make_the_device_spin() {
    let mut peer = Peer::new();
    let service = peer.connect();
    peer.starve();
    std::io::Write::write_all(&mut &service, b"data").unwrap();
    while peer.rx.take_used().is_some() {}
    peer.rx.add(&[into(BUFFERS, 44)]);
    peer.guest.kick(0);
    assert_eq!(peer.rx.take_used(), None);
}

#[test]
fn a_header_may_be_cut_anywhere() {
    let mut peer = Peer::new();
    peer.starve();
    while peer.rx.take_used().is_some() {}
    let head = peer
        .rx
        .add(&[into(BUFFERS, 10), into(BUFFERS + 10, 30), into(BUFFERS + 40, 4096)]);
    peer.send(
        Header {
            to: (2, 9),
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    assert_eq!(peer.rx.take_used(), Some((head, 44)));
}

#[test]
fn a_full_table_refuses_and_a_free_place_is_given_again() {
    let mut peer = Peer::new();
    let mut services = Vec::new();
    let from = |port: usize| (GUEST, u32::try_from(port).unwrap());
    for port in 0..CONNECTIONS_MAX {
        services.push(peer.connect_with(Header {
            from: from(port),
            ..Header::new(REQUEST)
        }));
    }
    let one_more = Header {
        from: from(CONNECTIONS_MAX),
        ..Header::new(REQUEST)
    };
    peer.send(one_more, &[]);
    assert_eq!(peer.operations(), [RST]);
    // Host programs find no place either.
    let mut client = peer.client();
    peer.guest.run();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    peer.send(
        Header {
            from: from(7),
            ..Header::new(RST)
        },
        &[],
    );
    peer.connect_with(one_more);
}

#[test]
fn a_guest_that_takes_no_answers_is_listened_to_no_more() {
    let mut peer = Peer::new();
    peer.starve();
    let stray = Header {
        to: (2, 9),
        ..Header::new(CREDIT_UPDATE)
    };
    let mut taken = 0;
    loop {
        peer.send_unseen(stray, &[]);
        if peer.tx.take_used().is_none() {
            break;
        }
        taken += 1;
        assert!(taken <= 64, "answers without bound");
    }
    // With buffers everything goes on: those in the buffers, those that waited, and the one that was not taken.
    let mut answers = peer.feed().len();
    while answers < taken + 9 {
        let more = peer.receive().len();
        assert!(more > 0, "{answers} answers to {taken} packets");
        answers += more;
    }
    assert!(peer.tx.take_used().is_some());
    peer.connect();
}

#[test]
fn a_broken_ring_breaks_the_device_until_a_reset() {
    for queue in [0, 1] {
        let mut peer = Peer::new();
        let service = peer.connect();
        let ring = if queue == 0 { &peer.rx } else { &peer.tx };
        ring.set_avail_index(1000);
        std::io::Write::write_all(&mut &service, b"x").unwrap();
        peer.guest.kick(queue);
        assert!(peer.guest.needs_reset());
        // What happens to it now makes it neither work nor spin.
        let _client = peer.client();
        drop(service);
        peer.guest.kick(queue);
        peer.guest.write(crate::slots::testing::STATUS, 0);
        peer.restart();
        peer.connect();
    }
}

fn arbitrary_header() -> impl Strategy<Value = Header> {
    let operation = prop_oneof![9 => 0u16..9, 1 => any::<u16>()];
    let credit = prop_oneof![Just(1u32 << 20), 0u32..2000, any::<u32>()];
    let forwarded = prop_oneof![9 => 0u32..100, 1 => any::<u32>()];
    let (from, to) = (
        LOCAL..LOCAL + 3,
        prop_oneof![9 => SERVICE..SERVICE + 2, 1 => NOBODY..NOBODY + 1],
    );
    (operation, from, to, 0u32..4, credit, forwarded).prop_map(
        |(operation, from, to, flags, buffer_bytes, forwarded)| Header {
            from: (GUEST, from),
            to: (2, to),
            flags,
            buffer_bytes,
            forwarded,
            ..Header::new(operation)
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Send(Header, usize),
    Lie(Header, u32),
    Speak(usize, usize),
    HangUp(usize),
    Greet,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes in whatever order, the device rests after each step, and a new guest port is served.
    #[test]
    fn arbitrary_packets_do_no_harm(steps in prop::collection::vec(
        prop_oneof![
            8 => (arbitrary_header(), 0usize..PAYLOAD_MAX).prop_map(|(header, bytes)| Step::Send(header, bytes)),
            1 => (arbitrary_header(), any::<u32>()).prop_map(|(header, bytes)| Step::Lie(header, bytes)),
            2 => (0usize..4, 0usize..20_000).prop_map(|(service, bytes)| Step::Speak(service, bytes)),
            1 => (0usize..4).prop_map(Step::HangUp),
            1 => Just(Step::Greet),
        ], 1..60)) {
        let mut peer = Peer::new();
        let mut services = Vec::new();
        for step in steps {
            match step {
                Step::Send(header, bytes) => peer.send(header, &vec![1; if header.operation == RW { bytes } else { 0 }]),
                Step::Lie(header, bytes) => peer.send_raw(Header { bytes, ..header }, &[1; 10]),
                Step::Speak(index, bytes) => if let Some(service) = services.get(index) {
                    let mut service: &std::os::unix::net::UnixStream = service;
                    service.set_nonblocking(true).unwrap();
                    let _ = std::io::Write::write(&mut service, &vec![1; bytes]);
                },
                Step::HangUp(index) => if index < services.len() { services.remove(index); },
                Step::Greet => {
                    let mut client = peer.client();
                    std::io::Write::write_all(&mut client, b"CONNECT 1024\n").unwrap();
                    services.push(client);
                }
            }
            peer.receive();
            while let Some(service) = peer.try_service() {
                services.push(service);
            }
        }
        prop_assert!(!peer.guest.needs_reset());
        peer.connect_with(Header { from: (GUEST, LOCAL + 10), ..Header::new(REQUEST) });
    }
}
