//! Memory, driven as Linux drives it and as nobody should.

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::discard::testing::Record;
use crate::memory::region::LINUX_SECTION_BYTES;
use crate::memory::request::{REQUEST_BYTES, RESPONSE_BYTES};
use crate::slots::testing::queue::{Buffer, DriverQueue, INDIRECT, into, out};
use crate::slots::testing::{BUFFERS, Guest, MEMORY_BYTES, STATUS};

const START: u64 = 4 << 30;
const REGION: Region = Region {
    start: START,
    bytes: 8 * LINUX_SECTION_BYTES,
    requested_bytes: 5 * BLOCK_BYTES,
};

const PLUG: u16 = 0;
const UNPLUG: u16 = 1;
const UNPLUG_ALL: u16 = 2;
const STATE: u16 = 3;

const ACK: u8 = 0;
const NACK: u8 = 1;
const ERROR: u8 = 3;

const REQUEST: u64 = BUFFERS;
const RESPONSE: u64 = BUFFERS + 0x100;
const TABLE: u64 = BUFFERS + 0x200;
const UNTOUCHED: u8 = 0xee;

struct Driver {
    guest: Guest,
    queue: DriverQueue,
    record: Record,
}

impl Driver {
    fn new(region: Region) -> Self {
        let record = Record::default();
        let mut guest = Guest::with(Memory::new(region, Box::new(record.clone())).unwrap());
        let queue = guest.bring_up(u64::MAX).remove(0);
        Self { guest, queue, record }
    }

    fn put_request(&self, kind: u16, block: u64, count: u16) {
        let mut bytes = [0; REQUEST_BYTES];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&(START + block * BLOCK_BYTES).to_le_bytes());
        bytes[16..18].copy_from_slice(&count.to_le_bytes());
        let memory = &self.guest.memory;
        memory.write_slice(&bytes, GuestAddress(REQUEST)).unwrap();
        memory
            .write_slice(&[UNTOUCHED; RESPONSE_BYTES], GuestAddress(RESPONSE))
            .unwrap();
    }

    /// The bytes of the response, and how many of them the device says it wrote.
    fn send(&mut self, chain: &[Buffer]) -> ([u8; RESPONSE_BYTES], u32) {
        let head = self.queue.add(chain);
        self.guest.kick(0);
        let (used, written) = self.queue.take_used().unwrap();
        assert_eq!(used, head);
        (self.guest.memory.read_obj(GuestAddress(RESPONSE)).unwrap(), written)
    }

    /// The type of the response, and the state in it.
    fn request(&mut self, kind: u16, block: u64, count: u16) -> (u8, u8) {
        self.put_request(kind, block, count);
        let (response, written) = self.send(&[out(REQUEST, 24), into(RESPONSE, 10)]);
        assert_eq!(written, 10);
        assert_eq!(response[1..8], [0; 7]);
        (response[0], response[8])
    }

    fn plugged_blocks(&self) -> u64 {
        let bytes = u64::from_le_bytes(self.guest.config(40, 8).try_into().unwrap());
        assert!(bytes.is_multiple_of(BLOCK_BYTES));
        bytes / BLOCK_BYTES
    }
}

#[test]
fn memory_is_plugged_and_unplugged_as_requested() {
    let mut driver = Driver::new(REGION);
    assert_eq!(driver.request(STATE, 0, 64), (ACK, 1));
    assert_eq!(driver.request(PLUG, 0, 4), (ACK, 0));
    assert_eq!(driver.plugged_blocks(), 4);
    assert_eq!(driver.request(PLUG, 4, 2), (NACK, 0));
    assert_eq!(driver.request(PLUG, 63, 1), (ACK, 0));
    assert_eq!(driver.request(STATE, 0, 4), (ACK, 0));
    assert_eq!(driver.request(STATE, 0, 5), (ACK, 2));
    assert_eq!(driver.plugged_blocks(), 5);
    assert_eq!(driver.record.take(), []);
    assert_eq!(driver.request(UNPLUG, 1, 2), (ACK, 0));
    assert_eq!(driver.plugged_blocks(), 3);
    assert_eq!(driver.record.take(), [(START + BLOCK_BYTES, 2 * BLOCK_BYTES)]);
    assert_eq!(driver.request(UNPLUG_ALL, 0, 0), (ACK, 0));
    assert_eq!(driver.plugged_blocks(), 0);
    assert_eq!(driver.record.take(), [(START, LINUX_SECTION_BYTES)]);
}

