//! Disks whose requests wait. Nobody waits here for what takes its time: what may not go does not go in any test's time.

use std::num::NonZeroU64;

use crate::limit::{Limit, Rates};

use super::*;

/// The room between the places of requests that are under way together.
const APART: u64 = 0x1000;

fn limit(bytes: u64, operations: u64) -> Limit {
    Limit::of(Rates {
        bytes: NonZeroU64::new(bytes),
        operations: NonZeroU64::new(operations),
    })
    .unwrap()
}

fn limited(limit: &Limit) -> Disk {
    let backend = Backend::RawFile(RawFile::new(file(&pattern(65_536))).unwrap());
    Disk::with(Block::new(backend, "").limited(Some(limit.clone())))
}

impl Disk {
    /// Adds a request for so many bytes at the `index`th place, without a word to the device.
    fn add(&mut self, index: u64, kind: u32, bytes: u32) -> u16 {
        let at = BUFFERS + index * APART;
        self.put(at, &[&kind.to_le_bytes()[..], &[0; 12], &[UNTOUCHED]].concat());
        let data = match kind {
            READ => vec![into(at + 0x20, bytes)],
            WRITE => vec![out(at + 0x20, bytes)],
            _ => vec![],
        };
        self.queue
            .add(&[vec![out(at, 16)], data, vec![into(at + 16, 1)]].concat())
    }

    /// The requests that were answered, in order.
    fn answered(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.queue.take_used())
            .map(|(head, _)| head)
            .collect()
    }
}

#[test]
fn what_exceeds_the_rate_waits_in_the_ring() {
    for kind in [READ, WRITE] {
        let mut disk = limited(&limit(1024, 0));
        let heads = [1024, 1024, 512].map(|bytes| disk.add(u64::from(bytes) % 7, kind, bytes));
        disk.guest.kick(0);
        assert_eq!(disk.answered(), heads[..2]);
        assert_eq!(disk.guest.take_interrupt(), 1);
        // It comes to rest, however often it is told, and interrupts nobody.
        for _ in 0..10 {
            disk.guest.kick(0);
        }
        assert!(disk.answered().is_empty());
        assert_eq!(disk.guest.take_interrupt(), 0);
    }
}

#[test]
fn requests_are_counted_whatever_their_length() {
    let mut disk = limited(&limit(0, 2));
    let heads = [0, 1, 2, 3].map(|index| disk.add(index, READ, 512));
    disk.guest.kick(0);
    assert_eq!(disk.answered(), heads[..3]);
}

#[test]
fn what_has_waited_goes_without_a_word_of_the_driver() {
    let mut disk = limited(&limit(0, 100));
    for _ in 0..28 {
        for index in 0..4 {
            disk.add(index, READ, 512);
        }
        disk.guest.kick(0);
        let mut answered = disk.answered().len();
        while answered < 4 {
            disk.guest.wait();
            answered += disk.answered().len();
        }
    }
}

#[test]
fn a_flush_waits_for_no_rate() {
    let mut disk = limited(&limit(1, 1));
    assert_eq!(disk.request(READ, 0, &[into(DATA, 4096)]), OK);
    for _ in 0..3 {
        assert_eq!(disk.request(FLUSH, 0, &[]), OK);
        assert_eq!(disk.request(GET_ID, 0, &[into(DATA, 20)]), OK);
    }
    let head = disk.add(0, READ, 512);
    disk.guest.kick(0);
    assert!(!disk.answered().contains(&head));
}

#[test]
fn what_is_refused_costs_nothing() {
    let mut disk = limited(&limit(1, 1));
    for _ in 0..5 {
        assert_eq!(disk.request(READ, 1 << 40, &[into(DATA, 4096)]), IO_ERROR);
        assert_eq!(disk.request(77, 0, &[]), UNSUPPORTED);
    }
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
    disk.add(0, READ, 512);
    disk.guest.kick(0);
    assert!(disk.answered().is_empty());
}

#[test]
fn zeros_and_discards_count() {
    let mut disk = limited(&limit(0, 1));
    assert_eq!(disk.range(DISCARD, (8, 8, 0)), OK);
    assert_eq!(disk.range(WRITE_ZEROES, (16, 8, 0)), OK);
    disk.add(0, READ, 512);
    disk.guest.kick(0);
    assert!(disk.answered().is_empty());
    let mut disk = limited(&limit(4096, 0));
    assert_eq!(disk.range(DISCARD, (8, 64, 0)), OK);
    assert_eq!(disk.range(WRITE_ZEROES, (16, 16, 0)), OK);
    disk.add(0, READ, 512);
    disk.guest.kick(0);
    assert!(disk.answered().is_empty());
}

#[test]
fn disks_share_a_limit() {
    let limit = limit(1024, 0);
    let (mut one, mut other) = (limited(&limit), limited(&limit));
    assert_eq!(one.request(READ, 0, &[into(DATA, 2048)]), OK);
    other.add(0, READ, 512);
    other.guest.kick(0);
    assert!(other.answered().is_empty());
}

#[test]
fn a_reset_refills_nothing() {
    let mut disk = limited(&limit(1024, 0));
    assert_eq!(disk.request(READ, 0, &[into(DATA, 2048)]), OK);
    disk.add(0, READ, 512);
    disk.guest.kick(0);
    disk.guest.write(STATUS, 0);
    disk.queue = disk.guest.bring_up(u64::MAX).remove(0);
    disk.add(0, READ, 512);
    disk.guest.kick(0);
    assert!(disk.answered().is_empty());
}

#[test]
fn a_request_that_changes_while_it_waits_is_paid_in_full() {
    let limit = limit(512, 0);
    let mut disk = limited(&limit);
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
    // Whatever is owed by now, it is for a request of one sector, and none is free of charge.
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
    let head = disk.add(0, READ, 512);
    disk.guest.kick(0);
    assert!(disk.answered().is_empty());
    let at = BUFFERS;
    disk.put(at, &FLUSH.to_le_bytes());
    disk.guest.kick(0);
    // As a flush it may go.
    assert_eq!(disk.answered(), [head]);
    disk.add(1, READ, 512);
    disk.guest.kick(0);
    assert!(disk.answered().is_empty());
}
