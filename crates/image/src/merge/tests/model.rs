//! The merge against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{directory, file, hard_link, layer, listing, opaque, symlink, whiteout};
use crate::index::Index;
use crate::layer::{Change, Content, Entry};
use crate::merge::merge;

/// The rules over a flat map of paths: no links, and everything by brute force.
fn model(layers: &[Vec<Entry>]) -> Option<BTreeMap<String, String>> {
    let mut tree = BTreeMap::from([(String::new(), "directory 755".to_owned())]);
    let inside = |path: &str, directory: &str| directory.is_empty() || path.starts_with(&format!("{directory}/"));
    for (at, entries) in layers.iter().enumerate() {
        let named = |entry: &Entry| String::from_utf8(entry.path.to_vec()).unwrap();
        let lower = tree.clone();
        for entry in entries {
            let path = named(entry);
            match entry.change {
                Change::Whiteout => tree.retain(|other, _| *other != path && !inside(other, &path)),
                Change::Opaque if lower.get(&path).is_some_and(|line| line.starts_with("directory")) => {
                    tree.retain(|other, _| other.is_empty() || *other == path || !inside(other, &path));
                }
                _ => {}
            }
        }
        for entry in entries {
            let Change::Put(inode) = &entry.change else { continue };
            let path = named(entry);
            let parents = path.match_indices('/').map(|(slash, _)| path[..slash].to_owned());
            for parent in parents {
                let line = tree.entry(parent).or_insert_with(|| "directory 755".to_owned());
                if !line.starts_with("directory") {
                    return None;
                }
            }
            let line = match &inode.content {
                Content::Directory => format!("directory {:o}", inode.attributes.mode),
                Content::File(extent) => format!("file {at} {}", extent.bytes),
                other => panic!("{other:?}"),
            };
            if !line.starts_with("directory") || !tree.get(&path).is_some_and(|old| old.starts_with("directory")) {
                tree.retain(|other, _| !inside(other, &path) || path.is_empty());
            }
            tree.insert(path, line);
        }
    }
    Some(tree)
}

fn entry() -> impl Strategy<Value = Entry> {
    let path = "[ab](/[ab]){0,3}";
    prop_oneof![
        4 => (path, 0_u64..100).prop_map(|(path, bytes)| file(&path, bytes)),
        4 => (path, 0_u16..0o1000).prop_map(|(path, mode)| directory(&path, mode)),
        2 => path.prop_map(|path| whiteout(&path)),
        1 => path.prop_map(|path| opaque(&path)),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let path = "[abc](/[abc]){0,3}";
    prop_oneof![
        4 => entry(),
        2 => (path, "/?([abc]|\\.\\.|\\.)(/([abc]|\\.\\.)){0,3}").prop_map(|(path, target)| symlink(&path, &target)),
        2 => (path, path).prop_map(|(path, target)| hard_link(&path, &target)),
    ]
}

fn merged(indexes: &[Index]) -> Result<BTreeMap<String, String>, String> {
    let layers: Vec<&Index> = indexes.iter().collect();
    let tree = merge(&layers).map_err(|error| error.to_string())?;
    Ok(listing(&layers, &tree))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_merge_equals_the_model(layers in vec(vec(entry(), 0..8), 0..5)) {
        let indexes: Vec<Index> = layers.iter().cloned().map(layer).collect();
        prop_assert_eq!(merged(&indexes).ok(), model(&layers));
    }

    #[test]
    fn where_whiteouts_stand_has_no_meaning(layers in vec(vec(entry(), 0..8), 1..4)) {
        let is_whiteout = |entry: &Entry| matches!(entry.change, Change::Whiteout | Change::Opaque);
        let moved = |first: bool| -> Vec<Index> {
            layers.iter().map(|entries| {
                let mut entries = entries.clone();
                entries.sort_by_key(|entry| is_whiteout(entry) != first);
                layer(entries)
            }).collect()
        };
        let (first, last) = (moved(true), moved(false));
        prop_assert_eq!(merged(&first), merged(&last));
    }

    #[test]
    fn no_layers_make_it_panic_or_hang(layers in vec(vec(any_entry(), 0..20), 0..4)) {
        let indexes: Vec<Index> = layers.into_iter().map(layer).collect();
        let _ = merged(&indexes);
    }
}
