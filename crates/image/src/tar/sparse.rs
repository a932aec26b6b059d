//! Maps of sparse files: which parts of the file are in the archive, the rest being zeros.
//!
//! The old GNU header and PAX versions 0.0, 0.1 and 1.0 differ only in where the numbers stand
//! (GNU tar manual, "Storing Sparse Files").

use super::header::Block;
use super::number::{parse_decimal, parse_field};

/// A piece of the file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it starts.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

/// Why a map is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SparseError {
    /// A number of the map is none.
    #[error("not a number")]
    Number,
    /// A list of offsets and lengths has an odd number of members.
    #[error("an offset without a length")]
    Odd,
    /// More segments than the limit.
    #[error("more than {limit} segments")]
    TooMany {
        /// The limit in force.
        limit: usize,
    },
    /// Segments overlap, run backwards or leave the file.
    #[error("segments overlap or leave the file")]
    Order,
    /// The archive holds more or less data than the map places.
    #[error("the map places {mapped} bytes but the archive holds {stored}")]
    Length {
        /// Sum of the segments.
        mapped: u64,
        /// Bytes behind the header.
        stored: u64,
    },
    /// The file's own size is told nowhere.
    #[error("the file's size is missing")]
    SizeMissing,
}

/// Reads `offset,length,offset,length…` (PAX 0.1).
pub fn parse_list(list: &[u8], segments_max: usize) -> Result<Vec<Segment>, SparseError> {
    let mut segments = Vec::new();
    let mut numbers = list.split(|byte| *byte == b',');
    while let Some(offset) = numbers.next() {
        let bytes = numbers.next().ok_or(SparseError::Odd)?;
        if segments.len() >= segments_max {
            return Err(SparseError::TooMany { limit: segments_max });
        }
        let number = |text| parse_decimal(text).ok_or(SparseError::Number);
        segments.push(Segment {
            offset: number(offset)?,
            bytes: number(bytes)?,
        });
    }
    Ok(segments)
}

/// What an old GNU sparse header (type `S`) or one of its extension blocks says.
#[derive(Debug, PartialEq, Eq)]
pub struct OldGnu {
    /// The segments in this block.
    pub segments: Vec<Segment>,
    /// Whether an extension block follows.
    pub is_extended: bool,
}

/// Reads the four segments in an old GNU header.
pub fn parse_old_header(block: &Block) -> Result<OldGnu, SparseError> {
    Ok(OldGnu {
        segments: parse_old_segments(&block[386..482])?,
        is_extended: block[482] != 0,
    })
}

/// Reads the file's size from an old GNU header.
pub fn parse_old_file_bytes(block: &Block) -> Result<u64, SparseError> {
    field(&block[483..495])
}

/// Reads the twenty-one segments in an extension block.
pub fn parse_old_extension(block: &Block) -> Result<OldGnu, SparseError> {
    Ok(OldGnu {
        segments: parse_old_segments(&block[..504])?,
        is_extended: block[504] != 0,
    })
}

fn parse_old_segments(bytes: &[u8]) -> Result<Vec<Segment>, SparseError> {
    // An entry that starts with NUL ends the list.
    let used = bytes.chunks_exact(24).take_while(|entry| entry[0] != 0);
    used.map(|entry| {
        Ok(Segment {
            offset: field(&entry[..12])?,
            bytes: field(&entry[12..])?,
        })
    })
    .collect()
}

fn field(bytes: &[u8]) -> Result<u64, SparseError> {
    parse_field(bytes)
        .and_then(|value| u64::try_from(value).ok())
        .ok_or(SparseError::Number)
}

/// The map in front of the data (PAX 1.0), fed line by line as it streams in.
#[derive(Debug)]
pub struct LineMap {
    expected: Option<u64>,
    offset: Option<u64>,
    segments: Vec<Segment>,
    segments_max: usize,
}

impl LineMap {
    /// A map of which nothing is read yet.
    pub fn new(segments_max: usize) -> Self {
        Self {
            expected: None,
            offset: None,
            segments: Vec::new(),
            segments_max,
        }
    }

