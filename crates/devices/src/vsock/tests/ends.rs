//! How connections end: each direction by itself, and never in front of its last byte.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use super::peer::*;

const MUCH: usize = 400_000;

/// Sends more than the host's socket takes, without the host reading.
fn send_much(peer: &mut Peer) {
    let mut sent = 0;
    while sent < MUCH {
        let bytes = (MUCH - sent).min(8000);
        peer.send(Header::new(RW), &pattern(sent, bytes));
        sent += bytes;
    }
}

/// Reads to the end, while the device sends what it has kept.
fn read_all(peer: &mut Peer, service: &mut std::os::unix::net::UnixStream) -> Vec<u8> {
    service.set_nonblocking(true).unwrap();
    let (mut all, mut bytes) = (Vec::new(), vec![0; 65_536]);
    loop {
        match service.read(&mut bytes) {
            Ok(0) => return all,
            Ok(count) => all.extend(&bytes[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        peer.guest.run();
    }
}

#[test]
fn a_guest_that_has_sent_all_still_receives() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.send(Header::new(RW), b"all");
    peer.shut(SEND);
    let mut said = Vec::new();
    service.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"all");
    service.write_all(b"answer").unwrap();
    assert_eq!(peer.data(), (b"answer".to_vec(), vec![]));
    // Now both directions are over.
    drop(service);
    let seen = peer.receive();
    assert_eq!(
        (seen[0].header.operation, seen[0].header.flags),
        (SHUTDOWN, RECEIVE | SEND)
    );
}

#[test]
fn the_end_comes_behind_bytes_that_the_host_was_slow_to_take() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    send_much(&mut peer);
    peer.shut(SEND);
    assert_eq!(read_all(&mut peer, &mut service), pattern(0, MUCH));
    service.write_all(b"thanks").unwrap();
    assert_eq!(peer.data().0, b"thanks");
}

#[test]
fn a_guest_that_closes_is_let_go_at_once_and_the_host_still_gets_all() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    send_much(&mut peer);
    peer.receive();
    peer.shut(RECEIVE | SEND);
    assert_eq!(peer.operations(), [RST]);
    // The ports are free for another connection while the host takes its time.
    let mut next = peer.connect();
    peer.send(Header::new(RW), b"next");
    assert_eq!(read_all(&mut peer, &mut service), pattern(0, MUCH));
    let mut said = [0; 4];
    next.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"next");
}

#[test]
fn a_guest_that_resets_after_its_last_byte_takes_nothing_back() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    send_much(&mut peer);
    peer.say(RST);
    assert_eq!(read_all(&mut peer, &mut service), pattern(0, MUCH));
}

#[test]
fn the_host_reads_an_end_and_no_error_although_the_guest_left_bytes_unread() {
    let mut peer = Peer::new();
    let mut service = peer.connect_with(Header {
        buffer_bytes: 4,
        ..Header::new(REQUEST)
    });
    service.write_all(b"more than four bytes").unwrap();
    peer.receive();
    peer.send(
        Header {
            buffer_bytes: 4,
            ..Header::new(RW)
        },
        b"bye",
    );
    peer.send(
        Header {
            flags: RECEIVE | SEND,
            buffer_bytes: 4,
            ..Header::new(SHUTDOWN)
        },
        &[],
    );
    assert_eq!(peer.operations(), [RST]);
    let mut said = Vec::new();
    service.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"bye");
}

#[test]
fn a_guest_that_reads_no_more_breaks_the_pipe_of_the_host() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.shut(RECEIVE);
    assert_eq!(service.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    peer.send(Header::new(RW), b"still here");
    let mut said = [0; 10];
    service.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"still here");
    peer.shut(SEND);
    assert_eq!(peer.operations(), [RST]);
    assert_eq!(service.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_host_that_has_sent_all_still_receives() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    service.write_all(&pattern(0, 10_000)).unwrap();
    service.shutdown(Shutdown::Write).unwrap();
    let seen = peer.receive();
    let (last, data) = seen.split_last().unwrap();
    assert_eq!((last.header.operation, last.header.flags), (SHUTDOWN, SEND));
    assert_eq!(
        data.iter().flat_map(|seen| seen.payload.clone()).collect::<Vec<_>>(),
        pattern(0, 10_000)
    );
    peer.send(Header::new(RW), b"answer");
    peer.shut(RECEIVE | SEND);
    assert_eq!(peer.operations(), [RST]);
    let mut said = Vec::new();
    service.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"answer");
}

