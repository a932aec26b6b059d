//! Logs as they are written, torn, taken up and read.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use protocol::frame::Piece;
use protocol::guest::Stream;

use super::entry::Source;
use super::reader::{Position, Reader};
use super::segment::{self, Origin};
use super::store::{Key, Logs};
use super::writer::{Limits, Output, Writer};
use crate::ports::Sink;
use crate::record::Logging;

const SMALL: Limits = Limits {
    file_bytes_max: 1000,
    files_max: 4,
};

const LARGE: Limits = Limits {
    file_bytes_max: 1 << 20,
    files_max: 1000,
};

fn writer(directory: &Path, limits: Limits) -> Writer {
    let origin = Origin {
        task: "t".to_owned(),
        container: "c".to_owned(),
        group: "/g".to_owned(),
        stream: "c/t".to_owned(),
        created_ms: 1,
    };
    Writer::open(directory.to_owned(), origin, limits).unwrap()
}

const fn output(offset: u64, content: &[u8]) -> Output<'_> {
    Output {
        process: 1,
        source: Source::Stdout,
        offset,
        content,
    }
}

/// Everything that a reader finds, as text with a bar where a line has no end.
fn read(reader: Reader) -> Vec<String> {
    events(reader).into_iter().map(|(_, text)| text).collect()
}

fn events(mut reader: Reader) -> Vec<(Position, String)> {
    let mut events = vec![];
    while let Some(event) = reader.next_or_open(true).unwrap() {
        let end = if event.line.is_ended { "" } else { "|" };
        events.push((
            event.position,
            String::from_utf8_lossy(&event.line.bytes).into_owned() + end,
        ));
    }
    events
}

fn read_all(directory: &Path) -> Vec<String> {
    read(Reader::new(directory, Position::default()))
}

#[test]
fn nothing_is_made_before_the_first_output() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::new(directory.path().join("logs"), 1 << 20);
    let key = Key {
        task: "t".to_owned(),
        container: "c".to_owned(),
    };
    let sink = logs.open_sink(key.clone(), &Logging::default()).unwrap();
    assert!(!directory.path().join("logs").exists());
    assert_eq!(sink.received(), []);
    let error = logs.open_sink(key, &Logging::default()).unwrap_err();
    assert_eq!(error.to_string(), "the log of c is being written already");
}

#[test]
fn a_piece_that_comes_again_is_stored_once_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::new(directory.path().to_owned(), 1 << 20);
    let key = Key {
        task: "t".to_owned(),
        container: "c".to_owned(),
    };
    let open = || logs.open_sink(key.clone(), &Logging::default()).unwrap();
    let piece = |offset, content| Piece {
        process: 1,
        stream: Stream::Stdout,
        offset,
        content,
    };
    let sink = open();
    sink.write(&piece(0, b"hel")).unwrap();
    sink.write(&piece(0, b"hello")).unwrap();
    drop(sink);
    let sink = open();
    assert_eq!(sink.received()[0].offset, 5);
    sink.write(&piece(2, b"llo\n")).unwrap();
    sink.write(&piece(6, b"")).unwrap();
    sink.write(&piece(6, b"")).unwrap();
    drop(sink);
    assert_eq!(open().received()[0].offset, 7);
    assert_eq!(read_all(&logs.directory(&key)), ["hello"]);
}

#[tokio::test]
async fn a_follower_is_told_of_more_and_of_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::new(directory.path().to_owned(), 1 << 20);
    let key = Key {
        task: "t".to_owned(),
        container: "c".to_owned(),
    };
    let mut follower = logs.follow(key.clone());
    assert!(!follower.is_open());
    let sink = logs.open_sink(key.clone(), &Logging::default()).unwrap();
    follower.changed().await;
    assert!(follower.is_open());
    let mut reader = Reader::new(&logs.directory(&key), Position::default());
    assert_eq!(reader.next_event().unwrap(), None);
    let piece = Piece {
        process: 1,
        stream: Stream::Stderr,
        offset: 0,
        content: b"a\nb",
    };
    sink.write(&piece).unwrap();
    follower.changed().await;
    assert!(follower.is_open());
    assert_eq!(reader.next_event().unwrap().unwrap().line.bytes, b"a");
    assert_eq!(reader.next_event().unwrap(), None);
    drop(sink);
    follower.changed().await;
    assert!(!follower.is_open());
    assert_eq!(reader.next_or_open(true).unwrap().unwrap().line.bytes, b"b");
}

#[test]
fn the_oldest_output_makes_room_and_lines_survive_the_change_of_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path(), SMALL);
    let mut follower = Reader::new(directory.path(), Position::default());
    let mut followed = vec![];
    let mut offset = 0;
    for number in 0..500 {
        let line = format!("{number:05} {}\n", "x".repeat(number % 90));
        let (first, second) = line.as_bytes().split_at(line.len() / 2);
        writer.write(number as u64, output(offset, first)).unwrap();
        writer
            .write(number as u64, output(offset + first.len() as u64, second))
            .unwrap();
        offset += line.len() as u64;
        while let Some(event) = follower.next_event().unwrap() {
            followed.push(String::from_utf8(event.line.bytes).unwrap());
        }
    }
    assert_eq!(followed.len(), 500, "who follows misses nothing");
    let numbers = segment::numbers(directory.path()).unwrap();
    assert_eq!(numbers.len(), 4);
    let left = read_all(directory.path());
    assert_eq!(left, followed[500 - left.len()..], "each file begins with whole lines");
    assert!((10..60).contains(&left.len()));
}

