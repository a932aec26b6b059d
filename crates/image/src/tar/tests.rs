//! Tests of the tar reader over archives made by hand.

use proptest::prelude::*;

use super::header::{BLOCK_BYTES, HeaderError};
use super::sample::{Archive, HeaderBlock};
use super::sparse::Segment;
use super::{Member, MemberKind, Reader, TarError};
use crate::limits::Limits;

/// Members with their data as stored.
fn read(bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, TarError> {
    let mut reader = Reader::new(bytes, &Limits::default());
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut data = vec![0; stored_bytes(&member)];
        reader.read_data(&mut data)?;
        members.push((member, data));
    }
    reader.drain()?;
    Ok(members)
}

fn stored_bytes(member: &Member) -> usize {
    let bytes = match &member.kind {
        MemberKind::Regular {
            segments: Some(segments),
            ..
        } => segments.iter().map(|segment| segment.bytes).sum(),
        MemberKind::Regular {
            file_bytes,
            segments: None,
        } => *file_bytes,
        _ => 0,
    };
    usize::try_from(bytes.min(1 << 20)).unwrap()
}

fn only(bytes: &[u8]) -> (Member, Vec<u8>) {
    let mut members = read(bytes).unwrap();
    assert_eq!(members.len(), 1);
    members.remove(0)
}

#[test]
fn members_come_in_order_with_their_data() {
    let members = read(
        &Archive::new()
            .file("a", b"one")
            .directory("d/")
            .file("d/b", &[7; 1000])
            .finish(),
    )
    .unwrap();
    let seen: Vec<_> = members
        .iter()
        .map(|(member, data)| (member.path.as_slice(), data.len()))
        .collect();
    assert_eq!(seen, [(&b"a"[..], 3), (b"d/", 0), (b"d/b", 1000)]);
}

#[test]
fn an_archive_may_end_early_between_members_only() {
    let archive = Archive::new().file("a", b"data");
    assert_eq!(read(&archive.clone().unfinished()).unwrap().len(), 1);
    assert_eq!(read(b"").unwrap().len(), 0);
    let mut unpadded = archive.unfinished();
    unpadded.truncate(BLOCK_BYTES + 4);
    assert_eq!(read(&unpadded).unwrap().len(), 1);
    unpadded.truncate(BLOCK_BYTES + 3);
    assert!(matches!(read(&unpadded), Err(TarError::Truncated { position: 515 })));
    unpadded.truncate(100);
    assert!(matches!(read(&unpadded), Err(TarError::Truncated { position: 100 })));
    assert!(matches!(
        read(&Archive::new().pax(b'x', &[]).finish()),
        Err(TarError::Truncated { .. })
    ));
}

#[test]
fn rubbish_counts_behind_the_end_only() {
    let mut bytes = Archive::new().file("a", b"").finish();
    bytes.extend_from_slice(b"rubbish");
    assert_eq!(read(&bytes).unwrap().len(), 1);
    let bytes = Archive::new().padded(b"rubbish").finish();
    let refused = read(&bytes);
    assert!(
        matches!(
            refused,
            Err(TarError::Header {
                position: 0,
                source: HeaderError::Checksum
            })
        ),
        "{refused:?}"
    );
    let lone = Archive::new()
        .file("a", b"")
        .padded(&[0; BLOCK_BYTES])
        .file("b", b"")
        .finish();
    assert!(matches!(read(&lone), Err(TarError::LoneZeroBlock { position: 512 })));
}

#[test]
fn long_names_reach_the_next_member_only() {
    let long = "x".repeat(300);
    let bytes = Archive::new()
        .raw(
            HeaderBlock::new(b'L', "././@LongLink", 301),
            format!("{long}\0").as_bytes(),
        )
        .raw(
            HeaderBlock::new(b'K', "././@LongLink", 301),
            format!("{long}\0").as_bytes(),
        )
        .symlink("short", "short")
        .file("b", b"")
        .finish();
    let members = read(&bytes).unwrap();
    assert_eq!(members[0].0.path, long.as_bytes());
    assert_eq!(
        members[0].0.kind,
        MemberKind::Symlink {
            target: long.into_bytes()
        }
    );
    assert_eq!(members[1].0.path, b"b");
}

#[test]
fn extended_headers_override_the_header_and_the_global_one() {
    let bytes = Archive::new()
        .pax(b'g', &[("uid", b"5"), ("mtime", b"10.25"), ("comment", b"x")])
        .file("a", b"")
        .pax(
            b'x',
            &[("uid", b"70000"), ("path", b"other"), ("SCHILY.xattr.user.k", b"v\0")],
        )
        .file("b", b"")
        .finish();
    let members = read(&bytes).unwrap();
    assert_eq!((members[0].0.uid, members[0].0.mtime.nanoseconds), (5, 250_000_000));
    let second = &members[1].0;
    assert_eq!(
        (second.uid, second.path.as_slice(), second.mtime.seconds),
        (70_000, &b"other"[..], 10)
    );
    assert_eq!(second.xattrs[&b"user.k"[..]], b"v\0");
}

/// An archive in a file of an archive, whose header says that there is nothing: what is inside is data and no member.
#[test]
fn the_size_of_an_extended_header_says_where_the_next_member_begins() {
    let inner = Archive::new().file("smuggled", b"x").unfinished();
    let bytes = Archive::new()
        .pax(b'x', &[("size", inner.len().to_string().as_bytes())])
        .raw(HeaderBlock::new(b'0', "outer", 0), &inner)
        .file("next", b"y")
        .finish();
    let members = read(&bytes).unwrap();
    let seen: Vec<_> = members
        .iter()
        .map(|(member, data)| (member.path.as_slice(), data))
        .collect();
    assert_eq!(seen, [(&b"outer"[..], &inner), (b"next", &b"y".to_vec())]);
}

