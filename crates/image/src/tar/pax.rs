//! PAX extended headers: `length key=value` records (POSIX.1-2024, pax, "pax Extended Header").

use std::collections::BTreeMap;

use super::Timestamp;
use super::number::{parse_decimal, parse_timestamp};
use super::sparse::{Segment, SparseError};

/// GNU tar, bsdtar and every image builder keep extended attributes under this key, name appended, value raw.
const XATTR_KEY: &[u8] = b"SCHILY.xattr.";

/// Why an extended header is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PaxError {
    /// A record's length, separator or closing line feed is missing or wrong.
    #[error("record {ordinal} is malformed")]
    Record {
        /// The record's place in the header, from 1.
        ordinal: usize,
    },
    /// A value that must be a number or a time is none.
    #[error("{key} is not a number")]
    Number {
        /// The record's key.
        key: String,
    },
    /// A NUL where neither a path nor a name can have one.
    #[error("{key} contains a NUL byte")]
    Nul {
        /// The record's key.
        key: String,
    },
    /// A header for all following entries sets what only one entry can have, like its path.
    #[error("global header sets {key}, which belongs to one entry")]
    Global {
        /// The record's key.
        key: String,
    },
    /// The sparse map among the records is refused.
    #[error("bad sparse map")]
    Sparse {
        /// What is wrong with it.
        #[from]
        source: SparseError,
    },
}

/// What the extended headers say about an entry; `None` leaves the entry's own header in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// `path`.
    pub path: Option<Vec<u8>>,
    /// `linkpath`.
    pub link_target: Option<Vec<u8>>,
    /// `size` in bytes.
    pub size: Option<u64>,
    /// `uid`.
    pub uid: Option<u64>,
    /// `gid`.
    pub gid: Option<u64>,
    /// `mtime`.
    pub mtime: Option<Timestamp>,
    /// `SCHILY.xattr.*`: value by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `GNU.sparse.*`.
    pub sparse: SparseRecords,
}

/// The `GNU.sparse.*` records of an entry (GNU tar manual, "Storing Sparse Files").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseRecords {
    /// `major` and `minor`: (1, 0) says that the map stands in front of the data.
    pub version: (u64, u64),
    /// `name`, the file's real path.
    pub path: Option<Vec<u8>>,
    /// `size` or `realsize`, the file's size with its holes.
    pub file_bytes: Option<u64>,
    /// The map itself (versions 0.0 and 0.1).
    pub segments: Option<Vec<Segment>>,
    /// An `offset` that waits for its `numbytes` (version 0.0).
    offset: Option<u64>,
}

impl SparseRecords {
    /// Whether the entry is a sparse file at all.
    pub fn is_sparse(&self) -> bool {
        self.segments.is_some() || self.version == (1, 0)
    }
}

impl Extended {
    /// Adds the records of an extended header for one entry (`x`).
    pub fn parse_entry(&mut self, bytes: &[u8], segments_max: usize) -> Result<(), PaxError> {
        for_each_record(bytes, |key, value| self.set(key, value, segments_max))
    }

    /// Adds the records of a global header (`g`), which hold for all entries that follow.
    ///
    /// Only attributes may be set so: a path or a size for all entries is rubbish or an attempt to hide something.
    pub fn parse_global(&mut self, bytes: &[u8]) -> Result<(), PaxError> {
        for_each_record(bytes, |key, value| {
            if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
                return Err(PaxError::Global { key: lossy(key) });
            }
            self.set(key, value, 0)
        })
    }

    /// Bytes of all extended attributes.
    pub fn xattrs_bytes(&self) -> usize {
        self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// An empty value takes a record back, the global one too (POSIX pax).
    fn set(&mut self, key: &[u8], value: &[u8], segments_max: usize) -> Result<(), PaxError> {
        let present = !value.is_empty();
        match key {
            b"path" => self.path = present.then(|| text(key, value)).transpose()?,
            b"linkpath" => self.link_target = present.then(|| text(key, value)).transpose()?,
            b"size" => self.size = present.then(|| number(key, value)).transpose()?,
            b"uid" => self.uid = present.then(|| number(key, value)).transpose()?,
            b"gid" => self.gid = present.then(|| number(key, value)).transpose()?,
            b"mtime" => {
                let time = || parse_timestamp(value).ok_or_else(|| PaxError::Number { key: lossy(key) });
                self.mtime = present.then(time).transpose()?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_KEY) {
                    self.xattrs.remove(name);
                    if present {
                        self.xattrs.insert(name.to_vec(), value.to_vec());
                    }
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(name, key, value, segments_max)?;
                }
            }
        }
        Ok(())
    }
}

impl SparseRecords {
    fn set(&mut self, name: &[u8], key: &[u8], value: &[u8], segments_max: usize) -> Result<(), PaxError> {
        match name {
            b"major" => self.version.0 = number(key, value)?,
            b"minor" => self.version.1 = number(key, value)?,
            b"name" => self.path = Some(text(key, value)?),
            b"size" | b"realsize" => self.file_bytes = Some(number(key, value)?),
            b"offset" => self.offset = Some(number(key, value)?),
            b"numbytes" => {
                let bytes = number(key, value)?;
                let offset = self.offset.take().ok_or_else(|| PaxError::Number { key: lossy(key) })?;
                let segments = self.segments.get_or_insert_default();
                if segments.len() >= segments_max {
                    return Err(SparseError::TooMany { limit: segments_max }.into());
                }
                segments.push(Segment { offset, bytes });
            }
            // Version 0.0 tells the number of pairs first, be it none.
            b"numblocks" => drop(self.segments.get_or_insert_default()),
            b"map" => self.segments = Some(super::sparse::parse_list(value, segments_max)?),
            _ => {}
        }
        Ok(())
    }
}

