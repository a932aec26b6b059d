//! What log files are made of: entries, each with its own check value, so that one that was torn by a sudden end is known and cut off.
//!
//! All numbers are little endian: content length `u32`, CRC-32 of everything else `u32`, time `u64`, stream offset `u64`, process `u32`, kind `u8`,
//! three bytes of zero, content.

use protocol::guest::Stream;

/// Bytes of an entry before its content.
pub const HEADER_LEN: usize = 32;

/// The most content of an entry, in bytes.
pub const CONTENT_LEN_MAX: usize = 512 << 10;

/// Which output stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Standard output, or what a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    /// The source that a guest's stream is, if it is output.
    #[must_use]
    pub const fn of(stream: Stream) -> Option<Self> {
        match stream {
            Stream::Stdin => None,
            Stream::Stdout => Some(Self::Stdout),
            Stream::Stderr => Some(Self::Stderr),
        }
    }

    /// The guest's name for it.
    #[must_use]
    pub const fn stream(self) -> Stream {
        match self {
            Self::Stdout => Stream::Stdout,
            Self::Stderr => Stream::Stderr,
        }
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of each file: what came before it, and whose it is.
    Heading,
    /// Bytes of a stream.
    Bytes(Source),
    /// The stream has ended.
    End(Source),
    /// The line that was open when the file before this one was left: repeated for those who begin to read here.
    Carried(Source),
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Heading => 0,
            Self::Bytes(Source::Stdout) => 1,
            Self::Bytes(Source::Stderr) => 2,
            Self::End(Source::Stdout) => 3,
            Self::End(Source::Stderr) => 4,
            Self::Carried(Source::Stdout) => 5,
            Self::Carried(Source::Stderr) => 6,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Heading,
            1 => Self::Bytes(Source::Stdout),
            2 => Self::Bytes(Source::Stderr),
            3 => Self::End(Source::Stdout),
            4 => Self::End(Source::Stderr),
            5 => Self::Carried(Source::Stdout),
            6 => Self::Carried(Source::Stderr),
            _ => return None,
        })
    }
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was written, in milliseconds since the Unix epoch; never before that of an earlier entry.
    pub time_ms: u64,
    /// What it says.
    pub kind: Kind,
    /// Whose stream.
    pub process: u32,
    /// How many bytes of the stream come before.
    pub offset: u64,
    /// At most [`CONTENT_LEN_MAX`] bytes.
    pub content: &'a [u8],
}

impl Entry<'_> {
    /// Everything but its content.
    #[must_use]
    pub const fn head(&self) -> Entry<'static> {
        Entry {
            time_ms: self.time_ms,
            kind: self.kind,
            process: self.process,
            offset: self.offset,
            content: &[],
        }
    }

    /// How long it is in a file.
    #[must_use]
    pub const fn file_len(&self) -> usize {
        HEADER_LEN + self.content.len()
    }

    /// Appends it to `file`.
    pub fn append_to(&self, file: &mut Vec<u8>) {
        debug_assert!(self.content.len() <= CONTENT_LEN_MAX, "an entry is too long");
        let len = u32::try_from(self.content.len()).unwrap_or(u32::MAX);
        let start = file.len();
        file.extend_from_slice(&len.to_le_bytes());
        file.extend_from_slice(&[0; 4]);
        file.extend_from_slice(&self.time_ms.to_le_bytes());
        file.extend_from_slice(&self.offset.to_le_bytes());
        file.extend_from_slice(&self.process.to_le_bytes());
        file.extend_from_slice(&[self.kind.number(), 0, 0, 0]);
        file.extend_from_slice(self.content);
        let check = check_value(&file[start..]);
        file[start + 4..start + 8].copy_from_slice(&check.to_le_bytes());
    }
}

/// What a file's bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// An entry.
    Entry(Entry<'a>),
    /// The beginning of an entry: at least so many bytes are needed to know.
    Incomplete(usize),
    /// Something else: torn, or not written by us.
    Invalid,
}

/// Takes the first entry of `bytes`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        return Parsed::Incomplete(HEADER_LEN);
    };
    let len = usize::try_from(u32_at(header, 0)).unwrap_or(usize::MAX);
    if len > CONTENT_LEN_MAX {
        return Parsed::Invalid;
    }
    let Some(whole) = bytes.get(..HEADER_LEN + len) else {
        return Parsed::Incomplete(HEADER_LEN + len);
    };
    match Kind::from_number(header[28]) {
        Some(kind) if check_value(whole) == u32_at(header, 4) => Parsed::Entry(Entry {
            time_ms: u64_at(header, 8),
            kind,
            process: u32_at(header, 24),
            offset: u64_at(header, 16),
            content: &whole[HEADER_LEN..],
        }),
        _ => Parsed::Invalid,
    }
}

/// The CRC-32 of an entry without the four bytes that hold it.
fn check_value(entry: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&entry[..4]);
    hasher.update(&entry[8..]);
    hasher.finalize()
}

fn u32_at(header: &[u8; HEADER_LEN], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(header: &[u8; HEADER_LEN], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        (0..7u8).prop_map(|number| Kind::from_number(number).unwrap())
    }

    proptest! {
        #[test]
        fn an_entry_survives_its_bytes(
            time_ms: u64, kind in kinds(), process: u32, offset: u64,
            content in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let entry = Entry { time_ms, kind, process, offset, content: &content };
            let mut file = vec![];
            entry.append_to(&mut file);
            prop_assert_eq!(file.len(), entry.file_len());
            prop_assert_eq!(parse(&file), Parsed::Entry(entry));
            for len in 0..file.len() {
                prop_assert!(matches!(parse(&file[..len]), Parsed::Incomplete(wanted) if wanted > len && wanted <= file.len()));
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(content in proptest::collection::vec(any::<u8>(), 0..99), at: prop::sample::Index, bit in 0..8u32) {
            let mut file = vec![];
            Entry { time_ms: 1, kind: Kind::Heading, process: 0, offset: 0, content: &content }.append_to(&mut file);
            let at = at.index(file.len());
            file[at] ^= 1u8 << bit;
            prop_assert!(!matches!(parse(&file), Parsed::Entry(_)));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
