//! Requests and chains that no driver should send.

use std::fs::File;

use proptest::prelude::*;

use super::*;

#[test]
fn requests_that_do_not_fit_the_disk_fail() {
    let mut disk = Disk::writable(&file(&[0; 4096]));
    for (kind, data) in [(READ, into(DATA, 1024)), (WRITE, out(DATA, 1024))] {
        for sector in [7, 8, u64::MAX, u64::MAX / 512] {
            assert_eq!(disk.request(kind, sector, &[data]), IO_ERROR);
        }
    }
    assert_eq!(disk.request(READ, 0, &[into(DATA, 100)]), IO_ERROR);
    assert_eq!(disk.request(3, 0, &[]), UNSUPPORTED);
    assert_eq!(disk.request(u32::MAX, 0, &[]), UNSUPPORTED);
}

#[test]
fn requests_without_data_do_nothing() {
    let mut disk = Disk::writable(&file(&[0; 4096]));
    assert_eq!(disk.request(READ, 0, &[]), OK);
    assert_eq!(disk.request(WRITE, 0, &[]), OK);
    assert_eq!(disk.request(READ, 0, &[into(DATA, 0)]), OK);
    assert_eq!(disk.request(DISCARD, 0, &[]), IO_ERROR);
}

#[test]
fn data_in_the_wrong_direction_is_no_data() {
    let image = file(&[7; 4096]);
    let mut disk = Disk::writable(&image);
    assert_eq!(disk.request(WRITE, 0, &[into(DATA, 512)]), OK);
    disk.put(DATA, &[1; 512]);
    assert_eq!(disk.request(READ, 0, &[out(DATA, 512)]), OK);
    assert_eq!(disk.get(DATA, 512), [1; 512]);
    assert_eq!(contents(&image), [7; 4096]);
}

#[test]
fn a_file_that_shrinks_fails_reads_and_nothing_else() {
    let image = file(&[7; 8192]);
    let mut disk = Disk::writable(&image);
    image.set_len(4096).unwrap();
    assert_eq!(disk.request(READ, 8, &[into(DATA, 512)]), IO_ERROR);
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
}

#[test]
fn a_file_that_cannot_be_written_fails_writes() {
    let path = tempfile::NamedTempFile::new().unwrap();
    path.as_file().set_len(4096).unwrap();
    let mut disk = Disk::writable(&File::open(path.path()).unwrap());
    assert_eq!(disk.request(WRITE, 0, &[out(DATA, 512)]), IO_ERROR);
    assert_eq!(disk.range(DISCARD, (0, 8, 0)), IO_ERROR);
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
}

#[test]
fn chains_that_break_the_rules_come_back_empty() {
    let mut disk = Disk::writable(&file(&[0; 4096]));
    disk.put_header(READ, 0);
    let end = MEMORY_BYTES as u64;
    let status = into(STATUS_BYTE, 1);
    let chains: [&[Buffer]; 8] = [
        &[out(HEADER, 16)],
        &[status],
        &[out(HEADER, 15), status],
        &[status, out(HEADER, 16)],
        &[out(HEADER, 16), into(DATA, 512), out(DATA, 512), status],
        &[out(HEADER, 16), into(end - 256, 512), status],
        &[out(end, 16), status],
        &[out(HEADER, 16), into(u64::MAX - 10, 512), status],
    ];
    for chain in chains {
        assert_eq!(disk.send(chain), 0, "{chain:?}");
        assert_eq!(disk.get(STATUS_BYTE, 1), [UNTOUCHED]);
    }
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
}

#[test]
fn loops_and_dangling_links_come_back_empty() {
    let mut disk = Disk::writable(&file(&[0; 4096]));
    disk.put_header(READ, 0);
    let (next, write) = (1, 2);
    for (flags, link) in [(next, 0), (next | write, 1), (next, 15), (next, 16), (next, u16::MAX)] {
        disk.queue.write_descriptor(disk.queue.table, 0, (HEADER, 16), next, 1);
        disk.queue
            .write_descriptor(disk.queue.table, 1, (DATA, 512), flags, link);
        disk.queue.write_descriptor(disk.queue.table, 15, (DATA, 512), next, 15);
        disk.queue.offer(0);
        disk.guest.kick(0);
        assert_eq!(disk.queue.take_used(), Some((0, 0)));
    }
    assert_eq!(disk.request(READ, 0, &[into(DATA, 512)]), OK);
}

#[test]
fn indirect_tables_that_break_the_rules_come_back_empty() {
    let mut disk = Disk::writable(&file(&[0; 4096]));
    disk.put_header(READ, 0);
    disk.queue.write_descriptor(TABLE, 0, (TABLE, 16), INDIRECT, 0);
    let end = u64::try_from(MEMORY_BYTES).unwrap();
    for table in [
        (TABLE, 16),
        (TABLE, 15),
        (TABLE, 0),
        (end, 16),
        (u64::MAX, 16),
        (TABLE, u32::MAX - 15),
    ] {
        disk.queue.write_descriptor(disk.queue.table, 3, table, INDIRECT, 0);
        disk.queue.offer(3);
        disk.guest.kick(0);
        assert_eq!(disk.queue.take_used(), Some((3, 0)), "{table:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the table and the buffers hold, every chain comes back and the disk keeps its size.
    #[test]
    fn arbitrary_chains_do_no_harm(
        heads in prop::collection::vec(0u16..16, 1..12),
        entries in prop::collection::vec(
            (prop_oneof![Just(HEADER), BUFFERS..MEMORY_BYTES as u64, any::<u64>()],
             prop_oneof![Just(16u32), Just(1), Just(512), 0u32..10_000, any::<u32>()], 0u16..8, 0u16..18), 16),
        kind in prop_oneof![0u32..14, any::<u32>()],
        sector in prop_oneof![0u64..20, any::<u64>()],
        shared: bool,
    ) {
        let image = file(&[7; 8192]);
        let mut disk = if shared { copy_on_write::over(&image, &file(&[])) } else { Disk::writable(&image) };
        disk.put_header(kind, sector);
        for (index, &(address, bytes, flags, next)) in (0..).zip(&entries) {
            disk.queue.write_descriptor(disk.queue.table, index, (address, bytes), flags, next);
        }
        for &head in &heads {
            disk.queue.offer(head);
        }
        disk.guest.kick(0);
        for &head in &heads {
            prop_assert_eq!(disk.queue.take_used().map(|(used, _)| used), Some(head));
        }
        let contents = contents(&image);
        prop_assert_eq!(contents.len(), 8192);
        prop_assert!(!shared || contents.iter().all(|&byte| byte == 7));
        prop_assert!(!disk.guest.needs_reset());
    }
}
