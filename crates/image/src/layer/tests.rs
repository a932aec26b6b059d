//! Tests of the conversion over archives made by hand.

use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::{Attributes, BLOCK_BYTES, Change, Content, Entry, Extent, Inode, LayerError, Packed, convert};
use crate::limits::Limits;
use crate::tar::Timestamp;
use crate::tar::sample::{Archive, HeaderBlock};

/// What a conversion gave.
#[derive(Debug)]
struct Layer {
    data_blocks: u64,
    entries: Vec<Entry>,
}

fn tried(stream: &[u8], data: &mut File, limits: &Limits) -> Result<Layer, LayerError> {
    let mut entries = Vec::new();
    let keep = |entry| {
        entries.push(entry);
        Ok(())
    };
    let data_blocks = convert(stream, data, limits, None, keep)?;
    Ok(Layer { data_blocks, entries })
}

#[test]
fn small_files_are_packed_behind_what_is_given() {
    let head = |attributes: &Attributes, bytes: u64| format!("{:o} {bytes}:", attributes.mode).into_bytes();
    let large = vec![b'x'; 2048];
    let archive = Archive::new()
        .file("a", b"one")
        .file("b", &large)
        .file("c", b"")
        .file("d", b"two");
    let mut data = tempfile::tempfile().unwrap();
    let mut contents = Vec::new();
    let keep = |entry: Entry| {
        if let Change::Put(inode) = entry.change {
            contents.push(inode.content);
        }
        Ok(())
    };
    let blocks = convert(
        archive.finish().as_slice(),
        &mut data,
        &Limits::default(),
        Some(head),
        keep,
    )
    .unwrap();
    assert_eq!(blocks, 2);
    let (first, second) = (Packed { slot: 0, bytes: 3 }, Packed { slot: 1, bytes: 3 });
    let (file, empty) = (Extent { block: 1, bytes: 2048 }, Extent::default());
    let expected = [
        Content::Packed(first),
        Content::File(file),
        Content::File(empty),
        Content::Packed(second),
    ];
    assert_eq!(contents, expected);
    let mut block = [0; 64];
    data.read_exact_at(&mut block, 0).unwrap();
    assert!(
        block.starts_with(b"644 3:one\0") && block[32..].starts_with(b"644 3:two\0"),
        "{block:?}"
    );
}

fn converted(archive: Archive) -> (Layer, File) {
    let mut data = tempfile::tempfile().unwrap();
    let index = tried(&archive.finish(), &mut data, &Limits::default()).unwrap();
    assert_eq!(data.metadata().unwrap().len(), index.data_blocks * BLOCK_BYTES);
    (index, data)
}

