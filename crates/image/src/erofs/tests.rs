//! Tests of the writer: what it writes reads back with a reader that knows nothing of it.

use std::io::Cursor;

use proptest::collection::vec;
use proptest::prelude::*;

use super::reader::{Found, FoundBody, read};
use super::{ErofsError, packed_head, write};
use crate::index::sample::Layer;
use crate::index::{Index, ReadAt};
use crate::layer::{Attributes, BLOCK_BYTES, Change, Content, Entry, Extent, Inode, Packed, Xattr};
use crate::merge::merge;
use crate::tar::Timestamp;

fn put(path: &[u8], attributes: Attributes, content: Content) -> Entry {
    Entry {
        path: path.into(),
        change: Change::Put(Inode { attributes, content }),
    }
}

fn plain(path: &[u8], content: Content) -> Entry {
    put(
        path,
        Attributes {
            mode: 0o644,
            ..Attributes::default()
        },
        content,
    )
}

fn hard_link(path: &str, target: &str) -> Entry {
    Entry {
        path: path.as_bytes().into(),
        change: Change::HardLink {
            target: target.as_bytes().into(),
        },
    }
}

fn metadata(layers: &[Layer]) -> Vec<u8> {
    let indexes: Vec<Index> = layers.iter().map(Layer::index).collect();
    let indexes: Vec<&Index> = indexes.iter().collect();
    let tree = merge(&indexes).unwrap();
    let mut out = Cursor::new(Vec::new());
    let blocks = write(&tree, &indexes, &[], &mut out).unwrap();
    assert_eq!(out.position(), blocks * BLOCK_BYTES);
    assert_eq!(out.get_ref().len() as u64, blocks * BLOCK_BYTES);
    out.into_inner()
}

/// The flat image of layers whose data is the block's number, over and over.
fn flat(layers: &[Layer]) -> Vec<u8> {
    let mut image = metadata(layers);
    for (layer, index) in (1_u8..).zip(layers) {
        for block in 0..index.data_blocks {
            image.extend(std::iter::repeat_n([layer, u8::try_from(block % 251).unwrap()], 2048).flatten());
        }
    }
    image
}

fn found(entries: Vec<Entry>) -> std::collections::BTreeMap<Vec<u8>, Found> {
    read(&flat(&[Layer {
        data_blocks: 10,
        entries,
    }]))
}

#[test]
fn an_empty_image_is_a_root() {
    let paths = read(&flat(&[]));
    assert_eq!(paths.len(), 1);
    assert_eq!((paths[&b""[..]].mode, paths[&b""[..]].links), (0o040_755, 2));
}

#[test]
fn files_point_into_their_layers() {
    let file = |path: &[u8], block, bytes| plain(path, Content::File(Extent { block, bytes }));
    let lower = Layer {
        data_blocks: 3,
        entries: vec![file(b"a", 0, 5), file(b"hidden", 0, 1)],
    };
    let upper = Layer {
        data_blocks: 4,
        entries: vec![file(b"b", 2, 8192), file(b"hidden", 1, 0)],
    };
    let paths = read(&flat(&[lower, upper]));
    assert_eq!(paths[&b"a"[..]].body, FoundBody::File(vec![1, 0, 1, 0, 1]));
    let expected = [[2, 2].repeat(2048), [2, 3].repeat(2048)].concat();
    assert_eq!(paths[&b"b"[..]].body, FoundBody::File(expected));
    assert_eq!(paths[&b"hidden"[..]].body, FoundBody::File(Vec::new()));
}

/// A layer of one packed file, and its data.
fn packed(path: &[u8], attributes: Attributes, contents: &[u8]) -> (Layer, Vec<u8>) {
    let mut data = vec![0; 64];
    data.extend(packed_head(&attributes, contents.len() as u64));
    data.extend_from_slice(contents);
    data.resize(4096, 0);
    let bytes = contents.len() as u64;
    let layer = Layer {
        data_blocks: 1,
        entries: vec![put(path, attributes, Content::Packed(Packed { slot: 2, bytes }))],
    };
    (layer, data)
}

