//! One 512-byte tar header block, taken apart.
//!
//! Field offsets: POSIX.1-2024, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::number::parse_field;

/// Every header is one block, and data is padded to whole blocks.
pub const BLOCK_BYTES: usize = 512;

/// One block of the stream.
pub type Block = [u8; BLOCK_BYTES];

const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Why a block is no header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// The sum over the block is not the one it carries: not a tar stream, or a damaged one.
    #[error("checksum does not match")]
    Checksum,
    /// A numeric field holds something else.
    #[error("field {field} is not a number")]
    Number {
        /// The field's name in the POSIX table.
        field: &'static str,
    },
}

/// The header's fields as they stand there, before extended headers override them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `name`, behind `prefix` where the dialect has one.
    pub path: Vec<u8>,
    /// `linkname`.
    pub link_target: Vec<u8>,
    /// `typeflag`, the byte itself.
    pub type_flag: u8,
    /// `mode`, permission bits only.
    pub mode: u16,
    /// `uid`, not yet checked for range.
    pub uid: i64,
    /// `gid`, not yet checked for range.
    pub gid: i64,
    /// `size`, not yet checked for range.
    pub size: i64,
    /// `mtime` in seconds.
    pub mtime: i64,
    /// `devmajor`; 0 in the V7 dialect.
    pub device_major: i64,
    /// `devminor`; 0 in the V7 dialect.
    pub device_minor: i64,
}

/// Takes a header block apart, or answers `None` for the all-zero block that ends an archive.
pub fn parse(block: &Block) -> Result<Option<Header>, HeaderError> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    verify_checksum(block)?;
    let number = |field, range: std::ops::Range<usize>| parse_field(&block[range]).ok_or(HeaderError::Number { field });
    let type_flag = block[156];
    // Only devices have numbers: some writers leave rubbish there for everything else.
    let is_device = matches!(type_flag, b'3' | b'4') && dialect(block) != Dialect::V7;
    let mode = number("mode", 100..108)? & 0o7777;
    Ok(Some(Header {
        path: path(block),
        link_target: text(&block[157..257]).to_vec(),
        type_flag,
        mode: u16::try_from(mode).unwrap_or_default(),
        uid: number("uid", 108..116)?,
        gid: number("gid", 116..124)?,
        size: number("size", 124..136)?,
        mtime: number("mtime", 136..148)?,
        device_major: if is_device { number("devmajor", 329..337)? } else { 0 },
        device_minor: if is_device { number("devminor", 337..345)? } else { 0 },
    }))
}

#[derive(PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    /// ustar by Jörg Schilling's star: access and change times take the prefix's last 24 bytes.
    Star,
    Gnu,
}

fn dialect(block: &Block) -> Dialect {
    match (&block[257..265], &block[508..512]) {
        (b"ustar  \0", _) => Dialect::Gnu,
        (magic, b"tar\0") if magic.starts_with(b"ustar\0") => Dialect::Star,
        (magic, _) if magic.starts_with(b"ustar\0") => Dialect::Ustar,
        _ => Dialect::V7,
    }
}

fn path(block: &Block) -> Vec<u8> {
    let name = text(&block[0..100]);
    let prefix = match dialect(block) {
        Dialect::Ustar => text(&block[345..500]),
        Dialect::Star => text(&block[345..476]),
        Dialect::V7 | Dialect::Gnu => &[],
    };
    if prefix.is_empty() {
        name.to_vec()
    } else {
        [prefix, name].join(&b'/')
    }
}

/// A text field ends at its first NUL, or fills its place.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

fn verify_checksum(block: &Block) -> Result<(), HeaderError> {
    let stored = parse_field(&block[CHECKSUM]).ok_or(HeaderError::Checksum)?;
    // The field itself counts as spaces.
    let mut summed = *block;
    summed[CHECKSUM].fill(b' ');
    // Some old writers summed signed characters; every reader takes both.
    // Far below what an i32 holds; a sum that is checked would be made one byte at a time.
    let unsigned = summed.iter().fold(0_i32, |sum, byte| sum.wrapping_add((*byte).into()));
    let signed = summed
        .iter()
        .fold(0_i32, |sum, byte| sum.wrapping_add(byte.cast_signed().into()));
    if stored == i64::from(unsigned) || stored == i64::from(signed) {
        Ok(())
    } else {
        Err(HeaderError::Checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(fields: &[(usize, &[u8])]) -> Block {
        let mut block = [0; BLOCK_BYTES];
        for (at, bytes) in fields {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn parsed(fields: &[(usize, &[u8])]) -> Header {
        parse(&block(fields)).unwrap().unwrap()
    }

    #[test]
    fn a_zero_block_is_no_header() {
        assert_eq!(parse(&[0; BLOCK_BYTES]), Ok(None));
    }

    #[test]
    fn ustar_joins_prefix_and_name() {
        let header = parsed(&[(0, b"name"), (257, b"ustar\x0000"), (345, b"some/prefix")]);
        assert_eq!(header.path, b"some/prefix/name");
    }

    #[test]
    fn gnu_and_v7_have_no_prefix() {
        assert_eq!(
            parsed(&[(0, b"name"), (257, b"ustar  \0"), (345, b"12345")]).path,
            b"name"
        );
        assert_eq!(parsed(&[(0, b"name"), (345, b"12345")]).path, b"name");
    }

    #[test]
    fn star_keeps_times_behind_a_shorter_prefix() {
        let header = parsed(&[
            (0, b"name"),
            (257, b"ustar\x0000"),
            (345, b"dir"),
            (476, b"12345670123"),
            (508, b"tar\0"),
        ]);
        assert_eq!(header.path, b"dir/name");
    }

    #[test]
    fn device_numbers_are_read_for_devices_only() {
        let fields: &[(usize, &[u8])] = &[(257, b"ustar  \0"), (329, b"junk"), (156, b"0")];
        assert_eq!(parsed(fields).device_major, 0);
        let fields: &[(usize, &[u8])] = &[(257, b"ustar  \0"), (329, b"10"), (337, b"17"), (156, b"3")];
        assert_eq!((parsed(fields).device_major, parsed(fields).device_minor), (8, 15));
    }

    #[test]
    fn a_changed_byte_breaks_the_checksum() {
        let mut damaged = block(&[(0, b"name")]);
        damaged[3] ^= 1;
        assert_eq!(parse(&damaged), Err(HeaderError::Checksum));
    }

    #[test]
    fn a_signed_checksum_is_taken() {
        let mut signed = block(&[(0, b"\xff")]);
        signed[CHECKSUM].fill(b' ');
        let sum: i32 = signed.iter().map(|byte| i32::from(byte.cast_signed())).sum();
        signed[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(parse(&signed).unwrap().unwrap().path, b"\xff");
    }

    #[test]
    fn rubbish_in_a_number_is_refused() {
        assert_eq!(
            parse(&block(&[(124, b"12z4")])),
            Err(HeaderError::Number { field: "size" })
        );
    }

    proptest! {
        #[test]
        fn no_block_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            let fields: Vec<(usize, &[u8])> = vec![(0, &bytes)];
            let _ = parse(&block(&fields));
            let _ = parse(bytes.as_slice().try_into().unwrap());
        }
    }
}
