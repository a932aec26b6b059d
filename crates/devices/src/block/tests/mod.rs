//! A disk, driven as Linux drives it and as nobody should.

mod copy_on_write;
mod hostile;
mod limits;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};

use vm_memory::{Bytes, GuestAddress};

use crate::block::Block;
use crate::block::backend::{Backend, Concatenation, CopyOnWrite, Part, RawFile};
use crate::meter::{Counters, Meter};
use crate::slots::testing::queue::{Buffer, DriverQueue, INDIRECT, into, out};
use crate::slots::testing::*;

const HEADER: u64 = BUFFERS;
const STATUS_BYTE: u64 = BUFFERS + 0x10;
const TABLE: u64 = BUFFERS + 0x100;
const DATA: u64 = BUFFERS + 0x1000;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

const OK: u8 = 0;
const IO_ERROR: u8 = 1;
const UNSUPPORTED: u8 = 2;
const UNTOUCHED: u8 = 0xee;

struct Disk {
    guest: Guest,
    queue: DriverQueue,
}

impl Disk {
    fn of(backend: Backend) -> Self {
        Self::with(Block::new(backend, "scratch"))
    }

    fn with(block: Block) -> Self {
        let mut guest = Guest::with(block);
        let queue = guest.bring_up(u64::MAX).remove(0);
        Self { guest, queue }
    }

    fn writable(file: &File) -> Self {
        Self::of(Backend::RawFile(RawFile::new(file.try_clone().unwrap()).unwrap()))
    }

