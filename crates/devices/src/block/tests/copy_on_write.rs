//! A disk over a shared file reads as if it was a copy, and the file stays as it was.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::LazyLock;

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags};

use super::*;

/// The last block of the disk is half of one.
const SECTORS: u64 = 100;
/// The most sectors of one request, so that the data fits the guest's memory.
const REQUEST_SECTORS_MAX: u64 = 64;

struct Shared {
    base: File,
    contents: Vec<u8>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let contents = pattern(usize::try_from(SECTORS).unwrap() * 512);
    let mut base = tempfile::tempfile().unwrap();
    base.write_all(&contents).unwrap();
    Shared { base, contents }
});

pub(super) fn over(base: &File, written: &File) -> Disk {
    let [base, written] = [base, written].map(|file| file.try_clone().unwrap());
    Disk::of(Backend::CopyOnWrite(CopyOnWrite::new(base, written).unwrap()))
}

impl Shared {
    /// The way to the base, for others than who may write it.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.base.as_raw_fd())
    }
}

fn over_shared(written: &File) -> Disk {
    over(&File::open(SHARED.path()).unwrap(), written)
}

/// A file in memory that has room for so many bytes, and fails what goes beyond.
fn limited(bytes: u64) -> File {
    let memory: OwnedFd = rustix::fs::memfd_create("written", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&memory, bytes).unwrap();
    rustix::fs::fcntl_add_seals(&memory, SealFlags::GROW).unwrap();
    File::from(memory)
}

impl Disk {
    fn write(&mut self, sector: u64, bytes: &[u8]) -> u8 {
        self.put(DATA, bytes);
        self.request(WRITE, sector, &[out(DATA, u32::try_from(bytes.len()).unwrap())])
    }

    fn read(&mut self, sector: u64, sectors: u64) -> Vec<u8> {
        let bytes = u32::try_from(sectors * 512).unwrap();
        // In two pieces, the cut of which fits nothing.
        let front = bytes.min(1001);
        let data = [into(DATA, front), into(DATA + u64::from(front), bytes - front)];
        assert_eq!(self.request(READ, sector, &data), OK);
        self.get(DATA, bytes as usize)
    }

    fn read_all(&mut self) -> Vec<u8> {
        let mut all = self.read(0, REQUEST_SECTORS_MAX);
        all.extend(self.read(REQUEST_SECTORS_MAX, SECTORS - REQUEST_SECTORS_MAX));
        all
    }
}

#[test]
fn what_was_not_written_comes_from_the_base_and_costs_nothing() {
    let written = file(&[]);
    let mut disk = over_shared(&written);
    assert_eq!(disk.guest.config(0, 8), SECTORS.to_le_bytes());
    assert!(disk.read_all() == SHARED.contents);
    assert_eq!(disk.request(FLUSH, 0, &[]), OK);
    let metadata = written.metadata().unwrap();
    assert_eq!((metadata.len(), metadata.blocks()), (0, 0));
}

#[test]
fn a_large_disk_costs_what_is_written() {
    let (base, written) = (file(&[]), file(&[]));
    base.set_len(20 << 30).unwrap();
    let mut disk = over(&base, &written);
    let last = (20 << 30) / 512 - 8;
    assert_eq!(disk.write(last, &pattern(4096)), OK);
    assert_eq!(disk.read(last, 8), pattern(4096));
    assert_eq!(disk.read(last - 8, 8), [0; 4096]);
    assert!(written.metadata().unwrap().blocks() * 512 <= 65_536);
    assert_eq!(base.metadata().unwrap().blocks(), 0);
}

#[test]
fn a_driver_that_begins_anew_finds_what_was_written() {
    let written = file(&[]);
    let mut disk = over_shared(&written);
    assert_eq!(disk.write(3, &[9; 1024]), OK);
    disk.queue = disk.guest.bring_up(u64::MAX).remove(0);
    assert_eq!(disk.read(3, 2), [9; 1024]);
}

#[test]
fn the_features_are_those_of_a_writable_file() {
    let image = file(&[0; 4096]);
    let written = file(&[]);
    let [one, other] = [over(&image, &written), Disk::writable(&image)].map(|mut disk| {
        disk.guest.write(DEVICE_FEATURES_SEL, 0);
        (disk.guest.read(DEVICE_FEATURES), disk.guest.config(0, 60))
    });
    assert_eq!(one, other);
}

