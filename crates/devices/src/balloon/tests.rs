//! A balloon, driven as Linux drives it and as nobody should.

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::discard::testing::Record;
use crate::slots::testing::queue::{Buffer, DriverQueue, INDIRECT, QUEUE_ENTRIES, into, out};
use crate::slots::testing::*;

const DEFLATE: usize = 1;

const MEMORY_END: u64 = MEMORY_BYTES as u64;
const PAGE: u32 = 4096;
const TABLE: u64 = BUFFERS;
const NUMBERS: u64 = BUFFERS + 0x1000;

struct Driver {
    guest: Guest,
    queues: Vec<DriverQueue>,
    record: Record,
}

fn device() -> (Guest, Record) {
    let record = Record::default();
    (Guest::with(Balloon::new(Box::new(record.clone()))), record)
}

impl Driver {
    fn new() -> Self {
        let (mut guest, record) = device();
        let queues = guest.bring_up(u64::MAX);
        Self { guest, queues, record }
    }

    /// What was given back because of one chain.
    fn send(&mut self, queue: usize, chain: &[Buffer]) -> Vec<(u64, u64)> {
        let head = self.queues[queue].add(chain);
        self.guest.kick(u32::try_from(queue).unwrap());
        assert_eq!(self.queues[queue].take_used(), Some((head, 0)));
        self.record.take()
    }

    fn put_numbers(&self, numbers: &[u32]) -> Buffer {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.guest.memory.write_slice(&bytes, GuestAddress(NUMBERS)).unwrap();
        out(NUMBERS, u32::try_from(bytes.len()).unwrap())
    }
}

#[test]
fn reported_pages_are_given_back() {
    let mut driver = Driver::new();
    let report = [into(0x6000, 2 * PAGE), into(0x9000, PAGE)];
    assert_eq!(driver.send(REPORTS, &report), [(0x6000, 0x2000), (0x9000, 0x1000)]);
    assert_eq!(driver.guest.take_interrupt(), 1);
}

#[test]
fn a_report_of_linux_is_an_indirect_table_of_32_buffers() {
    let record = Record::default();
    let mut guest = Guest::with_memory(1 << 20, Balloon::new(Box::new(record.clone())));
    let mut queues = guest.bring_up(u64::MAX);
    let places: Vec<u64> = (0..33).map(|page| 0x10_000 + page * 0x2000).collect();
    let chain: Vec<Buffer> = places.iter().map(|&place| into(place, PAGE)).collect();
    let indexes: Vec<u16> = (0..33).collect();
    for (count, expected) in [(32, 32), (33, 32)] {
        queues[REPORTS].write_chain(TABLE, &indexes[..count], &chain[..count]);
        let bytes = u32::try_from(16 * count).unwrap();
        queues[REPORTS].write_descriptor(queues[REPORTS].table, 0, (TABLE, bytes), INDIRECT, 0);
        queues[REPORTS].offer(0);
        guest.kick(2);
        assert_eq!(queues[REPORTS].take_used(), Some((0, 0)));
        let discarded: Vec<u64> = record.take().into_iter().map(|(start, _)| start).collect();
        assert_eq!(discarded, places[..expected]);
    }
}

#[test]
fn only_whole_pages_that_the_device_may_write_are_given_back() {
    let mut driver = Driver::new();
    let report = [into(0x6001, PAGE), into(0x8800, 2 * PAGE), into(0xb000, 0)];
    assert_eq!(driver.send(REPORTS, &report), [(0x9000, 0x1000)]);
    assert_eq!(driver.send(REPORTS, &[out(0x6000, PAGE)]), []);
}

#[test]
fn a_report_that_breaks_the_rules_gives_nothing_back() {
    let mut driver = Driver::new();
    let chains: [&[Buffer]; 5] = [
        &[into(0x6000, PAGE), into(MEMORY_END, PAGE)],
        &[into(0x6000, PAGE), into(MEMORY_END - 0x1000, 2 * PAGE)],
        &[into(0x6000, PAGE), into(u64::MAX - 0xfff, PAGE)],
        &[into(0x6000, PAGE), into(0, u32::MAX)],
        &[into(0x6000, PAGE), out(0x8000, PAGE)],
    ];
    for chain in chains {
        assert_eq!(driver.send(REPORTS, chain), [], "{chain:?}");
    }
    let table = driver.queues[REPORTS].table;
    for (place, flags) in [((TABLE, 16), INDIRECT), ((0x6000, PAGE), 3)] {
        driver.queues[REPORTS].write_descriptor(TABLE, 0, (TABLE, 16), INDIRECT, 0);
        driver.queues[REPORTS].write_descriptor(table, 5, place, flags, 5);
        driver.queues[REPORTS].offer(5);
        driver.guest.kick(2);
        assert_eq!(driver.queues[REPORTS].take_used(), Some((5, 0)));
        assert_eq!(driver.record.take(), []);
    }
}

#[test]
fn inflated_pages_are_given_back_and_deflated_ones_left_alone() {
    let mut driver = Driver::new();
    let numbers = driver.put_numbers(&[9, 7, 15, 16, u32::MAX]);
    let expected = [(0x9000, 0x1000), (0x7000, 0x1000), (0xf000, 0x1000)];
    assert_eq!(driver.send(INFLATE, &[numbers]), expected);
    assert_eq!(driver.send(DEFLATE, &[numbers]), []);
    let split = [out(NUMBERS, 3), out(NUMBERS + 3, 6)];
    assert_eq!(driver.send(INFLATE, &split), expected[..2]);
    assert_eq!(driver.send(INFLATE, &[into(NUMBERS, 8)]), []);
}