    fn put_header(&self, kind: u32, sector: u64) {
        let mut header = [0; 16];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        self.put(HEADER, &header);
        self.put(STATUS_BYTE, &[UNTOUCHED]);
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.guest.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    fn get(&self, at: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        self.guest.memory.read_slice(&mut data, GuestAddress(at)).unwrap();
        data
    }

    /// Sends a chain; returns how many bytes the device says it has written.
    fn send(&mut self, chain: &[Buffer]) -> u32 {
        let head = self.queue.add(chain);
        self.guest.kick(0);
        let (used, bytes) = self.queue.take_used().expect("an answer");
        assert_eq!(used, head);
        bytes
    }

    /// Sends an ordinary request; returns its status.
    fn request(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> u8 {
        self.put_header(kind, sector);
        let chain: Vec<_> = [out(HEADER, 16)]
            .iter()
            .chain(data)
            .chain(&[into(STATUS_BYTE, 1)])
            .copied()
            .collect();
        let bytes = self.send(&chain);
        let status = self.get(STATUS_BYTE, 1)[0];
        let room: u32 = data
            .iter()
            .filter(|buffer| buffer.writable)
            .map(|buffer| buffer.bytes)
            .sum();
        if status == OK && kind == READ {
            assert_eq!(bytes, room + 1);
        }
        status
    }

    /// Sends a discard or a write of zeros.
    fn range(&mut self, kind: u32, (sector, sectors, flags): (u64, u32, u32)) -> u8 {
        self.put(DATA, &sector.to_le_bytes());
        self.put(DATA + 8, &sectors.to_le_bytes());
        self.put(DATA + 12, &flags.to_le_bytes());
        self.request(kind, 0, &[out(DATA, 16)])
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at * 7 / 3 % 251).unwrap()).collect()
}

fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_concatenation_reads_as_one_disk_with_zeros_between() {
    let (first, second) = (pattern(5000), pattern(4096 * 2));
    let parts = vec![
        Part {
            file: file(&first),
            bytes: 5000,
        },
        Part {
            file: file(&second),
            bytes: 8192,
        },
    ];
    let mut disk = Disk::of(Backend::Concatenation(Concatenation::new(parts).unwrap()));
    let mut expected = first;
    expected.resize(8192, 0);
    expected.extend(second);
    assert_eq!(disk.guest.config(0, 8), 32u64.to_le_bytes());
    // In pieces that fit neither sectors, nor parts, nor blocks.
    let pieces = [
        into(DATA, 1),
        into(DATA + 1, 4999),
        into(DATA + 5000, 3192),
        into(DATA + 8192, 8192),
    ];
    assert_eq!(disk.request(READ, 0, &pieces), OK);
    assert_eq!(disk.get(DATA, 16_384), expected);
    assert_eq!(disk.request(READ, 9, &[into(DATA, 512)]), OK);
    assert_eq!(disk.get(DATA, 512), expected[9 * 512..10 * 512]);
}

#[test]
fn a_read_only_disk_refuses_every_change() {
    let image = file(&pattern(4096));
    let parts = vec![Part {
        file: image.try_clone().unwrap(),
        bytes: 4096,
    }];
    let mut disk = Disk::of(Backend::Concatenation(Concatenation::new(parts).unwrap()));
    disk.guest.write(DEVICE_FEATURES_SEL, 0);
    let features = disk.guest.read(DEVICE_FEATURES);
    assert_ne!(features & 1 << 5, 0, "RO");
    assert_eq!(
        features & (1 << 9 | 1 << 13 | 1 << 14),
        0,
        "FLUSH, DISCARD, WRITE_ZEROES"
    );
    assert_eq!(disk.request(WRITE, 0, &[out(DATA, 512)]), IO_ERROR);
    assert_eq!(disk.range(DISCARD, (0, 8, 0)), UNSUPPORTED);
    assert_eq!(disk.range(WRITE_ZEROES, (0, 8, 0)), UNSUPPORTED);
    assert_eq!(disk.request(FLUSH, 0, &[]), OK);
    assert_eq!(contents(&image), pattern(4096));
}

#[test]
fn what_is_written_is_read_back_and_is_in_the_file() {
    let image = file(&[0; 65_536]);
    let mut disk = Disk::writable(&image);
    let data = pattern(3072);
    disk.put(DATA, &data);
    assert_eq!(disk.request(WRITE, 5, &[out(DATA, 700), out(DATA + 700, 2372)]), OK);
    assert_eq!(disk.request(FLUSH, 0, &[]), OK);
    assert_eq!(disk.request(READ, 5, &[into(DATA + 0x4000, 3072)]), OK);
    assert_eq!(disk.get(DATA + 0x4000, 3072), data);
    let contents = contents(&image);
    assert_eq!(contents[5 * 512..5 * 512 + 3072], data);
    assert!(
        contents[..5 * 512]
            .iter()
            .chain(&contents[5 * 512 + 3072..])
            .all(|&byte| byte == 0)
    );
}

#[test]
fn what_is_read_and_written_is_counted_and_what_fails_is_not() {
    let counters = Counters::of_test();
    let backend = Backend::RawFile(RawFile::new(file(&[0; 8192])).unwrap());
    let mut disk = Disk::with(Block::new(backend, "scratch").metered(Meter::of(counters)));
    assert_eq!(disk.request(WRITE, 0, &[out(DATA, 1024)]), OK);
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
    assert_eq!(disk.request(READ, 1000, &[into(DATA, 512)]), IO_ERROR);
    assert_eq!(disk.request(FLUSH, 0, &[]), OK);
    assert_eq!(counters.values(), [0, 0, 512, 1024]);
}

#[test]
fn discards_and_zeros_reach_the_file() {
    let image = file(&[7; 65_536]);
    let mut disk = Disk::writable(&image);
    let before = image.metadata().unwrap().blocks();
    assert_eq!(disk.range(DISCARD, (8, 64, 0)), OK);
    assert!(image.metadata().unwrap().blocks() < before);
    assert_eq!(disk.range(WRITE_ZEROES, (1, 2, 0)), OK);
    assert_eq!(disk.range(WRITE_ZEROES, (4, 1, 1)), OK);
    let contents = contents(&image);
    assert_eq!(contents.len(), 65_536);
    assert_eq!(contents[..512], [7; 512]);
    assert_eq!(contents[512..3 * 512], [0; 1024]);
    assert_eq!(contents[4 * 512..5 * 512], [0; 512]);
    assert_eq!(disk.range(DISCARD, (0, 1, 1)), UNSUPPORTED);
    assert_eq!(disk.range(DISCARD, (127, 2, 0)), IO_ERROR);
    assert_eq!(disk.range(WRITE_ZEROES, (0, 1, 2)), UNSUPPORTED);
}

#[test]
fn the_name_is_told() {
    let mut disk = Disk::writable(&file(&[0; 512]));
    disk.put(DATA, &[0xee; 24]);
    assert_eq!(disk.request(GET_ID, 0, &[into(DATA, 20)]), OK);
    assert_eq!(
        disk.get(DATA, 24),
        *b"scratch\0\0\0\0\0\0\0\0\0\0\0\0\0\xee\xee\xee\xee"
    );
    assert_eq!(disk.request(GET_ID, 0, &[into(DATA, 3)]), OK);
}

#[test]
fn configuration_is_read_in_any_width_at_any_place() {
    let mut disk = Disk::writable(&file(&[0; 1_048_576]));
    let whole = disk.guest.config(0, 60);
    assert_eq!(whole[..8], 2048u64.to_le_bytes());
    assert_eq!(whole[12..16], 126u32.to_le_bytes());
    assert_eq!(whole[20..24], 512u32.to_le_bytes());
    for width in 0..=8 {
        for offset in 0..80 {
            let expected: Vec<_> = whole.iter().copied().chain([0; 40]).skip(offset).take(width).collect();
            assert_eq!(disk.guest.config(offset as u64, width), expected);
        }
    }
    assert_eq!(disk.guest.config(u64::MAX - 0x100, 4), [0; 4]);
    disk.guest.write(0x100, 0);
    assert_eq!(disk.guest.config(0, 60), whole);
}

#[test]
fn parts_of_a_request_may_be_cut_anywhere() {
    let mut disk = Disk::writable(&file(&pattern(4096)));
    disk.put_header(READ, 1);
    let bytes = disk.send(&[
        out(HEADER, 3),
        out(HEADER + 3, 13),
        into(DATA, 100),
        into(DATA + 100, 413),
    ]);
    assert_eq!(bytes, 513);
    assert_eq!(disk.get(DATA, 513), [&pattern(4096)[512..1024], &[OK]].concat());
}

#[test]
fn an_indirect_table_serves_as_well() {
    let mut disk = Disk::writable(&file(&pattern(4096)));
    disk.put_header(READ, 2);
    disk.queue.write_chain(
        TABLE,
        &[0, 1, 2],
        &[out(HEADER, 16), into(DATA, 512), into(STATUS_BYTE, 1)],
    );
    disk.queue
        .write_descriptor(disk.queue.table, 3, (TABLE, 48), INDIRECT, 0);
    disk.queue.offer(3);
    disk.guest.kick(0);
    assert_eq!(disk.queue.take_used(), Some((3, 513)));
    assert_eq!(disk.get(DATA, 512), pattern(4096)[1024..1536]);
}

#[test]
fn a_driver_without_flush_gets_durable_writes() {
    let image = file(&[0; 4096]);
    let mut guest = Guest::with(Block::new(
        Backend::RawFile(RawFile::new(image.try_clone().unwrap()).unwrap()),
        "",
    ));
    let queue = guest.bring_up(!(1 << 9)).remove(0);
    let mut disk = Disk { guest, queue };
    disk.put(DATA, &[9; 512]);
    assert_eq!(disk.request(WRITE, 0, &[out(DATA, 512)]), OK);
    assert_eq!(contents(&image)[..512], [9; 512]);
}