    /// Takes one line, without its line feed: first the number of segments, then offset and length of each.
    pub fn push(&mut self, line: &[u8]) -> Result<(), SparseError> {
        let number = parse_decimal(line).ok_or(SparseError::Number)?;
        if self.expected.is_none() {
            if usize::try_from(number).is_ok_and(|number| number <= self.segments_max) {
                self.expected = Some(number);
                return Ok(());
            }
            return Err(SparseError::TooMany {
                limit: self.segments_max,
            });
        }
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => self.segments.push(Segment { offset, bytes: number }),
        }
        Ok(())
    }

    /// Whether all segments are there.
    pub fn is_complete(&self) -> bool {
        self.expected
            .is_some_and(|expected| self.segments.len() as u64 >= expected)
    }

    /// The segments.
    pub fn into_segments(self) -> Vec<Segment> {
        self.segments
    }
}

/// Checks that segments follow one another inside the file and take exactly what the archive holds.
pub fn verify(segments: &[Segment], file_bytes: u64, stored_bytes: u64) -> Result<(), SparseError> {
    let mut end = 0_u64;
    let mut mapped = 0_u64;
    for segment in segments {
        let segment_end = segment.offset.checked_add(segment.bytes).ok_or(SparseError::Order)?;
        if segment.offset < end || segment_end > file_bytes {
            return Err(SparseError::Order);
        }
        end = segment_end;
        // Cannot overflow: the segments do not overlap and end at `segment_end`.
        mapped += segment.bytes;
    }
    if mapped == stored_bytes {
        Ok(())
    } else {
        Err(SparseError::Length {
            mapped,
            stored: stored_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segments(pairs: &[(u64, u64)]) -> Vec<Segment> {
        pairs
            .iter()
            .map(|(offset, bytes)| Segment {
                offset: *offset,
                bytes: *bytes,
            })
            .collect()
    }

    #[test]
    fn lists_are_pairs() {
        assert_eq!(parse_list(b"0,5,10,5", 2), Ok(segments(&[(0, 5), (10, 5)])));
        assert_eq!(parse_list(b"0,5,10", 2), Err(SparseError::Odd));
        assert_eq!(parse_list(b"0,x", 2), Err(SparseError::Number));
        assert_eq!(parse_list(b"0,5,10,5", 1), Err(SparseError::TooMany { limit: 1 }));
    }

    #[test]
    fn lines_are_a_count_and_pairs() {
        let mut map = LineMap::new(2);
        for line in ["2", "0", "5", "10", "6"] {
            assert!(!map.is_complete());
            map.push(line.as_bytes()).unwrap();
        }
        assert!(map.is_complete());
        assert_eq!(map.into_segments(), segments(&[(0, 5), (10, 6)]));
        assert_eq!(LineMap::new(2).push(b"3"), Err(SparseError::TooMany { limit: 2 }));
    }

    #[test]
    fn a_map_of_lies_is_refused() {
        for (pairs, file_bytes, stored, result) in [
            (&[(0, 5), (10, 5)][..], 20, 10, Ok(())),
            (&[(20, 0)], 20, 0, Ok(())),
            (&[(0, 5), (4, 5)], 20, 10, Err(SparseError::Order)),
            (&[(10, 5), (0, 5)], 20, 10, Err(SparseError::Order)),
            (&[(0, 21)], 20, 21, Err(SparseError::Order)),
            (&[(u64::MAX, 2)], u64::MAX, 2, Err(SparseError::Order)),
            (&[(0, 5)], 20, 6, Err(SparseError::Length { mapped: 5, stored: 6 })),
        ] {
            assert_eq!(verify(&segments(pairs), file_bytes, stored), result, "{pairs:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 512)) {
            let block: &Block = bytes.as_slice().try_into().unwrap();
            let _ = (parse_old_header(block), parse_old_file_bytes(block), parse_old_extension(block));
            let _ = parse_list(&bytes, 4);
        }
    }
}