#[test]
fn a_packed_file_is_found_in_its_layer_or_copied_for_its_other_names() {
    let attributes = Attributes {
        mode: 0o640,
        uid: 7,
        mtime: Timestamp {
            seconds: 5,
            nanoseconds: 0,
        },
        xattrs: vec![Xattr {
            name: (*b"user.k").into(),
            value: (*b"v").into(),
        }],
        ..Attributes::default()
    };
    let (lower, data) = packed(b"d/f", attributes.clone(), b"packed");
    let upper = Layer {
        data_blocks: 0,
        entries: vec![hard_link("g", "d/f")],
    };
    for (layers, links) in [(vec![lower.clone()], 1), (vec![lower, upper], 2)] {
        let indexes: Vec<Index> = layers.iter().map(Layer::index).collect();
        let indexes: Vec<&Index> = indexes.iter().collect();
        let parts: Vec<&dyn ReadAt> = vec![&data; indexes.len()];
        let mut out = Cursor::new(Vec::new());
        let blocks = write(&merge(&indexes).unwrap(), &indexes, &parts, &mut out).unwrap();
        let paths = read(&[out.into_inner(), data.clone()].concat());
        let file = &paths[&b"d/f"[..]];
        assert_eq!(file.body, FoundBody::File(b"packed".to_vec()));
        assert_eq!((file.mode, file.uid, file.links), (0o100_640, 7, links));
        assert_eq!(
            (file.mtime, file.xattrs[&b"user.k"[..]].as_slice()),
            ((5, 0), &b"v"[..])
        );
        assert_eq!(file.nid >= blocks * 128, links == 1, "shared, or the image's own");
        assert_eq!(
            paths.get(&b"g"[..]).map(|other| other.nid),
            (links == 2).then_some(file.nid)
        );
    }
}

#[test]
fn every_type_and_attribute_survives() {
    let attributes = Attributes {
        mode: 0o6755,
        uid: 70_000,
        gid: 3,
        mtime: Timestamp {
            seconds: -5,
            nanoseconds: 999_999_999,
        },
        xattrs: vec![
            Xattr {
                name: (*b"security.capability").into(),
                value: (*b"\x01\0\0\x02").into(),
            },
            Xattr {
                name: (*b"system.posix_acl_access").into(),
                value: vec![2; 44].into(),
            },
            Xattr {
                name: (*b"trusted.t").into(),
                value: Box::default(),
            },
            Xattr {
                name: (*b"user.big").into(),
                value: vec![9; 9000].into(),
            },
        ],
    };
    let paths = found(vec![
        put(b"f", attributes.clone(), Content::File(Extent { block: 0, bytes: 10 })),
        put(b"d", attributes.clone(), Content::Directory),
        put(
            b"l",
            attributes.clone(),
            Content::Symlink {
                target: vec![b'x'; 4095].into(),
            },
        ),
        plain(
            b"c",
            Content::CharacterDevice {
                major: 1,
                minor: 0x12345,
            },
        ),
        plain(b"b", Content::BlockDevice { major: 8, minor: 1 }),
        plain(b"p", Content::Fifo),
        plain(b"s", Content::Symlink { target: (*b"f").into() }),
    ]);
    for path in [&b"f"[..], b"d", b"l"] {
        let found = &paths[path];
        assert_eq!((found.mode & 0o7777, found.uid, found.gid), (0o6755, 70_000, 3));
        assert_eq!(found.mtime, (-5, 999_999_999));
        assert_eq!(found.xattrs.len(), 4);
        assert_eq!(found.xattrs[&b"user.big"[..]], vec![9; 9000]);
    }
    assert_eq!(paths[&b"l"[..]].body, FoundBody::Symlink(vec![b'x'; 4095]));
    assert_eq!(paths[&b"s"[..]].body, FoundBody::Symlink(b"f".to_vec()));
    assert_eq!(paths[&b"c"[..]].body, FoundBody::Device(0x1230_0145));
    assert_eq!(paths[&b"b"[..]].mode, 0o060_644);
    assert_eq!(paths[&b"p"[..]].body, FoundBody::Fifo);
}

