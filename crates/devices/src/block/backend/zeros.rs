//! Two ways to make a stretch of a file read as zeros: the system's, and the slow one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;

use crate::block::request::Range;

/// Has the file system do it `how` it can, without a change of the file's size.
pub(super) fn allocate(file: &File, how: FallocateFlags, range: Range) -> rustix::io::Result<()> {
    if range.bytes == 0 {
        return Ok(());
    }
    rustix::fs::fallocate(file, how | FallocateFlags::KEEP_SIZE, range.offset, range.bytes)
}

/// For file systems that know no better way.
pub(super) fn overwrite(file: &File, range: Range) -> io::Result<()> {
    static ZEROS: [u8; 65_536] = [0; 65_536];
    let mut done = 0;
    while done < range.bytes {
        let count = usize::try_from(range.bytes - done).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        file.write_all_at(&ZEROS[..count], range.offset + done)?;
        done += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_way_writes_the_same_zeros() {
        let range = Range {
            offset: 512,
            bytes: 39 * 4096,
        };
        let contents = [overwrite as fn(&File, Range) -> io::Result<()>, |file, range| {
            Ok(allocate(file, FallocateFlags::PUNCH_HOLE, range)?)
        }]
        .map(|way| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&[7; 40 * 4096], 0).unwrap();
            way(&file, range).unwrap();
            let mut bytes = vec![1; 40 * 4096];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        });
        assert_eq!(contents[0].iter().filter(|&&byte| byte == 0).count(), 39 * 4096);
        assert_eq!(contents[0], contents[1]);
    }
}
