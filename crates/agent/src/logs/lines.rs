//! From the pieces of streams to lines, as events of a log are.
//!
//! A line becomes an event when its end is there; so the order of events is that of their ends, and never changes. A line that is longer than
//! [`LINE_LEN_MAX`] is several events. What a stream ends with without a line's end is an event when the stream ends.

use super::entry::Source;

/// The most bytes of an event: what CloudWatch Logs takes, less the 26 bytes that it counts for each.
pub const LINE_LEN_MAX: usize = (256 << 10) - 26;

/// A line, or a part of a very long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, without the end of the line.
    pub bytes: Vec<u8>,
    /// Whether it ended with an end of a line, and not with its stream or with [`LINE_LEN_MAX`].
    pub is_ended: bool,
}

/// The lines that have begun and have not ended.
#[derive(Debug, Default)]
pub struct OpenLines {
    open: Vec<Open>,
}

/// A line that has begun.
#[derive(Debug)]
pub struct Open {
    /// Whose.
    pub process: u32,
    /// Which stream's.
    pub source: Source,
    /// What there is of it, not nothing.
    pub bytes: Vec<u8>,
}

impl OpenLines {
    /// Takes from the front of `content` until a line has ended, and returns that.
    pub fn next(&mut self, process: u32, source: Source, content: &mut &[u8]) -> Option<Line> {
        if content.is_empty() {
            return None;
        }
        let open = self.open(process, source);
        let room = LINE_LEN_MAX - open.len();
        // One byte more than there is room for: it may be the end of a line that just fits.
        let window = &content[..content.len().min(room + 1)];
        if let Some(len) = window.iter().position(|byte| *byte == b'\n') {
            open.extend_from_slice(&window[..len]);
            *content = &content[len + 1..];
            return Some(Line {
                bytes: self.close(process, source),
                is_ended: true,
            });
        }
        if window.len() <= room {
            open.extend_from_slice(window);
            *content = &[];
            return None;
        }
        open.extend_from_slice(&window[..room]);
        *content = &content[room..];
        let rest = open.split_off(characters_len(open));
        let bytes = std::mem::replace(open, rest);
        self.open.retain(|open| !open.bytes.is_empty());
        Some(Line { bytes, is_ended: false })
    }

    /// The stream has ended: what there is of its last line.
    pub fn end(&mut self, process: u32, source: Source) -> Option<Line> {
        let bytes = self.close(process, source);
        (!bytes.is_empty()).then_some(Line { bytes, is_ended: false })
    }

    /// There will be nothing more: what there is of any line.
    pub fn end_any(&mut self) -> Option<Open> {
        (!self.open.is_empty()).then(|| self.open.remove(0))
    }

    /// The line is known to have begun with `bytes`.
    pub fn carry(&mut self, process: u32, source: Source, bytes: &[u8]) {
        let open = self.open(process, source);
        open.clear();
        open.extend_from_slice(&bytes[..bytes.len().min(LINE_LEN_MAX)]);
        self.open.retain(|open| !open.bytes.is_empty());
    }

    /// The lines that have begun.
    #[must_use]
    pub fn all(&self) -> &[Open] {
        &self.open
    }

    /// The bytes of an open line, which may be new.
    fn open(&mut self, process: u32, source: Source) -> &mut Vec<u8> {
        let found = self
            .open
            .iter()
            .position(|open| open.process == process && open.source == source);
        let at = found.unwrap_or_else(|| {
            let bytes = vec![];
            self.open.push(Open { process, source, bytes });
            self.open.len() - 1
        });
        &mut self.open[at].bytes
    }

    fn close(&mut self, process: u32, source: Source) -> Vec<u8> {
        let found = self
            .open
            .iter()
            .position(|open| open.process == process && open.source == source);
        found.map_or_else(Vec::new, |at| self.open.remove(at).bytes)
    }
}

/// How much of `bytes` there is up to the last place where UTF-8 text may be cut; all of it where it is none.
fn characters_len(bytes: &[u8]) -> usize {
    const CHARACTER_LEN_MAX: usize = 4;
    let is_start = |byte: u8| byte & 0xc0 != 0x80;
    let tail = bytes.len().saturating_sub(CHARACTER_LEN_MAX);
    let Some(last) = (tail..bytes.len()).rev().find(|at| is_start(bytes[*at])) else {
        return bytes.len();
    };
    match std::str::from_utf8(&bytes[last..]) {
        Err(error) if error.error_len().is_none() && last > 0 => last,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of pieces of one stream, each with whether it ended with a line's end.
    fn lines(pieces: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut open = OpenLines::default();
        let mut lines = vec![];
        for mut piece in pieces.iter().copied() {
            while let Some(line) = open.next(1, Source::Stdout, &mut piece) {
                lines.push((line.bytes, line.is_ended));
            }
            assert!(piece.is_empty());
        }
        lines.extend(open.end(1, Source::Stdout).map(|line| (line.bytes, line.is_ended)));
        assert!(open.all().is_empty());
        lines
    }

    fn check(pieces: &[&str], expected: &[(&str, bool)]) {
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(text, is_ended)| (text.as_bytes().to_vec(), *is_ended))
            .collect();
        assert_eq!(lines(&pieces), expected);
    }

    #[test]
    fn a_line_may_come_in_pieces_and_a_piece_may_hold_lines() {
        check(&["a", "b\nc\n", "\n"], &[("ab", true), ("c", true), ("", true)]);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        check(&["a\nb"], &[("a", true), ("b", false)]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "x".repeat(LINE_LEN_MAX - 1) + "é" + "y\n";
        check(&[&long], &[(&"x".repeat(LINE_LEN_MAX - 1), false), ("éy", true)]);
        let fits = "x".repeat(LINE_LEN_MAX) + "\n";
        check(&[&fits], &[(&fits[..LINE_LEN_MAX], true)]);
    }

    #[test]
    fn streams_do_not_mix() {
        let mut open = OpenLines::default();
        assert_eq!(open.next(1, Source::Stdout, &mut b"a".as_slice()), None);
        assert_eq!(open.next(1, Source::Stderr, &mut b"b".as_slice()), None);
        let line = open.next(1, Source::Stdout, &mut b"c\n".as_slice()).unwrap();
        assert_eq!(line.bytes, b"ac");
        assert_eq!(open.end_any().unwrap().bytes, b"b");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_however_it_comes(pieces in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..20), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mut joined = vec![];
            for (bytes, is_ended) in lines(&pieces) {
                joined.extend(bytes);
                joined.extend(is_ended.then_some(b'\n'));
            }
            prop_assert_eq!(&joined, &pieces.concat());
            prop_assert_eq!(lines(&pieces), lines(&[&joined]));
        }
    }
}
