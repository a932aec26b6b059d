//! An interface, driven as Linux drives it and as nobody should.

mod hostile;
mod limits;
mod peer;

use peer::{HEADER, MERGES, Peer};

use crate::net::Offloads;
use crate::slots::testing::{EVENT_IDX, NEEDS_RESET, STATUS};

/// `VIRTIO_NET_F_CSUM` and `VIRTIO_NET_F_HOST_TSO4`.
const SENDS: u64 = 1 | 1 << 11;
/// `VIRTIO_NET_F_GUEST_CSUM` and `VIRTIO_NET_F_GUEST_TSO4`.
const TAKES: u64 = 1 << 1 | 1 << 7;

#[test]
fn the_configuration_is_the_address() {
    let peer = Peer::new(u64::MAX);
    assert_eq!(peer.guest.config(0, 8), [2, 1, 2, 3, 4, 5, 0, 0]);
}

#[test]
fn a_frame_is_sent_with_its_header() {
    let mut peer = Peer::new(u64::MAX);
    let header = [1, 1, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0];
    let frame = vec![7; 300];
    peer.send(&header, &frame, &[12, 300]);
    assert_eq!(peer.sent(), Some([&header[..], &frame].concat()));
}

#[test]
fn a_frame_may_be_cut_anywhere() {
    let frame: Vec<u8> = (0..100).collect();
    for pieces in [&[112][..], &[5, 107], &[12, 1, 99], &[13, 50, 49]] {
        let mut peer = Peer::new(u64::MAX);
        peer.send(&HEADER, &frame, pieces);
        assert_eq!(peer.sent(), Some([&HEADER[..], &frame].concat()), "{pieces:?}");
    }
}

#[test]
fn a_driver_asks_for_no_more_than_it_agreed_on() {
    let header = [1, 1, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0];
    for (features, is_sent) in [(0, false), (1, false), (SENDS, true)] {
        let mut peer = Peer::new(1 << 32 | features);
        peer.send(&header, &[7; 300], &[312]);
        assert_eq!(peer.sent().is_some(), is_sent, "{features:x}");
    }
}

#[test]
fn the_link_is_told_what_the_driver_takes() {
    assert_eq!(Peer::new(1 << 32).offloads(), Offloads::default());
    let expected = Offloads {
        checksum: true,
        tso4: true,
        ..Offloads::default()
    };
    assert_eq!(Peer::new(1 << 32 | TAKES).offloads(), expected);
}

#[test]
fn a_frame_arrives_with_the_number_of_its_buffers() {
    for features in [1 << 32, 1 << 32 | MERGES, 1 << 32 | EVENT_IDX, u64::MAX] {
        let mut peer = Peer::new(features);
        peer.offer(&[2000]);
        peer.arrive(b"a frame of some length");
        assert_eq!(peer.received(), [b"a frame of some length"], "{features:x}");
        assert_eq!(peer.guest.take_interrupt(), 1);
    }
}

#[test]
fn a_large_frame_takes_several_buffers() {
    let mut peer = Peer::new(u64::MAX);
    peer.offer(&[100; 12]);
    let frame: Vec<u8> = (0..=255).cycle().take(1000).collect();
    peer.arrive(&frame);
    peer.arrive(&frame[..50]);
    assert_eq!(peer.received(), [&frame[..], &frame[..50]]);
    assert_eq!(peer.counts, [11, 1]);
}

#[test]
fn frames_wait_for_buffers() {
    let mut peer = Peer::new(u64::MAX);
    peer.arrive(&[1; 100]);
    peer.arrive(&[2; 100]);
    assert!(peer.received().is_empty());
    peer.offer(&[200, 200]);
    assert_eq!(peer.received(), [[1; 100], [2; 100]]);
}

#[test]
fn a_frame_that_was_read_waits_for_more_buffers() {
    let mut peer = Peer::new(u64::MAX);
    let frame: Vec<u8> = (0..=255).cycle().take(500).collect();
    peer.offer(&[100, 100]);
    peer.arrive(&frame);
    peer.arrive(&frame[..10]);
    assert!(peer.received().is_empty());
    peer.offer(&[100]);
    assert!(peer.received().is_empty());
    peer.offer(&[200, 100, 100]);
    assert_eq!(peer.received(), [&frame[..], &frame[..10]]);
    assert_eq!(peer.counts, [5, 1]);
}

#[test]
fn a_frame_that_can_never_fit_is_lost() {
    // Without merging it has to fit into one chain.
    let mut peer = Peer::new(1 << 32);
    peer.offer(&[100]);
    peer.arrive(&[1; 200]);
    peer.arrive(&[2; 50]);
    assert_eq!(peer.received(), [[2; 50]]);
    // With it, into a ring's.
    let mut peer = Peer::new(u64::MAX);
    peer.offer(&[20; 16]);
    peer.arrive(&[1; 400]);
    peer.arrive(&[2; 50]);
    assert_eq!(peer.received(), [[2; 50]]);
}

#[test]
fn many_frames_at_once_all_arrive() {
    let mut peer = Peer::new(u64::MAX);
    for number in 0..100 {
        peer.link.send(&[&HEADER[..], &[number; 60]].concat()).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 100 {
        peer.offer(&[100; 8]);
        let frames = peer.received();
        assert!(!frames.is_empty());
        seen.extend(frames.iter().map(|frame| frame[0]));
    }
    assert_eq!(seen, (0..100).collect::<Vec<u8>>());
}

#[test]
fn an_interface_without_a_link_loses_what_is_sent() {
    let mut peer = Peer::unconnected();
    peer.offer(&[100]);
    peer.send(&HEADER, &[7; 60], &[72]);
    assert!(peer.received().is_empty());
}

#[test]
fn a_clone_gets_a_link_in_place_of_none() {
    let peer = Peer::unconnected();
    let mut peer = peer.restored();
    peer.send(&HEADER, &[7; 60], &[72]);
    assert_eq!(peer.sent(), Some([&HEADER[..], &[7; 60]].concat()));
    peer.offer(&[100]);
    peer.arrive(&[1; 20]);
    assert_eq!(peer.received(), [[1; 20]]);
}

#[test]
fn a_clone_hears_before_its_driver_says_anything() {
    let mut peer = Peer::unconnected();
    peer.offer(&[100]);
    let mut peer = peer.restored();
    peer.arrive(&[1; 20]);
    assert_eq!(peer.received(), [[1; 20]]);
}

#[test]
fn frames_are_counted_without_their_headers() {
    let (mut peer, counters) = Peer::metered();
    peer.send(&HEADER, &[7; 60], &[72]);
    peer.offer(&[100]);
    peer.arrive(&[1; 20]);
    assert_eq!(counters.values(), [20, 60, 0, 0]);
}

#[test]
fn a_link_whose_other_end_is_gone_is_not_asked_for_ever() {
    let mut peer = Peer::new(u64::MAX);
    peer.offer(&[100]);
    peer.cut();
    peer.guest.run();
    peer.send(&HEADER, &[7; 60], &[72]);
    assert!(peer.received().is_empty());
    assert_eq!(peer.guest.read(STATUS) & NEEDS_RESET, 0);
}

#[test]
fn a_reset_device_works_again() {
    let mut peer = Peer::new(u64::MAX);
    peer.offer(&[100]);
    peer.arrive(&[1; 20]);
    peer.restart();
    peer.offer(&[100]);
    peer.arrive(&[2; 20]);
    assert_eq!(peer.received(), [[2; 20]]);
    peer.send(&HEADER, &[7; 60], &[72]);
    assert!(peer.sent().is_some());
}
