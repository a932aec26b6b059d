//! Extended attributes behind an inode: a header, then entries, each padded to four bytes.

use crate::layer::Xattr;

/// Header in front of the entries: name filter, count of shared attributes, reserved.
const HEADER_BYTES: u64 = 12;

/// Most bytes that an inode's 16-bit count can tell.
pub(super) const BYTES_MAX: u64 = HEADER_BYTES + 4 * (u16::MAX as u64 - 1);

/// Names are stored as the number of their prefix and what follows (`EROFS_XATTR_INDEX_*`).
const PREFIXES: &[(u8, &[u8], Rest)] = &[
    (1, b"user.", Rest::Some),
    (2, b"system.posix_acl_access", Rest::None),
    (3, b"system.posix_acl_default", Rest::None),
    (4, b"trusted.", Rest::Some),
    (6, b"security.", Rest::Some),
];

/// Whether a name goes on behind its prefix.
#[derive(PartialEq, Eq)]
enum Rest {
    None,
    Some,
}

/// The prefix's number and the rest of the name; `None` for names that Linux would not let anybody set on a disk file
/// system. Such attributes are left out, as container engines do when the kernel refuses them.
fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(index, prefix, rest)| {
        let behind = name.strip_prefix(*prefix)?;
        ((*rest == Rest::None) == behind.is_empty()).then_some((*index, behind))
    })
}

/// Length of the attributes on disk, header included; 0 if there are none.
pub(super) fn size(xattrs: &[Xattr]) -> u64 {
    let entries = xattrs
        .iter()
        .filter_map(|xattr| Some((split_name(&xattr.name)?.1.len(), xattr.value.len())));
    let bytes: u64 = entries
        .map(|(name, value)| (4 + name + value).next_multiple_of(4) as u64)
        .sum();
    if bytes == 0 { 0 } else { HEADER_BYTES + bytes }
}

/// The attributes as they stand on disk.
pub(super) fn encode(xattrs: &[Xattr]) -> Vec<u8> {
    let mut out = Vec::new();
    for xattr in xattrs {
        let Some((index, rest)) = split_name(&xattr.name) else {
            continue;
        };
        if out.is_empty() {
            out.resize(12, 0);
        }
        // Both fit: conversion refuses longer names and values.
        out.push(u8::try_from(rest.len()).unwrap_or_default());
        out.push(index);
        out.extend_from_slice(&u16::try_from(xattr.value.len()).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(&xattr.value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &[u8]) -> Xattr {
        Xattr {
            name: name.as_bytes().into(),
            value: value.into(),
        }
    }

    #[test]
    fn names_lose_their_prefix() {
        let encoded = encode(&[xattr("user.k", b"v\xff"), xattr("system.posix_acl_access", b"acl")]);
        assert_eq!(encoded[12..], *b"\x01\x01\x02\x00kv\xff\0\x00\x02\x03\x00acl\0");
    }

    #[test]
    fn names_that_linux_has_no_place_for_are_left_out() {
        let none = [
            xattr("com.apple.x", b"v"),
            xattr("user.", b"v"),
            xattr("system.posix_acl_accessx", b"v"),
        ];
        assert_eq!((size(&none), encode(&none).len()), (0, 0));
    }

    #[test]
    fn the_size_is_known_before() {
        for count in 0..6 {
            let xattrs: Vec<_> = (0..count)
                .map(|at| xattr(&format!("security.{at}"), &vec![7; at * 3]))
                .collect();
            assert_eq!(size(&xattrs), encode(&xattrs).len() as u64);
        }
    }
}