#[test]
fn a_read_may_begin_at_any_event_or_so_many_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path(), Limits { files_max: 99, ..SMALL });
    let mut offset = 0;
    for number in 0..200 {
        let text = if number % 3 == 0 {
            format!("{number}\n{number}a\nopen")
        } else {
            format!("{number}\n")
        };
        writer.write(number, output(offset, text.as_bytes())).unwrap();
        offset += text.len() as u64;
    }
    writer.write(200, output(offset, b"last")).unwrap();
    let all = events(Reader::new(directory.path(), Position::default()));
    assert!(all.is_sorted_by_key(|(position, _)| *position));
    assert_eq!(all.last().unwrap().1, "last|");
    for (at, (position, _)) in all.iter().enumerate().step_by(3) {
        assert_eq!(events(Reader::new(directory.path(), *position)), all[at..]);
    }
    for count in [0, 1, 7, 100, 10_000] {
        let last = Reader::last(directory.path(), count, Position::END, true).unwrap();
        assert_eq!(events(last), all[all.len().saturating_sub(count)..]);
        let end = all[150].0;
        let mut before = Reader::last(directory.path(), count, end, true).unwrap();
        let first = before.next_event().unwrap().unwrap().position;
        assert_eq!(first, all[150usize.saturating_sub(count)].0);
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path(), SMALL);
    writer.write(1, output(0, b"a\n")).unwrap();
    // A directory where the next file would be prepared fails the change of files, as a disk without room does.
    fs::create_dir(directory.path().join("next")).unwrap();
    let long = vec![b'x'; 2000];
    assert!(writer.write(1, output(2, &long)).is_err());
    assert_eq!(writer.positions().received()[0].offset, 2);
    writer.write(1, output(2, b"b\n")).unwrap();
    fs::remove_dir(directory.path().join("next")).unwrap();
    writer.write(1, output(4, &long)).unwrap();
    assert_eq!(read_all(directory.path())[..2], ["a", "b"]);
    assert_eq!(writer.positions().received()[0].offset, 2004);
}

/// Writes pieces, cuts the last file after `len` bytes, and checks that what was whole is there and that writing goes on.
fn check_torn(pieces: &[&str], limits: Limits, len: impl Fn(u64) -> u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut offset = 0;
    let mut before = writer(path, limits);
    for piece in pieces {
        before.write(1, output(offset, piece.as_bytes())).unwrap();
        offset += piece.len() as u64;
    }
    drop(before);
    let last = *segment::numbers(path).unwrap().last().unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(segment::path(path, last))
        .unwrap();
    file.set_len(len(file.metadata().unwrap().len())).unwrap();
    let mut after = writer(path, limits);
    let stored = after
        .positions()
        .received()
        .first()
        .map_or(0, |received| received.offset);
    let whole = pieces.concat();
    let stored = usize::try_from(stored).unwrap();
    // Nothing that was stored comes twice, nothing that was not is missing.
    after.write(2, output(0, whole.as_bytes())).unwrap();
    after.write(2, output(offset, b"end\n")).unwrap();
    let text: String = read_all(path).iter().map(|line| line.clone() + "\n").collect();
    assert!(whole.is_char_boundary(stored));
    assert_eq!(text, whole + "end\n");
}

#[test]
fn a_file_that_ends_anywhere_is_taken_up() {
    let pieces = ["one\n", "tw", "o\nthree\n", "x", "\n"];
    let directory = tempfile::tempdir().unwrap();
    let mut whole = writer(directory.path(), LARGE);
    let mut offset = 0;
    for piece in pieces {
        whole.write(1, output(offset, piece.as_bytes())).unwrap();
        offset += piece.len() as u64;
    }
    let len = fs::metadata(segment::path(directory.path(), 1)).unwrap().len();
    for cut in 0..=len {
        check_torn(&pieces, LARGE, |_| cut);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_output_survives_any_end(
        lines in proptest::collection::vec("[a-z]{0,40}\n", 1..60),
        cuts in proptest::collection::vec(1..30usize, 1..200),
        file_bytes_max in 200..2000u64,
        end: prop::sample::Index,
    ) {
        let text = lines.concat();
        let mut rest = text.as_str();
        let mut pieces = vec![];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, next) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = next;
        }
        let limits = Limits { file_bytes_max, files_max: 1000 };
        check_torn(&pieces, limits, |len| u64::try_from(end.index(usize::try_from(len).unwrap() + 1)).unwrap());
    }
}