#[test]
fn only_regular_files_have_data() {
    let bytes = Archive::new()
        .raw(HeaderBlock::new(b'5', "d", 4096), b"")
        .file("a", b"data")
        .finish();
    assert_eq!(read(&bytes).unwrap().len(), 2);
    let bytes = Archive::new().raw(HeaderBlock::new(0, "v7dir/", 0), b"").finish();
    assert_eq!(only(&bytes).0.kind, MemberKind::Directory);
}

#[test]
fn devices_have_numbers_within_range() {
    let mut header = HeaderBlock::new(b'4', "sda1", 0);
    header.put(329, b"0000010\0").put(337, b"0000001\0");
    let bytes = Archive::new().raw(header.clone(), b"").finish();
    assert_eq!(only(&bytes).0.kind, MemberKind::BlockDevice { major: 8, minor: 1 });
    header.put(329, b"0010000\0");
    let refused = read(&Archive::new().raw(header, b"").finish());
    assert!(matches!(
        refused,
        Err(TarError::Range {
            field: "device major",
            ..
        })
    ));
}

#[test]
fn every_way_to_tell_a_sparse_file_reads_alike() {
    let mut old = HeaderBlock::new(b'S', "s", 3);
    old.put(386, b"00000000002\0")
        .put(398, b"00000000002\0")
        .put(410, b"00000000011\0")
        .put(422, b"00000000001\0");
    old.put(483, b"00000000024\0").put(257, b"ustar  \0");
    let old = Archive::new().raw(old, b"abc");
    let v00 = Archive::new().pax(
        b'x',
        &[
            ("GNU.sparse.size", b"20"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"2"),
            ("GNU.sparse.numbytes", b"2"),
            ("GNU.sparse.offset", b"9"),
            ("GNU.sparse.numbytes", b"1"),
        ],
    );
    let v01 = Archive::new().pax(
        b'x',
        &[
            ("GNU.sparse.size", b"20"),
            ("GNU.sparse.name", b"s"),
            ("GNU.sparse.map", b"2,2,9,1"),
        ],
    );
    let v10 = Archive::new()
        .pax(
            b'x',
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"s"),
                ("GNU.sparse.realsize", b"20"),
            ],
        )
        .raw(HeaderBlock::new(b'0', "GNUSparseFile.1/s", 515), b"2\n2\n2\n9\n1\n")
        .padded(b"abc");
    let archives = [old, v00.file("s", b"abc"), v01.file("GNUSparseFile.1/s", b"abc"), v10];
    for (at, archive) in archives.into_iter().enumerate() {
        let members = read(&archive.file("behind", b"").finish()).unwrap();
        let segments = vec![Segment { offset: 2, bytes: 2 }, Segment { offset: 9, bytes: 1 }];
        let kind = MemberKind::Regular {
            file_bytes: 20,
            segments: Some(segments),
        };
        assert_eq!(
            (&members[0].0.kind, members[0].0.path.as_slice()),
            (&kind, &b"s"[..]),
            "archive {at}"
        );
        assert_eq!(
            (members[0].1.as_slice(), members[1].0.path.as_slice()),
            (&b"abc"[..], &b"behind"[..])
        );
    }
}

#[test]
fn limits_and_ranges_are_kept() {
    let limits = Limits {
        stream_bytes: 600,
        extended_header_bytes: 10,
        xattrs_bytes: 3,
        ..Limits::default()
    };
    let first = |archive: Archive| Reader::new(archive.finish().as_slice(), &limits).next_member();
    let refused = first(Archive::new().pax(b'x', &[("comment", b"more than ten")]));
    assert!(
        matches!(
            refused,
            Err(TarError::TooLarge {
                what: "extended header",
                limit: 10,
                ..
            })
        ),
        "{refused:?}"
    );
    let archive = Archive::new().file("a", &[0; 100]).finish();
    assert!(matches!(
        Reader::new(archive.as_slice(), &limits).drain(),
        Err(TarError::TooLong { limit: 600 })
    ));
    let mut header = HeaderBlock::new(b'0', "a", 0);
    header.put(124, &[0xff; 12]);
    let refused = read(&Archive::new().raw(header, b"").finish());
    assert!(matches!(
        refused,
        Err(TarError::Range {
            field: "size",
            value: -1,
            ..
        })
    ));
    let refused = read(
        &Archive::new()
            .pax(b'x', &[("uid", b"4294967295")])
            .file("a", b"")
            .finish(),
    );
    assert!(matches!(refused, Err(TarError::Range { field: "uid", .. })));
    let refused = read(&Archive::new().raw(HeaderBlock::new(b'M', "a", 0), b"").finish());
    assert!(matches!(refused, Err(TarError::Type { type_flag: 'M', .. })));
}

proptest! {
    #[test]
    fn damage_never_makes_it_panic(
        damage in proptest::collection::vec((0_usize..4096, any::<u8>()), 0..6),
        cut in 0_usize..4096,
    ) {
        let mut bytes = Archive::new()
            .pax(b'x', &[("GNU.sparse.size", b"20"), ("GNU.sparse.map", b"2,2,9,1")])
            .file("a", b"abc")
            .raw(HeaderBlock::new(b'L', "././@LongLink", 4), b"long")
            .symlink("l", "target")
            .finish();
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut);
        let _ = read(&bytes);
    }
}