#[test]
fn a_report_that_waits_when_the_worker_starts_is_served() {
    let (mut guest, record) = device();
    guest.negotiate(u64::MAX);
    let mut queues: Vec<DriverQueue> = (0..3)
        .map(|index| DriverQueue::new(&guest.memory, index, 8, true))
        .collect();
    queues.iter().for_each(|queue| guest.set_up(queue));
    queues[REPORTS].add(&[into(0x6000, PAGE)]);
    guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    guest.run();
    assert_eq!(record.take(), [(0x6000, 0x1000)]);
    assert_eq!(guest.take_interrupt(), 1);
}

#[test]
fn a_clone_reports_to_its_own_host() {
    let mut template = Driver::new();
    template.send(REPORTS, &[into(0x6000, PAGE)]);
    let record = Record::default();
    let guest = template.guest.restored(Balloon::new(Box::new(record.clone())));
    let mut clone = Driver {
        guest,
        queues: template.queues,
        record,
    };
    assert_eq!(clone.send(REPORTS, &[into(0x7000, PAGE)]), [(0x7000, 0x1000)]);
    assert_eq!(clone.send(REPORTS, &[into(0x8000, PAGE)]), [(0x8000, 0x1000)]);
    let numbers = clone.put_numbers(&[9]);
    assert_eq!(clone.send(INFLATE, &[numbers]), [(0x9000, 0x1000)]);
    assert_eq!(template.record.take(), []);
}

#[test]
fn a_long_queue_is_served_in_turns_to_its_end() {
    let mut driver = Driver::new();
    let pages = (0..10).map(|page| (0x6000 + page * 0x1000, 0x1000));
    for (address, _) in pages.clone() {
        driver.queues[REPORTS].add(&[into(address, PAGE)]);
    }
    driver.guest.kick(2);
    assert_eq!(driver.record.take(), pages.collect::<Vec<_>>());
}

#[test]
fn nothing_is_wanted_of_the_balloon() {
    let mut driver = Driver::new();
    assert_eq!(driver.guest.read(DEVICE_ID), 5);
    assert_eq!(driver.guest.config(0, 16), [0; 16]);
    driver.guest.write(0x100 + 4, 77);
    assert_eq!(driver.guest.config(0, 16), [0; 16]);
}

#[test]
fn a_driver_that_does_not_report_needs_two_queues() {
    let (mut guest, record) = device();
    let accepted = guest.negotiate(!PAGE_REPORTING);
    let mut queues = Vec::new();
    for index in [0, 1] {
        let queue = DriverQueue::new(&guest.memory, index, 8, accepted & EVENT_IDX != 0);
        guest.set_up(&queue);
        queues.push(queue);
    }
    guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(!guest.needs_reset());
    guest.memory.write_obj(7u32, GuestAddress(NUMBERS)).unwrap();
    queues[INFLATE].add(&[out(NUMBERS, 4)]);
    guest.kick(0);
    guest.kick(2);
    assert_eq!(record.take(), [(0x7000, 0x1000)]);
}

#[test]
fn a_driver_that_reports_needs_the_third_queue() {
    let (mut guest, _) = device();
    guest.negotiate(u64::MAX);
    for index in [0, 1] {
        let queue = DriverQueue::new(&guest.memory, index, 8, true);
        guest.set_up(&queue);
    }
    guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(guest.needs_reset());
    assert_eq!(guest.refusals(), ["queue 2 is not enabled"]);
}

#[test]
fn a_broken_queue_stops_all_until_a_reset() {
    let mut driver = Driver::new();
    driver.queues[DEFLATE].set_avail_index(QUEUE_ENTRIES + 1);
    driver.guest.kick(1);
    assert!(driver.guest.needs_reset());
    driver.queues[REPORTS].add(&[into(0x6000, PAGE)]);
    driver.guest.kick(2);
    assert_eq!(driver.record.take(), []);
    driver.queues = driver.guest.bring_up(u64::MAX);
    assert_eq!(driver.send(REPORTS, &[into(0x6000, PAGE)]), [(0x6000, 0x1000)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever tables and buffers hold: every chain comes back, and only pages of the guest's memory are given back.
    #[test]
    fn arbitrary_chains_do_no_harm(
        queue in 0usize..3,
        heads in prop::collection::vec(0u16..8, 1..12),
        entries in prop::collection::vec(
            (prop_oneof![Just(TABLE), Just(NUMBERS), 0..MEMORY_END, (0u64..16).prop_map(|page| page * 4096), any::<u64>()],
             prop_oneof![Just(PAGE), Just(64), 0u32..50_000, any::<u32>()], 0u16..8, 0u16..18), 8),
        numbers in prop::collection::vec(prop_oneof![0u32..20, any::<u32>()], 300),
    ) {
        let mut driver = Driver::new();
        driver.put_numbers(&numbers);
        for (index, &(address, bytes, flags, next)) in (0..).zip(&entries) {
            driver.queues[queue].write_descriptor(driver.queues[queue].table, index, (address, bytes), flags, next);
            driver.queues[queue].write_descriptor(TABLE, index, (address, bytes), flags, next);
        }
        for &head in &heads {
            driver.queues[queue].offer(head);
            driver.guest.kick(u32::try_from(queue).unwrap());
            prop_assert_eq!(driver.queues[queue].take_used(), Some((head, 0)));
        }
        for (start, bytes) in driver.record.take() {
            prop_assert!(start + bytes <= MEMORY_END && queue != DEFLATE);
        }
        prop_assert!(!driver.guest.needs_reset());
    }
}
