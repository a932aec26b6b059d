//! Frames and buffers that no driver should offer.

use proptest::prelude::*;

use super::peer::{HEADER, Peer};
use crate::net::header::FRAME_BYTES_MAX;
use crate::slots::testing::queue::{INDIRECT, into, out};
use crate::slots::testing::{BUFFERS, MEMORY_BYTES};

const END: u64 = MEMORY_BYTES as u64;

#[test]
fn chains_that_are_no_frames_come_back_and_are_not_sent() {
    let mut peer = Peer::new(u64::MAX);
    for chain in [
        &[out(BUFFERS, 11)][..],
        &[out(BUFFERS, 12)],
        &[out(BUFFERS, 25)],
        &[into(BUFFERS, 72)],
        &[out(END - 10, 72)],
        &[out(u64::MAX, 72)],
        &[out(BUFFERS, 72), into(BUFFERS, 72), out(BUFFERS, 72)],
        &[out(BUFFERS, 40_000), out(BUFFERS, 40_000)],
    ] {
        let head = peer.tx.add(chain);
        peer.guest.kick(1);
        assert_eq!(peer.tx.take_used(), Some((head, 0)), "{chain:?}");
        assert_eq!(peer.sent(), None, "{chain:?}");
    }
    peer.send(&HEADER, &[7; 60], &[72]);
    assert!(peer.sent().is_some());
}

#[test]
fn the_largest_frame_is_sent_and_a_larger_one_is_not() {
    let mut peer = Peer::new(u64::MAX);
    let bytes = u32::try_from(FRAME_BYTES_MAX).unwrap();
    for (bytes, is_sent) in [(bytes, true), (bytes + 1, false)] {
        let half = bytes / 2;
        peer.tx
            .add(&[out(BUFFERS, 12), out(BUFFERS, half), out(BUFFERS, bytes - half)]);
        peer.guest.kick(1);
        assert_eq!(peer.tx.take_used().unwrap().1, 0);
        assert_eq!(peer.sent().is_some(), is_sent);
    }
}

#[test]
fn a_frame_may_have_a_thousand_pieces() {
    let mut peer = Peer::new(u64::MAX);
    // A table of 1024 entries, the first of which is the header.
    for index in 0..1024u16 {
        let next = if index == 1023 { (0, 0) } else { (1, index + 1) };
        peer.tx
            .write_descriptor(BUFFERS, index, (BUFFERS + 0x8000, 12), next.0, next.1);
    }
    peer.tx
        .write_descriptor(peer.tx.table, 0, (BUFFERS, 1024 * 16), INDIRECT, 0);
    peer.tx.offer(0);
    peer.guest.kick(1);
    assert_eq!(peer.tx.take_used(), Some((0, 0)));
    assert_eq!(peer.sent().map(|frame| frame.len()), Some(12 * 1024));
}

#[test]
fn buffers_that_are_no_room_come_back_in_their_turn() {
    let mut peer = Peer::new(u64::MAX);
    let good = peer.rx.add(&[into(BUFFERS, 200)]);
    let bad: Vec<_> = [into(BUFFERS, 11), out(BUFFERS, 200), into(END, 200), into(BUFFERS, 0)]
        .iter()
        .map(|&buffer| peer.rx.add(&[buffer]))
        .collect();
    let last = peer.rx.add(&[into(BUFFERS, 200)]);
    peer.guest.kick(0);
    peer.arrive(&[1; 50]);
    peer.arrive(&[2; 50]);
    let mut used = vec![(good, 62)];
    used.extend(bad.iter().map(|&head| (head, 0)));
    used.push((last, 62));
    assert_eq!(std::iter::from_fn(|| peer.rx.take_used()).collect::<Vec<_>>(), used);
}

#[test]
fn a_broken_ring_breaks_the_device_until_a_reset() {
    for queue in [0, 1] {
        let mut peer = Peer::new(u64::MAX);
        let ring = if queue == 0 { &peer.rx } else { &peer.tx };
        ring.set_avail_index(1000);
        peer.guest.kick(queue);
        assert!(queue == 0 || peer.guest.needs_reset());
        peer.arrive(&[1; 50]);
        assert!(peer.guest.needs_reset());
        peer.guest.kick(queue);
        peer.sent();
        peer.restart();
        peer.offer(&[200]);
        peer.arrive(&[2; 50]);
        assert!(!peer.received().is_empty());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Offer(Vec<u32>),
    Arrive(usize),
    Send(Vec<u8>, usize),
    Chain(u32, Vec<(u64, u32, bool)>),
}

fn step() -> impl Strategy<Value = Step> {
    let piece = (BUFFERS - 0x100..END + 0x100, 0u32..3000, any::<bool>());
    prop_oneof![
        4 => prop::collection::vec(12u32..0x800, 1..4).prop_map(Step::Offer),
        4 => (0usize..5000).prop_map(Step::Arrive),
        3 => (prop::collection::vec(any::<u8>(), 12), 0usize..4000).prop_map(|(header, bytes)| Step::Send(header, bytes)),
        1 => (1u32..2, prop::collection::vec(piece, 1..5)).prop_map(|(queue, pieces)| Step::Chain(queue, pieces)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Frames arrive whole and in order, in whatever buffers there are, whatever else the driver does.
    #[test]
    fn what_arrives_is_what_was_sent(steps in prop::collection::vec(step(), 1..60), features in any::<u64>()) {
        let mut peer = Peer::new(1 << 32 | 1 << 15 | features);
        let (mut expected, mut seen) = (Vec::new(), Vec::new());
        let mut room = 16;
        for step in steps {
            match step {
                Step::Offer(lengths) => {
                    let lengths = &lengths[..lengths.len().min(room)];
                    room -= lengths.len();
                    peer.offer(lengths);
                }
                Step::Arrive(bytes) => {
                    let frame: Vec<u8> = (0..=255).cycle().skip(expected.len() % 256).take(bytes).collect();
                    if peer.link.send(&[&HEADER[..], &frame].concat()).is_ok() {
                        expected.push(frame);
                    }
                    peer.guest.run();
                }
                Step::Send(header, bytes) => peer.send(&header, &vec![3; bytes], &[u32::try_from(bytes + 12).unwrap()]),
                Step::Chain(queue, pieces) => {
                    let chain: Vec<_> = pieces.iter().map(|&(at, bytes, writable)| if writable { into(at, bytes) } else { out(at, bytes) }).collect();
                    peer.tx.add(&chain);
                    peer.guest.kick(queue);
                    prop_assert!(peer.tx.take_used().is_some());
                }
            }
            while peer.sent().is_some() {}
            let before = peer.counts.len();
            seen.extend(peer.received());
            room += peer.counts[before..].iter().map(|&count| usize::from(count)).sum::<usize>();
        }
        prop_assert!(!peer.guest.needs_reset());
        // With enough room, what is left arrives too.
        for _ in 0..200 {
            if seen.len() == expected.len() { break; }
            peer.offer(&vec![0x800; room]);
            let before = peer.counts.len();
            seen.extend(peer.received());
            room = peer.counts[before..].iter().map(|&count| usize::from(count)).sum::<usize>();
        }
        // A ring of small buffers may have been too small for a frame.
        let mut rest = expected.iter();
        prop_assert!(seen.iter().all(|frame| rest.any(|other| other == frame)));
    }
}
