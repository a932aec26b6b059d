//! Random trees: `fsck.erofs` finds no fault in any of them.

use std::fs::OpenOptions;

use image::index::{Index, Writer};
use image::layer::{Attributes, BLOCK_BYTES, Change, Content, Entry, Extent, Inode, Xattr};
use image::merge::merge;
use image::snapshot::{self, Layer};
use image::tar::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::image::opened;
use crate::tool;

const DATA_BLOCKS: u64 = 8;

fn attributes() -> impl Strategy<Value = Attributes> {
    let xattrs = btree_map(
        "(user|trusted|security|other)\\.[a-z]{1,40}",
        vec(any::<u8>(), 0..5000),
        0..4,
    );
    (
        0_u16..0o10000,
        prop_oneof![0_u32..3, any::<u32>()],
        -1_i64..2,
        0_u32..2,
        xattrs,
    )
        .prop_map(|(mode, uid, seconds, nanoseconds, xattrs)| {
            let xattr = |(name, value): (String, Vec<u8>)| Xattr {
                name: name.into_bytes().into(),
                value: value.into(),
            };
            let xattrs = xattrs.into_iter().map(xattr).collect();
            Attributes {
                mode,
                uid,
                gid: uid / 2,
                mtime: Timestamp { seconds, nanoseconds },
                xattrs,
            }
        })
}

fn change() -> impl Strategy<Value = Change> {
    let content = prop_oneof![
        4 => Just(Content::Directory),
        4 => (0..5_u64, 0..3 * BLOCK_BYTES).prop_map(|(block, bytes)| Content::File(Extent { block, bytes })),
        2 => vec(1_u8.., 1..4095).prop_map(|target| Content::Symlink { target: target.into() }),
        1 => (0_u32..4096, 0_u32..0x10_0000).prop_map(|(major, minor)| Content::CharacterDevice { major, minor }),
        1 => Just(Content::Fifo),
    ];
    prop_oneof![
        8 => (attributes(), content).prop_map(|(attributes, content)| Change::Put(Inode { attributes, content })),
        1 => Just(Change::Whiteout),
        1 => "[a-d](/[a-d]){0,2}".prop_map(|target| Change::HardLink { target: target.into_bytes().into() }),
    ]
}

fn layer() -> impl Strategy<Value = Vec<Entry>> {
    let name = prop_oneof![4 => "[a-d]", 1 => "[-!a-d]{1,9}", 1 => "[e-h]{180,255}"];
    let path = vec(name, 1..4).prop_map(|names| names.join("/").into_bytes());
    let entry = (path, change()).prop_map(|(path, change)| Entry {
        path: path.into(),
        change,
    });
    vec(entry, 0..80)
}

fn index(entries: &[Entry]) -> Index {
    let mut writer = Writer::new(Vec::new());
    entries.iter().for_each(|entry| writer.push(entry.clone()).unwrap());
    opened(writer.finish(DATA_BLOCKS).unwrap())
}

/// Entries whose path cannot be followed are left out, one by one, until a tree comes out.
fn without_refused(mut layers: Vec<Vec<Entry>>) -> Vec<Index> {
    loop {
        let indexes: Vec<Index> = layers.iter().map(|entries| index(entries)).collect();
        let Err(refused) = merge(&indexes.iter().collect::<Vec<_>>()) else {
            return indexes;
        };
        let text = refused.to_string();
        let named =
            |(layer, entry): (usize, &Entry)| text.contains(&format!("{} in layer {layer}", entry.display_path()));
        let place = layers.iter().enumerate().find_map(|(layer, entries)| {
            entries
                .iter()
                .position(|entry| named((layer, entry)))
                .map(|entry| (layer, entry))
        });
        let (layer, entry) = place.unwrap_or_else(|| panic!("no entry is to blame for: {text}"));
        layers[layer].remove(entry);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fsck_finds_no_fault_in_random_trees(layers in vec(layer(), 1..4)) {
        let layers = without_refused(layers);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flat.erofs");
        let mut out = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        let bytes = DATA_BLOCKS * BLOCK_BYTES;
        let data = vec![0; usize::try_from(bytes).unwrap()];
        let parts: Vec<_> = layers.iter().map(|index| Layer { index, data: &data, bytes }).collect();
        let made = snapshot::build(&parts, &mut out).unwrap();
        out.set_len(made.bytes()).unwrap();
        tool::fsck(&path, "--extract");
    }
}
