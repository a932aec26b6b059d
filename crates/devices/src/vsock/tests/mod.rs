//! Sockets, used as Linux uses them and as nobody should.

mod credit;
mod ends;
mod hostile;
mod peer;
mod streams;

use std::io::{Read, Write};

use super::FIRST_EPHEMERAL_PORT;
use peer::*;

#[test]
fn the_guest_reads_its_address() {
    let peer = Peer::new();
    assert_eq!(peer.guest.config(0, 8), 3u64.to_le_bytes());
    assert_eq!(peer.guest.config(4, 8), [0; 8]);
    assert_eq!(peer.guest.config(1, 2), [0; 2]);
}

#[test]
fn a_guest_connects_and_both_talk() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.send(Header::new(RW), b"question");
    let mut question = [0; 8];
    service.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"question");
    service.write_all(b"answer").unwrap();
    let seen = peer.receive();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].payload, b"answer");
    assert_eq!(seen[0].header.forwarded, 8);
    assert_eq!((seen[0].header.from.1, seen[0].header.to.1), (SERVICE, LOCAL));
}

#[test]
fn a_port_behind_which_there_is_nobody_refuses() {
    let mut peer = Peer::new();
    peer.send(
        Header {
            to: (2, NOBODY),
            ..Header::new(REQUEST)
        },
        &[],
    );
    let seen = peer.receive();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].header.operation, seen[0].header.from.1, seen[0].header.to.1),
        (RST, NOBODY, LOCAL)
    );
}

#[test]
fn what_a_service_says_before_it_is_asked_arrives_behind_the_response() {
    let mut peer = Peer::new();
    peer.refills = true;
    peer.starve();
    peer.send(Header::new(REQUEST), &[]);
    let mut service = peer.service();
    service.write_all(b"hello").unwrap();
    drop(service);
    let mut operations: Vec<_> = peer.feed().iter().map(|seen| seen.header.operation).collect();
    operations.extend(peer.operations());
    assert_eq!(operations[operations.len() - 3..], [RESPONSE, RW, SHUTDOWN]);
}

/// Brings a host program in, up to the packet that the guest gets.
fn request_from(peer: &mut Peer, greeting: &[u8]) -> (std::os::unix::net::UnixStream, Header) {
    let mut client = peer.client();
    client.write_all(greeting).unwrap();
    let seen = peer.receive();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].header.operation, REQUEST);
    (client, seen[0].header)
}

/// The guest's answer to a request.
fn answer_to(request: &Header, operation: u16) -> Header {
    Header {
        from: (GUEST_CID.into(), request.to.1),
        to: (2, request.from.1),
        ..Header::new(operation)
    }
}

#[test]
fn a_host_program_connects_and_both_talk() {
    let mut peer = Peer::new();
    let (mut client, request) = request_from(&mut peer, b"CONNECT 52\nearly");
    assert_eq!((request.from.1, request.to.1), (FIRST_EPHEMERAL_PORT, 52));
    peer.send(answer_to(&request, RESPONSE), &[]);
    let (data, others) = peer.data();
    assert_eq!((data.as_slice(), others.as_slice()), (&b"early"[..], &[][..]));
    peer.send(answer_to(&request, RW), b"late");
    let mut said = [0; 18];
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"OK 1073741824\nlate");
}

#[test]
fn a_greeting_may_come_in_pieces() {
    let mut peer = Peer::new();
    let mut client = peer.client();
    for byte in b"CONNECT 5" {
        client.write_all(&[*byte]).unwrap();
        assert!(peer.operations().is_empty());
    }
    client.write_all(b"2\n").unwrap();
    assert_eq!(peer.operations(), [REQUEST]);
}

#[test]
fn clients_that_do_not_greet_are_sent_away() {
    for greeting in [&b"HELLO\n"[..], b"CONNECT x\n", &[b'C'; 40]] {
        let mut peer = Peer::new();
        let mut client = peer.client();
        client.write_all(greeting).unwrap();
        assert!(peer.operations().is_empty());
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn a_guest_that_refuses_ends_the_client() {
    let mut peer = Peer::new();
    let (mut client, request) = request_from(&mut peer, b"CONNECT 52\n");
    peer.send(answer_to(&request, RST), &[]);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert!(peer.operations().is_empty());
}

#[test]
fn a_client_that_gives_up_waiting_is_reported() {
    let mut peer = Peer::new();
    let (client, request) = request_from(&mut peer, b"CONNECT 52\n");
    drop(client);
    let seen = peer.receive();
    assert_eq!((seen[0].header.operation, seen[0].header.to.1), (RST, 52));
    // Too late: the connection is no more.
    peer.send(answer_to(&request, RESPONSE), &[]);
    assert_eq!(peer.operations(), [RST]);
}

#[test]
fn a_client_that_leaves_before_it_greets_leaves_nothing() {
    let mut peer = Peer::new();
    let client = peer.client();
    peer.guest.run();
    drop(client);
    assert!(peer.operations().is_empty());
}

#[test]
fn two_clients_get_different_ports() {
    let mut peer = Peer::new();
    let (_first, one) = request_from(&mut peer, b"CONNECT 52\n");
    let (_second, other) = request_from(&mut peer, b"CONNECT 52\n");
    assert_ne!(one.from.1, other.from.1);
}

#[test]
fn clients_that_came_before_the_driver_are_served() {
    let mut peer = Peer::new();
    peer.guest.write(crate::slots::testing::STATUS, 0);
    let mut client = peer.client();
    client.write_all(b"CONNECT 52\n").unwrap();
    peer.guest.run();
    peer.restart();
    assert_eq!(peer.operations(), [REQUEST]);
}

#[test]
fn a_reset_hangs_up_and_the_device_works_again() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    peer.guest.write(crate::slots::testing::STATUS, 0);
    assert_eq!(service.read(&mut [0; 8]).unwrap(), 0);
    peer.restart();
    let mut service = peer.connect();
    peer.send(Header::new(RW), b"again");
    let mut said = [0; 5];
    service.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"again");
}