#[test]
fn requests_that_make_no_sense_change_nothing() {
    let mut driver = Driver::new(REGION);
    assert_eq!(driver.request(PLUG, 2, 2), (ACK, 0));
    for (kind, block, count) in [
        (PLUG, 2, 1),
        (PLUG, 1, 2),
        (PLUG, 0, 0),
        (PLUG, 64, 1),
        (UNPLUG, 0, 1),
        (UNPLUG, 2, 3),
        (UNPLUG, 60, u16::MAX),
        (STATE, 60, 5),
        (4, 2, 1),
    ] {
        assert_eq!(driver.request(kind, block, count), (ERROR, 0));
    }
    assert_eq!(driver.plugged_blocks(), 2);
    assert_eq!(driver.record.take(), []);
}

#[test]
fn the_configuration_tells_the_region() {
    let mut driver = Driver::new(REGION);
    let expected = [
        BLOCK_BYTES,
        0,
        START,
        REGION.bytes,
        LINUX_SECTION_BYTES,
        0,
        REGION.requested_bytes,
    ];
    assert_eq!(
        driver.guest.config(0, 56),
        expected.map(u64::to_le_bytes).as_flattened()
    );
    assert_eq!(driver.guest.config(56, 8), [0; 8]);
    driver.guest.write(0x100 + 48, 0);
    assert_eq!(driver.guest.config(48, 8), REGION.requested_bytes.to_le_bytes());
}

#[test]
fn a_device_of_which_nothing_is_requested_rests() {
    let mut driver = Driver::new(Region {
        requested_bytes: 0,
        ..REGION
    });
    assert_eq!(driver.guest.config(32, 24), [0; 24]);
    assert_eq!(driver.request(PLUG, 0, 1), (ERROR, 0));
    assert_eq!(driver.request(UNPLUG_ALL, 0, 0), (ACK, 0));
    assert_eq!(driver.record.take(), []);
}

#[test]
fn a_clones_driver_learns_what_is_requested_of_it() {
    let template = Driver::new(Region {
        requested_bytes: 0,
        ..REGION
    });
    let record = Record::default();
    let guest = template
        .guest
        .restored(Memory::new(REGION, Box::new(record.clone())).unwrap());
    let mut clone = Driver {
        guest,
        queue: template.queue,
        record,
    };
    clone.guest.slots.raise_config(clone.guest.slot);
    assert_eq!(clone.guest.take_interrupt(), 2);
    assert_eq!(clone.guest.config(48, 8), REGION.requested_bytes.to_le_bytes());
    assert_eq!(clone.request(PLUG, 0, 5), (ACK, 0));
    assert_eq!(clone.guest.take_interrupt(), 1);
    assert_eq!(clone.plugged_blocks(), 5);
}

#[test]
fn blocks_outlive_a_reset() {
    let mut driver = Driver::new(REGION);
    assert_eq!(driver.request(PLUG, 0, 3), (ACK, 0));
    driver.guest.write(STATUS, 0);
    assert_eq!(driver.plugged_blocks(), 3);
    driver.queue = driver.guest.bring_up(u64::MAX).remove(0);
    assert_eq!(driver.request(STATE, 0, 3), (ACK, 0));
    assert_eq!(driver.request(PLUG, 3, 3), (NACK, 0));
    assert_eq!(driver.record.take(), []);
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let mut driver = Driver::new(REGION);
    driver.put_request(PLUG, 0, 2);
    let (response, written) = driver.send(&[
        out(REQUEST, 9),
        out(REQUEST + 9, 15),
        into(RESPONSE, 1),
        into(RESPONSE + 1, 100),
    ]);
    assert_eq!((response, written), ([0; RESPONSE_BYTES], 10));
    assert_eq!(driver.plugged_blocks(), 2);
}