#[test]
fn a_host_that_closes_is_reported_behind_its_last_byte() {
    let mut peer = Peer::new();
    let mut service = peer.connect_with(Header {
        buffer_bytes: 1000,
        ..Header::new(REQUEST)
    });
    service.write_all(&pattern(0, 2500)).unwrap();
    drop(service);
    assert_eq!(peer.data(), (pattern(0, 1000), vec![CREDIT_REQUEST]));
    peer.send(
        Header {
            buffer_bytes: 1000,
            forwarded: 1000,
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    assert_eq!(peer.data(), (pattern(1000, 1000), vec![CREDIT_REQUEST]));
    peer.send(
        Header {
            buffer_bytes: 1000,
            forwarded: 2000,
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    let seen = peer.receive();
    assert_eq!(seen[0].payload, pattern(2000, 500));
    assert_eq!(
        (seen[1].header.operation, seen[1].header.flags),
        (SHUTDOWN, RECEIVE | SEND)
    );
    // The guest's answer to this needs no answer.
    peer.say(RST);
    assert!(peer.operations().is_empty());
}

#[test]
fn a_host_that_reads_no_more_is_reported_at_once() {
    let mut peer = Peer::new();
    let service = peer.connect();
    service.shutdown(Shutdown::Read).unwrap();
    peer.send(Header::new(RW), b"for nobody");
    let seen = peer.receive();
    assert_eq!((seen[0].header.operation, seen[0].header.flags), (SHUTDOWN, RECEIVE));
    // What is sent nevertheless is given up, and does not use up the guest's credit.
    for _ in 0..100 {
        peer.send(Header::new(RW), &[0; 8000]);
        peer.receive();
    }
    (&service).write_all(b"but says something").unwrap();
    assert_eq!(peer.data().0, b"but says something");
}

#[test]
fn a_host_that_is_gone_while_bytes_wait_for_it_ends_the_connection() {
    let mut peer = Peer::new();
    let service = peer.connect();
    send_much(&mut peer);
    peer.receive();
    drop(service);
    let seen = peer.receive();
    let last = seen.last().unwrap();
    assert_eq!((last.header.operation, last.header.flags), (SHUTDOWN, RECEIVE | SEND));
    peer.send(Header::new(RW), b"x");
    assert_eq!(peer.operations(), [RST]);
}

#[test]
fn a_host_that_never_takes_the_last_bytes_can_leave() {
    let mut peer = Peer::new();
    let service = peer.connect();
    send_much(&mut peer);
    peer.receive();
    peer.shut(RECEIVE | SEND);
    assert_eq!(peer.operations(), [RST]);
    drop(service);
    assert!(peer.operations().is_empty());
}

#[test]
fn a_host_that_leaves_a_guest_without_room_does_not_make_the_device_spin() {
    let mut peer = Peer::new();
    peer.send(
        Header {
            buffer_bytes: 0,
            ..Header::new(REQUEST)
        },
        &[],
    );
    assert_eq!(peer.operations(), [RESPONSE, CREDIT_REQUEST]);
    let mut service = peer.service();
    service.write_all(b"x").unwrap();
    peer.send(
        Header {
            flags: SEND,
            buffer_bytes: 0,
            ..Header::new(SHUTDOWN)
        },
        &[],
    );
    drop(service);
    assert!(peer.operations().is_empty());
    peer.say(CREDIT_UPDATE);
    assert_eq!(peer.operations(), [RW, SHUTDOWN]);
}
