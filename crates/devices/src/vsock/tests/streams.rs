//! Long streams, with a host program that runs at its own pace.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use super::peer::*;
use crate::vsock::flow::BUFFER_BYTES;

/// What must stream without loss or change of order.
const STREAM_BYTES: usize = 100_000_000;

#[test]
fn a_hundred_megabytes_stream_from_guest_to_host() {
    let mut peer = Peer::new();
    let mut service = peer.connect();
    let socket = peer.socket();
    let (finished, result) = mpsc::channel();
    let reader = thread::spawn(move || {
        let (mut at, mut bytes) = (0, vec![0; 65_536]);
        loop {
            let count = service.read(&mut bytes).unwrap();
            if count == 0 {
                break;
            }
            assert_eq!(bytes[..count], pattern(at, count), "at {at}");
            at += count;
        }
        finished.send(at).unwrap();
        // Something happens, so that whoever waits for something looks again.
        UnixStream::connect(socket).unwrap();
    });
    let (mut sent, mut forwarded) = (0usize, 0u32);
    while sent < STREAM_BYTES {
        let under_way = u32::try_from(sent & 0xffff_ffff).unwrap().wrapping_sub(forwarded);
        let bytes = PAYLOAD_MAX
            .min(STREAM_BYTES - sent)
            .min((BUFFER_BYTES - under_way) as usize);
        if bytes == 0 {
            peer.guest.wait();
        } else {
            peer.send(Header::new(RW), &pattern(sent, bytes));
            sent += bytes;
        }
        for seen in peer.receive() {
            assert_eq!(seen.header.operation, CREDIT_UPDATE);
            forwarded = seen.header.forwarded;
        }
    }
    peer.shut(RECEIVE | SEND);
    assert_eq!(peer.operations().last(), Some(&RST));
    let received = loop {
        match result.try_recv() {
            Ok(received) => break received,
            Err(_) => peer.guest.wait(),
        }
    };
    assert_eq!(received, STREAM_BYTES);
    reader.join().unwrap();
}

#[test]
fn ten_megabytes_stream_from_host_to_guest() {
    const BYTES: usize = 10_000_000;
    let mut peer = Peer::new();
    let mut service = peer.connect_with(Header {
        buffer_bytes: 65_536,
        ..Header::new(REQUEST)
    });
    let writer = thread::spawn(move || {
        let mut at = 0;
        while at < BYTES {
            let bytes = (BYTES - at).min(50_000);
            service.write_all(&pattern(at, bytes)).unwrap();
            at += bytes;
        }
    });
    let mut at = 0;
    loop {
        let seen = peer.receive();
        if seen.is_empty() {
            peer.guest.wait();
            continue;
        }
        for packet in &seen {
            assert_eq!(packet.payload, pattern(at, packet.payload.len()), "at {at}");
            at += packet.payload.len();
        }
        if seen.iter().any(|seen| seen.header.operation == SHUTDOWN) {
            break;
        }
        let forwarded = u32::try_from(at).unwrap();
        peer.send(
            Header {
                buffer_bytes: 65_536,
                forwarded,
                ..Header::new(CREDIT_UPDATE)
            },
            &[],
        );
    }
    assert_eq!(at, BYTES);
    writer.join().unwrap();
}
