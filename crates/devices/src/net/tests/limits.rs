//! An interface whose frames wait. Nobody waits here for what takes its time: what may not go does not go in any test's time.

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::slots::testing::queue::out;

impl Peer {
    /// Makes `count` frames of 60 bytes available at once; how many the device has sent, or lost.
    fn send_all(&mut self, count: usize) -> usize {
        let frame = [&HEADER[..], &[7; 60]].concat();
        self.guest
            .memory
            .write_slice(&frame, GuestAddress(peer::FRAME_AT))
            .unwrap();
        for _ in 0..count {
            self.tx.add(&[out(peer::FRAME_AT, 72)]);
        }
        self.guest.kick(1);
        self.returned()
    }

    /// How many frames the device has done with since it was asked last.
    fn returned(&mut self) -> usize {
        std::iter::from_fn(|| self.tx.take_used()).count()
    }

    /// How many frames have arrived at the other end.
    fn arrived(&self) -> usize {
        std::iter::from_fn(|| self.sent()).count()
    }
}

#[test]
fn what_a_guest_sends_too_fast_waits_in_its_ring() {
    let mut peer = Peer::limited(120);
    assert_eq!(peer.send_all(5), 3);
    assert_eq!(peer.arrived(), 3);
    for _ in 0..10 {
        peer.guest.kick(1);
    }
    assert_eq!(peer.returned(), 0);
}

#[test]
fn what_comes_too_fast_waits_at_the_link() {
    let mut peer = Peer::limited(120);
    peer.offer(&[100; 8]);
    for number in 0..5 {
        peer.arrive(&[number; 60]);
    }
    assert_eq!(peer.received(), [[0; 60], [1; 60], [2; 60]]);
    peer.offer(&[100; 2]);
    assert!(peer.received().is_empty());
    // The other direction has a rate of its own.
    assert_eq!(peer.send_all(2), 2);
}

#[test]
fn what_has_waited_goes_without_a_word_of_anybody() {
    let mut peer = Peer::limited(6000);
    for _ in 0..13 {
        let mut done = peer.send_all(8);
        while done < 8 {
            peer.guest.wait();
            done += peer.returned();
        }
    }
    assert_eq!(peer.arrived(), 104);
    peer.offer(&[100; 8]);
    let mut seen = Vec::new();
    for number in 0..104 {
        peer.arrive(&[number; 60]);
        loop {
            let frames = peer.received();
            if frames.is_empty() {
                peer.guest.wait();
                continue;
            }
            seen.extend(frames.iter().map(|frame| frame[0]));
            peer.offer(&[100]);
            break;
        }
    }
    assert_eq!(seen, (0..104).collect::<Vec<u8>>());
}

#[test]
fn a_reset_refills_nothing() {
    let mut peer = Peer::limited(60);
    assert_eq!(peer.send_all(4), 2);
    peer.restart();
    assert_eq!(peer.send_all(4), 0);
}

#[test]
fn what_is_no_frame_costs_nothing() {
    let mut peer = Peer::limited(60);
    for _ in 0..5 {
        peer.send(&HEADER, &[7; 8], &[20]);
    }
    assert_eq!(peer.send_all(3), 2);
}