fn refused(archive: Archive, limits: &Limits) -> String {
    let mut data = tempfile::tempfile().unwrap();
    let error = tried(&archive.finish(), &mut data, limits).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn contents(data: &File, entry: &Entry) -> Vec<u8> {
    let Change::Put(Inode {
        content: Content::File(extent),
        ..
    }) = &entry.change
    else {
        panic!("{entry:?} is no file");
    };
    let mut bytes = vec![0; usize::try_from(extent.bytes).unwrap()];
    data.read_exact_at(&mut bytes, extent.block * BLOCK_BYTES).unwrap();
    bytes
}

fn paths(index: &Layer) -> Vec<&str> {
    index
        .entries
        .iter()
        .map(|entry| std::str::from_utf8(&entry.path).unwrap())
        .collect()
}

#[test]
fn entries_keep_the_order_of_the_archive() {
    let (index, data) = converted(
        Archive::new()
            .directory("./")
            .file("./b", b"two")
            .file("/a", b"one")
            .directory("d/")
            .symlink("d/s", "../a"),
    );
    assert_eq!(paths(&index), ["", "b", "a", "d", "d/s"]);
    assert_eq!(contents(&data, &index.entries[1]), b"two");
    assert_eq!(contents(&data, &index.entries[2]), b"one");
}

#[test]
fn identical_files_share_their_blocks() {
    let (index, data) = converted(Archive::new().file("a", b"same").file("b", b"diff").file("c", b"same"));
    assert_eq!(index.data_blocks, 2);
    assert_eq!(contents(&data, &index.entries[2]), b"same");
}

#[test]
fn whiteouts_are_kept_as_what_they_are() {
    let (index, _) = converted(
        Archive::new()
            .file("d/.wh.gone", b"")
            .file(".wh.top", b"")
            .file("d/.wh..wh..opq", b"")
            .file(".wh..wh..opq", b"")
            .file(".wh..wh.plnk", b"")
            .directory(".wh..wh.aufs/")
            .file(".wh..wh.orph/x", b""),
    );
    let changes: Vec<_> = index
        .entries
        .iter()
        .map(|entry| (entry.path.as_ref(), &entry.change))
        .collect();
    let expected: &[(&[u8], &Change)] = &[
        (b"d/gone", &Change::Whiteout),
        (b"top", &Change::Whiteout),
        (b"d", &Change::Opaque),
        (b"", &Change::Opaque),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn attributes_are_exact() {
    let mut header = HeaderBlock::new(b'0', "a", 0);
    header
        .put(100, b"0104755\0")
        .put(108, &[0x80, 0, 0, 0, 0x70, 0, 0, 1])
        .put(116, b"0000012\0");
    header.put(136, &[0xff; 12]);
    let archive = Archive::new().raw(header, b"").pax(
        b'x',
        &[
            ("mtime", b"1700000000.000000001"),
            ("SCHILY.xattr.security.capability", b"\0\xff\n="),
        ],
    );
    let (index, _) = converted(archive.symlink("l", "t"));
    let Change::Put(Inode { attributes, .. }) = &index.entries[0].change else {
        panic!()
    };
    assert_eq!(
        (attributes.mode, attributes.uid, attributes.gid),
        (0o4755, 0x7000_0001, 10)
    );
    assert_eq!(
        attributes.mtime,
        Timestamp {
            seconds: -1,
            nanoseconds: 0
        }
    );
    let Change::Put(Inode { attributes, .. }) = &index.entries[1].change else {
        panic!()
    };
    assert_eq!(attributes.mode, 0o777);
    assert_eq!(
        attributes.mtime,
        Timestamp {
            seconds: 1_700_000_000,
            nanoseconds: 1
        }
    );
    assert_eq!(attributes.xattrs[0].value.as_ref(), b"\0\xff\n=");
}

#[test]
fn sparse_files_are_expanded() {
    let sparse = |map: &[u8]| {
        Archive::new()
            .pax(b'x', &[("GNU.sparse.size", b"9000"), ("GNU.sparse.map", map)])
            .file("s", b"abc")
    };
    let (index, data) = converted(sparse(b"2,2,8999,1"));
    let mut expected = vec![0; 9000];
    expected[2..4].copy_from_slice(b"ab");
    expected[8999] = b'c';
    assert_eq!(contents(&data, &index.entries[0]), expected);
    assert_eq!(index.data_blocks, 3);
}

#[test]
fn hard_links_lose_their_own_attributes() {
    let (index, _) = converted(Archive::new().file("a", b"x").hard_link("b", "./a"));
    assert_eq!(index.entries[1].change, Change::HardLink { target: (*b"a").into() });
}

#[test]
fn bad_entries_are_named() {
    let limits = Limits::default();
    let long_name = "n".repeat(256);
    for (archive, message) in [
        (
            Archive::new().file("a/../b", b""),
            "layer has an entry with a bad path: path \"a/../b\" has a \"..\" component",
        ),
        (
            Archive::new().hard_link("b", "../a"),
            "layer has an entry with a bad path: path \"../a\" has a \"..\" component",
        ),
        (
            Archive::new().file("./", b""),
            "layer entry \"\": the root must be a directory",
        ),
        (
            Archive::new().hard_link("b", "/"),
            "layer entry \"b\": hard link to the root",
        ),
        (
            Archive::new().symlink("s", ""),
            "layer entry \"s\": symbolic link with an empty, too long or malformed target",
        ),
        (
            Archive::new().file("d/.wh.", b""),
            "layer entry \"d/.wh.\": whiteout of no name",
        ),
        (
            Archive::new().file("d/.wh...", b""),
            "layer entry \"d/.wh...\": whiteout of no name",
        ),
        (
            Archive::new()
                .pax(b'x', &[(&format!("SCHILY.xattr.{long_name}"), b"v")])
                .file("a", b""),
            "layer entry \"a\": extended attribute with an empty or too long name, or too large",
        ),
    ] {
        assert_eq!(refused(archive, &limits), message);
    }
}

#[test]
fn limits_are_kept() {
    let limits = Limits {
        entries: 2,
        data_bytes: 10,
        index_bytes: 20,
        ..Limits::default()
    };
    let archive = Archive::new().file("a", b"").file("b", b"").file("c", b"");
    assert_eq!(refused(archive, &limits), "layer has more than 2 entries");
    let archive = Archive::new().file("a", b"123456").file("b", b"78901");
    assert_eq!(
        refused(archive, &limits),
        "layer has more than 10 bytes of file contents"
    );
    let bomb = Archive::new().pax(
        b'x',
        &[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,0")],
    );
    assert_eq!(
        refused(bomb.file("s", b""), &limits),
        "layer has more than 10 bytes of file contents"
    );
    let archive = Archive::new().file("a-long-enough-path-name", b"");
    assert_eq!(
        refused(archive, &limits),
        "layer has more than 20 bytes of paths and attributes"
    );
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_index_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut data = tempfile::tempfile().unwrap();
        let _ = tried(&bytes, &mut data, &Limits::default());
    }

    #[test]
    fn contents_survive(files in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6000), 0..8)) {
        let mut archive = Archive::new();
        for (at, bytes) in files.iter().enumerate() {
            archive = archive.file(&at.to_string(), bytes);
        }
        let (index, data) = converted(archive);
        for (entry, bytes) in index.entries.iter().zip(&files) {
            prop_assert_eq!(&contents(&data, entry), bytes);
        }
    }
}
