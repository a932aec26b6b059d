//! A device driven as Linux does it, and as nobody should.

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use crate::pmem::Pmem;
use crate::slots::testing::queue::{Buffer, DriverQueue, into, out};
use crate::slots::testing::{BUFFERS, Guest, MEMORY_BYTES};

const REQUEST: u64 = BUFFERS;
const ANSWER: u64 = BUFFERS + 0x100;
const UNTOUCHED: u32 = 0xeeee_eeee;

const START: u64 = 8 << 30;
const BYTES: u64 = 256 << 20;

struct Window {
    guest: Guest,
    queue: DriverQueue,
}

impl Window {
    fn new() -> Self {
        let mut guest = Guest::with(Pmem::new(START, BYTES));
        let queue = guest.bring_up(u64::MAX).remove(0);
        Self { guest, queue }
    }

    /// Sends a chain; returns how many bytes the device says it has written, and the answer.
    fn send(&mut self, kind: u32, chain: &[Buffer]) -> (u32, u32) {
        let memory = &self.guest.memory;
        memory.write_obj(kind.to_le(), GuestAddress(REQUEST)).unwrap();
        memory.write_obj(UNTOUCHED, GuestAddress(ANSWER)).unwrap();
        let head = self.queue.add(chain);
        self.guest.kick(0);
        let (used, bytes) = self.queue.take_used().expect("an answer");
        assert_eq!(used, head);
        let answer: u32 = self.guest.memory.read_obj(GuestAddress(ANSWER)).unwrap();
        (bytes, u32::from_le(answer))
    }
}

#[test]
fn the_window_is_told_in_any_width() {
    let window = Window::new();
    let whole = [START.to_le_bytes(), BYTES.to_le_bytes()].concat();
    assert_eq!(window.guest.config(0, 16), whole);
    assert_eq!(window.guest.config(8, 4), whole[8..12]);
    assert_eq!(window.guest.config(12, 8), [0; 8]);
}

#[test]
fn the_window_cannot_be_moved() {
    let mut window = Window::new();
    window.guest.write(0x100, 7);
    assert_eq!(window.guest.config(0, 8), START.to_le_bytes());
}

#[test]
fn a_flush_is_done_at_once() {
    let mut window = Window::new();
    assert_eq!(window.send(0, &[out(REQUEST, 4), into(ANSWER, 4)]), (4, 0));
    assert_ne!(window.guest.take_interrupt(), 0);
    let cut = [
        out(REQUEST, 1),
        out(REQUEST + 1, 3),
        into(ANSWER, 2),
        into(ANSWER + 2, 9),
    ];
    assert_eq!(window.send(0, &cut), (4, 0));
}

#[test]
fn requests_that_make_no_sense_fail() {
    let mut window = Window::new();
    for kind in [1, 1 << 31, u32::MAX] {
        assert_eq!(window.send(kind, &[out(REQUEST, 4), into(ANSWER, 4)]), (4, 1));
    }
    assert_eq!(window.send(0, &[out(REQUEST, 3), into(ANSWER, 4)]), (4, 1));
    assert_eq!(window.send(0, &[into(ANSWER, 4)]), (4, 1));
}

#[test]
fn chains_without_room_for_an_answer_come_back_empty() {
    let mut window = Window::new();
    let end = MEMORY_BYTES as u64;
    let chains: [&[Buffer]; 5] = [
        &[out(REQUEST, 4)],
        &[out(REQUEST, 4), into(ANSWER, 3)],
        &[into(ANSWER, 4), out(REQUEST, 4)],
        &[out(REQUEST, 4), into(end - 2, 4)],
        &[out(u64::MAX - 1, 4), into(ANSWER, 4)],
    ];
    for chain in chains {
        assert_eq!(window.send(0, chain), (0, UNTOUCHED), "{chain:?}");
    }
    assert_eq!(window.send(0, &[out(REQUEST, 4), into(ANSWER, 4)]), (4, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the table and the buffers hold, every chain comes back.
    #[test]
    fn arbitrary_chains_do_no_harm(
        heads in prop::collection::vec(0u16..8, 1..8),
        entries in prop::collection::vec(
            (prop_oneof![Just(REQUEST), BUFFERS..MEMORY_BYTES as u64, any::<u64>()],
             prop_oneof![Just(4u32), 0u32..10_000, any::<u32>()], 0u16..8, 0u16..10), 8),
    ) {
        let mut window = Window::new();
        for (index, &(address, bytes, flags, next)) in (0..).zip(&entries) {
            window.queue.write_descriptor(window.queue.table, index, (address, bytes), flags, next);
        }
        for &head in &heads {
            window.queue.offer(head);
        }
        window.guest.kick(0);
        for &head in &heads {
            prop_assert_eq!(window.queue.take_used().map(|(used, _)| used), Some(head));
        }
        prop_assert!(!window.guest.needs_reset());
    }
}