#[test]
fn hard_links_are_one_inode() {
    let mut entries = vec![plain(b"a", Content::File(Extent { block: 0, bytes: 1 }))];
    entries.extend((0..70_000).map(|at| hard_link(&format!("d/{at}"), "a")));
    let paths = found(entries);
    assert_eq!(paths[&b"a"[..]].links, 70_001);
    assert_eq!(paths[&b"a"[..]], paths[&b"d/69999"[..]]);
}

#[test]
fn large_directories_are_found_whole() {
    let names: Vec<String> = (0..5000).map(|at| format!("{}{at}", "n".repeat(at % 250))).collect();
    let paths = found(names.iter().map(|name| plain(name.as_bytes(), Content::Fifo)).collect());
    assert_eq!(paths.len(), names.len() + 1);
}

#[test]
fn the_same_layers_make_the_same_bytes() {
    let layer = |bytes| Layer {
        data_blocks: 1,
        entries: vec![
            plain(b"a", Content::File(Extent { block: 0, bytes })),
            plain(b"b", Content::Fifo),
        ],
    };
    assert_eq!(metadata(&[layer(1)]), metadata(&[layer(1)]));
    assert_ne!(
        metadata(&[layer(1)])[1024 + 48..1024 + 64],
        metadata(&[layer(2)])[1024 + 48..1024 + 64]
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |layer: &Layer| {
        let index = layer.index();
        write(&merge(&[&index]).unwrap(), &[&index], &[], Cursor::new(Vec::new())).unwrap_err()
    };
    for data_blocks in [1 << 32, u64::MAX] {
        let layer = Layer {
            data_blocks,
            ..Layer::default()
        };
        assert!(matches!(refused(&layer), ErofsError::TooLarge { .. }));
    }
    let xattr = |at| Xattr {
        name: format!("user.{at}").into_bytes().into(),
        value: vec![0; 65_535].into(),
    };
    let attributes = Attributes {
        xattrs: (0..4).map(xattr).collect(),
        ..Attributes::default()
    };
    let index = Layer {
        data_blocks: 0,
        entries: vec![put(b"a", attributes, Content::Fifo)],
    };
    assert!(matches!(refused(&index), ErofsError::Xattrs { .. }));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let path = vec("[-!a-c]{1,3}|[d-f]{200,255}", 1..4).prop_map(|parts| parts.join("/").into_bytes());
    let content = prop_oneof![
        3 => Just(Content::Directory),
        3 => (0_u64..5, 0_u64..20_000).prop_map(|(block, bytes)| Content::File(Extent { block, bytes })),
        2 => vec(1_u8.., 1..4000).prop_map(|target| Content::Symlink { target: target.into() }),
        1 => (0_u32..4096, 0_u32..0x10_0000).prop_map(|(major, minor)| Content::BlockDevice { major, minor }),
        1 => Just(Content::Fifo),
    ];
    let xattrs = proptest::collection::btree_map(
        "(user|trusted|security|other)\\.[a-z]{1,9}",
        vec(any::<u8>(), 0..3000),
        0..3,
    );
    let attributes = (
        0_u16..0o10000,
        prop_oneof![0_u32..3, any::<u32>()],
        -1_i64..2,
        0_u32..2,
        xattrs,
    )
        .prop_map(|(mode, uid, seconds, nanoseconds, xattrs)| Attributes {
            mode,
            uid,
            gid: uid / 3,
            mtime: Timestamp { seconds, nanoseconds },
            xattrs: xattrs
                .into_iter()
                .map(|(name, value)| Xattr {
                    name: name.into_bytes().into(),
                    value: value.into(),
                })
                .collect(),
        });
    (path, attributes, content).prop_map(|(path, attributes, content)| put(&path, attributes, content))
}

proptest! {
    #[test]
    fn random_trees_read_back(entries in vec(any_entry(), 0..60)) {
        let layer = Layer { data_blocks: 15, entries };
        // Paths through files make no tree; the merge's own tests look at that.
        if let Ok(tree) = merge(&[&layer.index()]) {
            let mut count = 0;
            let mut pending = vec![crate::tree::NodeId::ROOT];
            while let Some(id) = pending.pop() {
                count += 1;
                pending.extend(tree.children(id).into_iter().flat_map(|children| children.values().copied()));
            }
            prop_assert_eq!(read(&flat(std::slice::from_ref(&layer))).len(), count);
        }
    }
}
