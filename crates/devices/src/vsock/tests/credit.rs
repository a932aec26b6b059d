//! Flow control: nobody is sent more than he said he can take.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use super::peer::*;
use crate::vsock::flow::BUFFER_BYTES;

const CHUNK: usize = 8192;

/// A guest's count of what it has sent and what it was told.
struct Sender {
    sent: usize,
    forwarded: usize,
}

impl Sender {
    fn room(&self) -> usize {
        BUFFER_BYTES as usize - (self.sent - self.forwarded)
    }

    fn learn(&mut self, peer: &mut Peer) {
        for seen in peer.receive() {
            assert_eq!(seen.header.buffer_bytes, BUFFER_BYTES);
            assert_eq!(seen.header.operation, CREDIT_UPDATE);
            self.forwarded = seen.header.forwarded as usize;
        }
    }

    /// Sends as long as there is room.
    fn fill(&mut self, peer: &mut Peer) {
        while self.room() >= CHUNK {
            peer.send(Header::new(RW), &pattern(self.sent, CHUNK));
            self.sent += CHUNK;
            self.learn(peer);
        }
    }
}

fn read_some(service: &mut UnixStream, got: &mut Vec<u8>) {
    let mut bytes = vec![0; 100_000];
    service.set_nonblocking(true).unwrap();
    match service.read(&mut bytes) {
        Ok(count) => got.extend(&bytes[..count]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
}

#[test]
fn a_host_that_does_not_read_stops_the_guest_and_loses_nothing() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    let mut sender = Sender { sent: 0, forwarded: 0 };
    sender.fill(&mut peer);
    let stopped_at = sender.sent;
    assert!(stopped_at >= BUFFER_BYTES as usize && stopped_at < 4 * BUFFER_BYTES as usize);
    assert!(peer.operations().is_empty());

    let mut got = Vec::new();
    while got.len() < 8 * BUFFER_BYTES as usize {
        read_some(&mut service, &mut got);
        sender.learn(&mut peer);
        sender.fill(&mut peer);
    }
    assert_eq!(got, pattern(0, got.len()));
    assert!(sender.sent > stopped_at);
}

#[test]
fn a_guest_that_sends_more_than_it_may_is_reset() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    let mut sender = Sender { sent: 0, forwarded: 0 };
    sender.fill(&mut peer);
    peer.send(Header::new(RW), &[0; CHUNK]);
    assert_eq!(peer.operations(), [RST]);
    // Its next packet belongs to no connection.
    peer.send(Header::new(RW), &[0; CHUNK]);
    assert_eq!(peer.operations(), [RST]);
    let mut rest = Vec::new();
    service.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, pattern(0, rest.len()));
}

#[test]
fn a_guest_that_asks_is_told() {
    let mut peer = Peer::new();
    let _service = peer.connect();
    peer.send(Header::new(RW), &[0; 100]);
    assert!(peer.operations().is_empty());
    peer.say(CREDIT_REQUEST);
    let seen = peer.receive();
    assert_eq!(
        (seen[0].header.operation, seen[0].header.forwarded),
        (CREDIT_UPDATE, 100)
    );
}

#[test]
fn a_guest_without_room_gets_nothing_but_one_question() {
    let mut peer = Peer::new();
    let mut service = peer.connect_with(Header {
        buffer_bytes: 100,
        ..Header::new(REQUEST)
    });
    service.write_all(&pattern(0, 1000)).unwrap();
    let (data, others) = peer.data();
    assert_eq!((data, others), (pattern(0, 100), vec![CREDIT_REQUEST]));
    service.write_all(&pattern(1000, 1000)).unwrap();
    assert!(peer.operations().is_empty());
    // The guest reads 30 bytes, then all, into a larger buffer.
    peer.send(
        Header {
            buffer_bytes: 100,
            forwarded: 30,
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    assert_eq!(peer.data(), (pattern(100, 30), vec![CREDIT_REQUEST]));
    peer.send(
        Header {
            buffer_bytes: 10_000,
            forwarded: 130,
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    assert_eq!(peer.data(), (pattern(130, 1870), vec![]));
}

#[test]
fn a_guest_that_counts_what_it_never_got_gets_nothing() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.send(
        Header {
            buffer_bytes: 100,
            forwarded: 1,
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    service.write_all(b"secret").unwrap();
    assert_eq!(peer.data(), (vec![], vec![CREDIT_REQUEST]));
    peer.send(
        Header {
            buffer_bytes: 0,
            forwarded: 0,
            ..Header::new(CREDIT_UPDATE)
        },
        &[],
    );
    assert!(peer.operations().is_empty());
    peer.say(CREDIT_UPDATE);
    assert_eq!(peer.data().0, b"secret");
}

#[test]
fn without_buffers_everything_waits_in_order() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.starve();
    service.write_all(&pattern(0, 10_000)).unwrap();
    peer.guest.run();
    let mut got: Vec<u8> = peer.feed().into_iter().flat_map(|seen| seen.payload).collect();
    got.extend(peer.data().0);
    assert_eq!(got, pattern(0, 10_000));
}

#[test]
fn two_connections_take_turns() {
    let mut peer = Peer::new();
    let mut first = peer.connect();
    let mut second = peer.connect_with(Header {
        from: (GUEST_CID.into(), LOCAL + 1),
        ..Header::new(REQUEST)
    });
    peer.starve();
    first.write_all(&[1; 50_000]).unwrap();
    second.write_all(&[2; 50_000]).unwrap();
    peer.guest.run();
    let mut seen = peer.feed();
    seen.extend(peer.receive());
    let order: Vec<_> = seen.iter().filter_map(|seen| seen.payload.first()).copied().collect();
    assert!(order[..8].contains(&1) && order[..8].contains(&2), "{order:?}");
    assert_eq!(seen.iter().map(|seen| seen.payload.len()).sum::<usize>(), 100_000);
}