#[test]
fn half_a_sector_is_no_disk() {
    let error = CopyOnWrite::new(file(&[0; 700]), file(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a disk over 700 bytes does not consist of 512-byte sectors"
    );
}

#[test]
fn discarded_space_is_given_back() {
    let written = file(&[]);
    let mut disk = over_shared(&written);
    assert_eq!(disk.write(0, &[7; 64 * 512]), OK);
    let before = written.metadata().unwrap().blocks();
    assert_eq!(disk.range(DISCARD, (0, 64, 0)), OK);
    assert!(written.metadata().unwrap().blocks() < before);
    assert_eq!(disk.read(0, 64), [0; 64 * 512]);
}

#[test]
fn a_write_that_fails_midway_leaves_what_was_there() {
    let written = limited(2 * 4096);
    let mut disk = over_shared(&written);
    assert_eq!(disk.write(4, &[7; 28 * 512]), IO_ERROR);
    assert!(contents(&written)[4096..] == [7; 4096], "it came as far as it could");
    assert!(disk.read_all() == SHARED.contents);
    // What the failure has left behind is not taken for the rest of a block.
    assert_eq!(disk.write(8, &[8; 512]), OK);
    assert_eq!(disk.range(WRITE_ZEROES, (1, 1, 0)), OK);
    let mut expected = SHARED.contents.clone();
    expected[8 * 512..9 * 512].fill(8);
    expected[512..1024].fill(0);
    assert!(disk.read_all() == expected);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8),
    Discard,
    WriteZeroes { unmap: bool },
    Read,
}

impl Step {
    /// Sends it; returns the status, and what belongs into the stretch if all went well.
    fn take(&self, disk: &mut Disk, (sector, sectors): (u64, u64), before: &[u8]) -> (u8, Vec<u8>) {
        let range = |flags| (sector, u32::try_from(sectors).unwrap(), flags);
        let zeros = vec![0; before.len()];
        match *self {
            Self::Write(seed) => {
                let data: Vec<_> = pattern(before.len()).iter().map(|byte| byte ^ seed).collect();
                (disk.write(sector, &data), data)
            }
            Self::Discard => (disk.range(DISCARD, range(0)), zeros),
            Self::WriteZeroes { unmap } => (disk.range(WRITE_ZEROES, range(unmap.into())), zeros),
            Self::Read => {
                assert!(disk.read(sector, sectors) == before);
                (OK, before.to_vec())
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        3 => any::<u8>().prop_map(Step::Write),
        1 => Just(Step::Discard),
        1 => any::<bool>().prop_map(|unmap| Step::WriteZeroes { unmap }),
        1 => Just(Step::Read),
    ];
    let stretch = (0..SECTORS).prop_flat_map(|sector| (Just(sector), 0..=REQUEST_SECTORS_MAX.min(SECTORS - sector)));
    prop::collection::vec((step, stretch).prop_map(|(step, (at, count))| (step, at, count)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// With a file that takes everything, and with ones that take the first blocks only.
    #[test]
    fn a_disk_is_what_a_copy_would_be(steps in steps(), room_bytes in prop::option::of(0..=SECTORS * 512)) {
        let written = room_bytes.map_or_else(|| file(&[]), limited);
        let mut disk = over_shared(&written);
        let mut model = SHARED.contents.clone();
        for (step, sector, sectors) in steps {
            let (start, bytes) = (usize::try_from(sector).unwrap() * 512, usize::try_from(sectors).unwrap() * 512);
            let stretch = start..start + bytes;
            let before = model[stretch.clone()].to_vec();
            let (status, after) = step.take(&mut disk, (sector, sectors), &before);
            let found = disk.read_all();
            if status == OK {
                model[stretch].copy_from_slice(&after);
            } else {
                prop_assert!(room_bytes.is_some() && status == IO_ERROR);
                // A write that failed may have come as far as it could, in blocks that were written before.
                let either = found[stretch.clone()].iter().zip(before.iter().zip(&after));
                prop_assert!(either.into_iter().all(|(found, (before, after))| found == before || found == after));
                model[stretch.clone()].copy_from_slice(&found[stretch]);
            }
            prop_assert!(found == model);
        }
        prop_assert!(std::fs::read(SHARED.path()).unwrap() == SHARED.contents);
    }
}
