//! Directories: blocks of entries, each followed by the names, sorted so that Linux can search them by halves.

use super::format::{BLOCK_LEN, DIRENT_BYTES};

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dirent<'a> {
    pub name: &'a [u8],
    pub nid: u64,
    pub file_type: u8,
}

/// Length of a directory that holds `names` and the two that every directory has. The names need not be sorted for
/// this to be an answer, but it is the right one only in the order in which they are written.
pub(super) fn size<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (mut full_blocks, mut used) = (0_u64, 0);
    for name in names {
        let needed = DIRENT_BYTES + name.len();
        if used + needed > BLOCK_LEN {
            full_blocks += 1;
            used = 0;
        }
        used += needed;
    }
    full_blocks * BLOCK_LEN as u64 + used as u64
}

/// The names of a directory's children with `.` and `..` at their places.
pub(super) fn with_dots<'a>(names: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut dots = [&b"."[..], b".."].into_iter().peekable();
    let mut names = names.peekable();
    std::iter::from_fn(move || match (dots.peek(), names.peek()) {
        (Some(dot), Some(name)) if dot < name => dots.next(),
        (Some(_), None) => dots.next(),
        _ => names.next(),
    })
}

/// The directory's contents, all blocks but the last one full length.
pub(super) fn encode(entries: &[Dirent]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|entry| {
            used += DIRENT_BYTES + entry.name.len();
            used <= BLOCK_LEN
        });
        let (block, behind) = rest.split_at(fitting.count());
        out.resize(out.len().next_multiple_of(BLOCK_LEN), 0);
        encode_block(&mut out, block);
        rest = behind;
    }
    out
}

fn encode_block(out: &mut Vec<u8>, entries: &[Dirent]) {
    // Within a block: 4096 at most.
    let mut name_offset = entries.len() * DIRENT_BYTES;
    for entry in entries {
        out.extend_from_slice(&entry.nid.to_le_bytes());
        out.extend_from_slice(&u16::try_from(name_offset).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&[entry.file_type, 0]);
        name_offset += entry.name.len();
    }
    for entry in entries {
        out.extend_from_slice(entry.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn dots_take_their_place_among_the_names() {
        let names: [&[u8]; 4] = [b"!", b"-", b"...", b"a"];
        let all: Vec<_> = with_dots(names.into_iter()).collect();
        assert_eq!(all, [&b"!"[..], b"-", b".", b"..", b"...", b"a"]);
    }

    proptest! {
        #[test]
        fn the_size_is_known_before(names in proptest::collection::btree_set("[a-z]{1,255}", 0..200)) {
            let names: BTreeSet<Vec<u8>> = names.into_iter().map(String::into_bytes).collect();
            let all: Vec<&[u8]> = with_dots(names.iter().map(Vec::as_slice)).collect();
            prop_assert!(all.is_sorted());
            let entries: Vec<Dirent> = all.iter().map(|name| Dirent { name, nid: 1, file_type: 1 }).collect();
            prop_assert_eq!(encode(&entries).len() as u64, size(all.into_iter()));
        }
    }
}