fn for_each_record(bytes: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<(), PaxError>) -> Result<(), PaxError> {
    let mut rest = bytes;
    let mut ordinal = 0;
    while !rest.is_empty() {
        ordinal += 1;
        let (key, value, behind) = split_record(rest).ok_or(PaxError::Record { ordinal })?;
        each(key, value)?;
        rest = behind;
    }
    Ok(())
}

/// Splits `length key=value\n` off: the length counts the whole record, itself and the line feed included.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // Twenty digits hold any 64-bit number: no need to search further for the space.
    let space = bytes.iter().take(21).position(|byte| *byte == b' ')?;
    let length = usize::try_from(parse_decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, &bytes[length..]))
}

fn number(key: &[u8], value: &[u8]) -> Result<u64, PaxError> {
    parse_decimal(value).ok_or_else(|| PaxError::Number { key: lossy(key) })
}

fn text(key: &[u8], value: &[u8]) -> Result<Vec<u8>, PaxError> {
    if value.contains(&0) {
        return Err(PaxError::Nul { key: lossy(key) });
    }
    Ok(value.to_vec())
}

fn lossy(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::sample::pax_record as record;
    use proptest::prelude::*;

    fn parsed(records: &[(&str, &[u8])]) -> Result<Extended, PaxError> {
        let bytes: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut extended = Extended::default();
        extended.parse_entry(&bytes, 8).map(|()| extended)
    }

    #[test]
    fn known_keys_are_read_and_others_skipped() {
        let extended = parsed(&[
            ("path", b"a/b"),
            ("linkpath", b"c"),
            ("size", b"8589934592"),
            ("uid", b"70000"),
            ("mtime", b"-1.5"),
            ("comment", b"x"),
        ]);
        let expected = Extended {
            path: Some(b"a/b".to_vec()),
            link_target: Some(b"c".to_vec()),
            size: Some(8_589_934_592),
            uid: Some(70_000),
            mtime: Some(Timestamp {
                seconds: -2,
                nanoseconds: 500_000_000,
            }),
            ..Extended::default()
        };
        assert_eq!(extended, Ok(expected));
    }

    #[test]
    fn xattr_values_are_binary_and_the_last_one_holds() {
        let extended = parsed(&[
            ("SCHILY.xattr.user.a", b"old"),
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02=\n"),
            ("SCHILY.xattr.user.a", b"new"),
            ("SCHILY.xattr.user.gone", b"x"),
            ("SCHILY.xattr.user.gone", b""),
        ])
        .unwrap();
        let expected = BTreeMap::from([
            (b"user.a".to_vec(), b"new".to_vec()),
            (b"security.capability".to_vec(), b"\x01\0\0\x02=\n".to_vec()),
        ]);
        assert_eq!(extended.xattrs, expected);
    }

    #[test]
    fn an_empty_value_takes_the_global_one_back() {
        let mut extended = Extended::default();
        extended.parse_global(&record("uid", b"5")).unwrap();
        assert_eq!(extended.uid, Some(5));
        extended.parse_entry(&record("uid", b""), 0).unwrap();
        assert_eq!(extended.uid, None);
    }

    #[test]
    fn a_global_header_sets_no_path() {
        let refused = Extended::default().parse_global(&record("path", b"x"));
        assert_eq!(refused, Err(PaxError::Global { key: "path".to_owned() }));
    }

    #[test]
    fn pairs_and_lists_make_the_same_sparse_map() {
        let pairs = parsed(&[
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"0"),
            ("GNU.sparse.numbytes", b"5"),
            ("GNU.sparse.offset", b"4096"),
            ("GNU.sparse.numbytes", b"7"),
        ]);
        let list = parsed(&[("GNU.sparse.map", b"0,5,4096,7")]);
        assert_eq!(pairs.unwrap().sparse.segments, list.unwrap().sparse.segments);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"5 a=b"[..],
            b"x a=b\n",
            b"6 a=bb\n",
            b"7 a=b\n",
            b"6 =bc\n",
            b"5 ab\n",
            b"99999999999999999999999 a=b\n",
        ] {
            let refused = Extended::default().parse_entry(bytes, 0);
            assert_eq!(refused, Err(PaxError::Record { ordinal: 1 }), "{bytes:?}");
        }
        assert_eq!(
            parsed(&[("path", b"a\0b")]),
            Err(PaxError::Nul { key: "path".to_owned() })
        );
        assert_eq!(
            parsed(&[("uid", b"-1")]),
            Err(PaxError::Number { key: "uid".to_owned() })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Extended::default().parse_entry(&bytes, 4);
        }

        #[test]
        fn records_read_back(name in "[a-z.]{1,20}", value in proptest::collection::vec(any::<u8>(), 1..300)) {
            let extended = parsed(&[(&format!("SCHILY.xattr.{name}"), &value)]).unwrap();
            prop_assert_eq!(extended.xattrs, BTreeMap::from([(name.into_bytes(), value)]));
        }
    }
}