#[test]
fn an_indirect_table_serves_as_well_and_a_nested_one_does_not() {
    let mut driver = Driver::new(REGION);
    for (flags, written) in [(0, 10), (INDIRECT, 0)] {
        driver.put_request(PLUG, 0, 2);
        let chain = [out(REQUEST, 24), into(RESPONSE, 10)];
        driver.queue.write_chain(TABLE, &[0, 1], &chain);
        if flags != 0 {
            driver.queue.write_descriptor(TABLE, 0, (TABLE + 16, 16), flags, 0);
        }
        let table = driver.queue.table;
        driver.queue.write_descriptor(table, 3, (TABLE, 32), INDIRECT, 0);
        driver.queue.offer(3);
        driver.guest.kick(0);
        assert_eq!(driver.queue.take_used(), Some((3, written)));
    }
    assert_eq!(driver.plugged_blocks(), 2);
}

#[test]
fn without_room_for_the_response_nothing_is_done() {
    let mut driver = Driver::new(REGION);
    driver.put_request(PLUG, 0, 2);
    let end = MEMORY_BYTES as u64;
    let chains: [&[Buffer]; 5] = [
        &[out(REQUEST, 24)],
        &[out(REQUEST, 24), into(RESPONSE, 9)],
        &[into(RESPONSE, 10), out(REQUEST, 24)],
        &[out(REQUEST, 24), into(end - 1, 10)],
        &[out(end, 24), into(RESPONSE, 10)],
    ];
    for chain in chains {
        assert_eq!(driver.send(chain), ([UNTOUCHED; RESPONSE_BYTES], 0), "{chain:?}");
    }
    assert_eq!(driver.plugged_blocks(), 0);
    let (response, written) = driver.send(&[out(REQUEST, 23), into(RESPONSE, 10)]);
    assert_eq!((response[0], written), (ERROR, 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the table holds and is asked: every chain comes back, no more is plugged than requested, and nothing is
    /// given back that is not of the region.
    #[test]
    fn arbitrary_chains_do_no_harm(
        heads in prop::collection::vec(0u16..8, 1..12),
        entries in prop::collection::vec(
            (prop_oneof![Just(REQUEST), Just(RESPONSE), Just(TABLE), BUFFERS..MEMORY_BYTES as u64, any::<u64>()],
             prop_oneof![Just(24u32), Just(10), Just(16), 0u32..100, any::<u32>()], 0u16..8, 0u16..18), 16),
        requests in prop::collection::vec(
            (0u16..5, prop_oneof![0u64..70, 0u64..4096], prop_oneof![0u16..7, any::<u16>()]), 1..12),
    ) {
        let mut driver = Driver::new(REGION);
        for (index, &(address, bytes, flags, next)) in (0..).zip(&entries) {
            driver.queue.write_descriptor(driver.queue.table, index, (address, bytes), flags, next);
            driver.queue.write_descriptor(TABLE, index, (address, bytes), flags, next);
        }
        for (&head, &(kind, block, count)) in heads.iter().zip(requests.iter().cycle()) {
            driver.put_request(kind, block, count);
            driver.queue.offer(head);
            driver.guest.kick(0);
            prop_assert_eq!(driver.queue.take_used().map(|(used, _)| used), Some(head));
            prop_assert!(driver.plugged_blocks() * BLOCK_BYTES <= REGION.requested_bytes);
        }
        for (start, bytes) in driver.record.take() {
            prop_assert!(start >= START && start + bytes <= START + REGION.usable_bytes());
        }
        prop_assert!(!driver.guest.needs_reset());
    }

    /// Well-formed requests of any kind, in any order.
    #[test]
    fn arbitrary_requests_are_answered(
        requests in prop::collection::vec(
            (0u16..5, prop_oneof![0u64..8, 0u64..70], prop_oneof![0u16..4, any::<u16>()]), 1..40),
    ) {
        let mut driver = Driver::new(REGION);
        for (kind, block, count) in requests {
            let before = driver.plugged_blocks();
            let (answer, state) = driver.request(kind, block, count);
            let after = driver.plugged_blocks();
            let expected = match (kind, answer) {
                (PLUG, ACK) => before + u64::from(count),
                (UNPLUG, ACK) => before - u64::from(count),
                (UNPLUG_ALL, ACK) => 0,
                (PLUG, NACK) | (_, ERROR) | (STATE, ACK) => before,
                _ => panic!("{answer} is no answer to {kind}"),
            };
            prop_assert_eq!(after, expected);
            prop_assert!(after <= 5 && state <= 2);
        }
    }
}
