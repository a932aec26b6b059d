//! Tests of the data file: what is written reads back from where it is said to be.

use super::*;
use std::io::{Read, Seek};

struct Sample {
    file: File,
    extents: Vec<Extent>,
}

/// Writes each of `contents`; then every one must read back from where it is said to be.
fn check(contents: &[Vec<u8>]) -> Sample {
    let file = tempfile::tempfile().unwrap();
    let mut data = DataFile::new(&file);
    let mut extents = Vec::new();
    for bytes in contents {
        let mut rest = bytes.as_slice();
        let mut handle = data.start_contents(bytes.len() as u64).unwrap();
        while !rest.is_empty() {
            let left = rest.len() as u64;
            let step = data
                .append_with(&mut handle, left, |buffer| rest.read_exact(buffer))
                .unwrap();
            assert!(step > 0);
        }
        extents.push(data.finish_contents(handle).unwrap());
    }
    let blocks = data.finish().unwrap();
    assert_eq!(file.metadata().unwrap().len(), blocks * BLOCK_BYTES);
    for (bytes, extent) in contents.iter().zip(&extents) {
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, extent.block * BLOCK_BYTES).unwrap();
        assert_eq!(&read, bytes);
        assert_eq!(extent.bytes, bytes.len() as u64);
    }
    Sample { file, extents }
}

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..251).map(|byte: u8| byte ^ seed).cycle().take(len).collect()
}

#[test]
fn each_file_starts_at_a_block_and_is_padded_with_zeros() {
    let mut sample = check(&[bytes(1, 5), bytes(2, 4096), bytes(3, 4097)]);
    let blocks: Vec<u64> = sample.extents.iter().map(|extent| extent.block).collect();
    assert_eq!(blocks, [0, 1, 2]);
    let mut all = Vec::new();
    sample.file.rewind().unwrap();
    sample.file.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 4 * 4096);
    assert!(all[5..4096].iter().chain(&all[8192 + 4097..]).all(|byte| *byte == 0));
}

#[test]
fn identical_contents_are_stored_once() {
    for len in [1, 4096, 5000, BUFFER_BYTES - 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 17] {
        let sample = check(&[
            bytes(1, len),
            bytes(2, len),
            bytes(1, len),
            bytes(2, len),
            bytes(1, len + 1),
        ]);
        assert_eq!(sample.extents[0], sample.extents[2]);
        assert_eq!(sample.extents[1], sample.extents[3]);
        let blocks = 2 * (len as u64).div_ceil(4096) + (len as u64 + 1).div_ceil(4096);
        assert_eq!(sample.file.metadata().unwrap().len(), blocks * 4096, "{len}");
    }
}

#[test]
fn empty_files_take_nothing() {
    let sample = check(&[vec![], bytes(1, 1), vec![]]);
    assert_eq!(sample.extents[2], Extent { block: 0, bytes: 0 });
    assert_eq!(sample.extents[1].block, 0);
}

#[test]
fn small_files_share_blocks_wherever_others_come_between() {
    let file = tempfile::tempfile().unwrap();
    let mut data = DataFile::new(&file);
    let mut packed = Vec::new();
    for at in 0..200_usize {
        let small = bytes(u8::try_from(at).unwrap(), 1 + at * 37 % 2048);
        packed.push((data.pack(&small).unwrap(), small));
        // Now and then the same contents, which are cut off again.
        let large = bytes(7, 5000 + at % 3 * BUFFER_BYTES);
        let mut handle = data.start_contents(large.len() as u64).unwrap();
        let mut rest = large.as_slice();
        while !rest.is_empty() {
            let left = rest.len() as u64;
            data.append_with(&mut handle, left, |buffer| rest.read_exact(buffer))
                .unwrap();
        }
        data.finish_contents(handle).unwrap();
    }
    let blocks = data.finish().unwrap();
    assert_eq!(file.metadata().unwrap().len(), blocks * BLOCK_BYTES);
    for (slot, small) in &packed {
        let mut read = vec![0; small.len()];
        file.read_exact_at(&mut read, slot * SLOT_BYTES).unwrap();
        assert_eq!(&read, small);
        assert!(slot * SLOT_BYTES % BLOCK_BYTES + small.len() as u64 <= BLOCK_BYTES);
    }
    let bytes: usize = packed.iter().map(|(_, small)| small.len()).sum();
    let large: u64 = (0..3)
        .map(|at| (5000 + at * BUFFER_BYTES as u64).div_ceil(BLOCK_BYTES))
        .sum();
    let packed_blocks = blocks - large;
    assert!(packed_blocks * BLOCK_BYTES < 2 * bytes as u64, "{packed_blocks}");
}

#[test]
fn small_files_of_any_sizes_leave_little_of_their_blocks() {
    let file = tempfile::tempfile().unwrap();
    let mut data = DataFile::new(&file);
    let (mut state, mut slots_bytes) = (1_u64, 0);
    for _ in 0..2000 {
        // Knuth's linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let small = bytes(1, 1 + usize::try_from(state >> 33).unwrap() % 2048);
        slots_bytes += (small.len() as u64).next_multiple_of(SLOT_BYTES);
        data.pack(&small).unwrap();
    }
    let bytes = data.finish().unwrap() * BLOCK_BYTES;
    assert!(bytes * 100 < slots_bytes * 103, "{bytes} for {slots_bytes}");
}

#[test]
fn small_files_alone_do_not_pile_up_in_memory() {
    let file = tempfile::tempfile().unwrap();
    let mut data = DataFile::new(&file);
    for _ in 0..4 * BUFFER_BYTES / 1024 {
        data.pack(&bytes(1, 1024)).unwrap();
        assert!(data.buffer.len() <= BUFFER_BYTES + BLOCK_LEN);
    }
    assert_eq!(data.finish().unwrap(), (BUFFER_BYTES / 1024) as u64);
}

#[test]
fn holes_equal_written_zeros() {
    let file = tempfile::tempfile().unwrap();
    let mut data = DataFile::new(&file);
    let size = 5 * BUFFER_BYTES as u64;
    let mut extents = Vec::new();
    for _ in 0..2 {
        let mut hole = data.start_contents(size).unwrap();
        data.append_zeros(&mut hole, size).unwrap();
        extents.push(data.finish_contents(hole).unwrap());
    }
    let mut written = data.start_contents(size).unwrap();
    for _ in 0..5 {
        data.append_zeros(&mut written, size / 5).unwrap();
    }
    extents.push(data.finish_contents(written).unwrap());
    assert_eq!(extents, [Extent { block: 0, bytes: size }; 3]);
    assert_eq!(data.finish().unwrap(), size / 4096);
    assert_eq!(file.metadata().unwrap().len(), size);
}
