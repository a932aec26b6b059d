//! Tests of the index's form: what is written reads back, and nothing else is taken.

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::sample::{Layer, open};
use super::*;
use crate::layer::{Attributes, Change, Content, Entry, Extent, Inode, Packed, Xattr};
use crate::tar::Timestamp;

fn attributes() -> impl Strategy<Value = Attributes> {
    let xattrs = proptest::collection::btree_map("user\\.[a-z]{1,5}", vec(any::<u8>(), 0..20), 0..3);
    (
        0_u16..0o10000,
        any::<u32>(),
        any::<u32>(),
        any::<i64>(),
        0_u32..1_000_000_000,
        xattrs,
    )
        .prop_map(|(mode, uid, gid, seconds, nanoseconds, xattrs)| Attributes {
            mode,
            uid,
            gid,
            mtime: Timestamp { seconds, nanoseconds },
            xattrs: xattrs
                .into_iter()
                .map(|(name, value)| Xattr {
                    name: name.into_bytes().into(),
                    value: value.into(),
                })
                .collect(),
        })
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        (0_u64..100, 0_u64..1000).prop_map(|(block, bytes)| Content::File(Extent { block, bytes })),
        (0_u64..100, 1_u64..1000).prop_map(|(slot, bytes)| Content::Packed(Packed { slot, bytes })),
        Just(Content::Directory),
        vec(1_u8.., 1..30).prop_map(|target| Content::Symlink { target: target.into() }),
        (0_u32..4096, 0_u32..0x10_0000).prop_map(|(major, minor)| Content::CharacterDevice { major, minor }),
        (0_u32..4096, 0_u32..0x10_0000).prop_map(|(major, minor)| Content::BlockDevice { major, minor }),
        Just(Content::Fifo),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (attributes(), content()).prop_map(|(attributes, content)| Change::Put(Inode { attributes, content })),
        1 => "[a-z]{1,5}(/[a-z]{1,5}){0,3}".prop_map(|target| Change::HardLink { target: target.into_bytes().into() }),
        1 => Just(Change::Whiteout),
        1 => Just(Change::Opaque),
    ]
}

fn index() -> impl Strategy<Value = Layer> {
    let entry = ("[a-z]{1,5}(/[a-z]{1,5}){0,3}", change()).prop_map(|(path, change)| Entry {
        path: path.into_bytes().into(),
        change,
    });
    vec(entry, 0..12).prop_map(|entries| Layer {
        data_blocks: 200,
        entries,
    })
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

#[test]
fn an_empty_layer_reads_back() {
    let layer = Layer::default();
    assert_eq!(Layer::read(&layer.index()), layer);
}

#[test]
fn other_files_and_versions_are_refused() {
    let mut bytes = Layer::default().encode();
    bytes[7] += 1;
    assert!(matches!(open(bytes), Err(IndexError::Magic)));
    assert!(matches!(open(vec![]), Err(IndexError::Magic)));
    assert!(matches!(open(MAGIC.to_vec()), Err(IndexError::Digest)));
}

#[test]
fn an_extent_outside_the_data_is_refused() {
    let content = Content::File(Extent { block: 1, bytes: 4097 });
    let inode = Inode {
        attributes: Attributes::default(),
        content,
    };
    let entry = Entry {
        path: (*b"a").into(),
        change: Change::Put(inode),
    };
    let mut index = Layer {
        data_blocks: 3,
        entries: vec![entry],
    };
    assert!(open(index.encode()).is_ok());
    index.data_blocks = 2;
    assert!(matches!(open(index.encode()), Err(IndexError::Malformed { .. })));
}

#[test]
fn a_path_not_in_its_one_form_is_refused() {
    for path in ["a/../b", "/a", "a//b", "a/."] {
        let entry = Entry {
            path: path.as_bytes().into(),
            change: Change::Whiteout,
        };
        let index = Layer {
            data_blocks: 0,
            entries: vec![entry],
        };
        assert!(open(index.encode()).is_err(), "{path}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(index in index()) {
        prop_assert_eq!(Layer::read(&index.index()), index);
    }

    #[test]
    fn any_damage_is_found(index in index(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = index.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(open(bytes.clone()).is_err());
        bytes[at] ^= 1 << bit;
        bytes.truncate(at);
        prop_assert!(open(bytes.clone()).is_err());
    }

    #[test]
    fn forged_bytes_never_make_it_panic(index in index(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = index.encode();
        bytes.truncate(bytes.len() - 32);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = open(sealed(bytes));
    }
}
