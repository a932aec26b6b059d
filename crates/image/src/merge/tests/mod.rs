//! Tests of the merge: each rule by example, and all of them against a [`model`].

mod model;

use std::collections::BTreeMap;

use super::apply::{MergeError, merge};
use super::resolve::ResolveError;
use crate::index::Index;
use crate::index::sample::Layer;
use crate::layer::{Attributes, Change, Content, Entry, Extent, Inode};
use crate::tree::{Inodes, NodeId, Tree};

fn layer(entries: Vec<Entry>) -> Index {
    let data_blocks = 1000;
    Layer { data_blocks, entries }.index()
}

fn put(path: &str, mode: u16, content: Content) -> Entry {
    let attributes = Attributes {
        mode,
        ..Attributes::default()
    };
    Entry {
        path: path.as_bytes().into(),
        change: Change::Put(Inode { attributes, content }),
    }
}

/// A file, recognised by its size.
fn file(path: &str, bytes: u64) -> Entry {
    put(path, 0o644, Content::File(Extent { block: 0, bytes }))
}

fn directory(path: &str, mode: u16) -> Entry {
    put(path, mode, Content::Directory)
}

fn symlink(path: &str, target: &str) -> Entry {
    put(
        path,
        0o777,
        Content::Symlink {
            target: target.as_bytes().into(),
        },
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

fn whiteout(path: &str) -> Entry {
    Entry {
        path: path.as_bytes().into(),
        change: Change::Whiteout,
    }
}

fn opaque(path: &str) -> Entry {
    Entry {
        path: path.as_bytes().into(),
        change: Change::Opaque,
    }
}

/// One line per path: files with layer and size, directories with mode, links with their target.
fn listing(layers: &[&Index], tree: &Tree) -> BTreeMap<String, String> {
    let mut inodes = Inodes::new(layers);
    let mut lines = BTreeMap::new();
    let mut pending = vec![(String::new(), NodeId::ROOT)];
    while let Some((path, id)) = pending.pop() {
        for (name, child) in tree.children(id).into_iter().flatten() {
            let slash = if path.is_empty() { "" } else { "/" };
            pending.push((format!("{path}{slash}{}", name.escape_ascii()), *child));
        }
        let node = tree.node(id);
        let Inode { attributes, content } = inodes.get(node).unwrap();
        let line = match content {
            Content::Directory => format!("directory {:o}", attributes.mode),
            Content::File(extent) => format!("file {} {}", node.origin().layer().unwrap(), extent.bytes),
            Content::Symlink { target } => format!("-> {}", target.escape_ascii()),
            other => format!("{other:?}"),
        };
        lines.insert(path, line);
    }
    lines
}

fn check(layers: &[Vec<Entry>], expected: &[(&str, &str)]) {
    let layers: Vec<Index> = layers.iter().cloned().map(layer).collect();
    let layers: Vec<&Index> = layers.iter().collect();
    let mut lines = listing(&layers, &merge(&layers).unwrap());
    lines.remove("");
    let lines: Vec<(&str, &str)> = lines
        .iter()
        .map(|(path, line)| (path.as_str(), line.as_str()))
        .collect();
    assert_eq!(lines, expected);
}

fn refused(layers: &[Vec<Entry>]) -> MergeError {
    let layers: Vec<Index> = layers.iter().cloned().map(layer).collect();
    merge(&layers.iter().collect::<Vec<_>>()).map(|_| ()).unwrap_err()
}

#[test]
fn no_layers_make_an_empty_root() {
    check(&[], &[]);
    check(&[vec![]], &[]);
}

#[test]
fn upper_files_replace_lower_ones() {
    check(
        &[vec![file("a", 1), file("b", 2)], vec![file("a", 3)]],
        &[("a", "file 1 3"), ("b", "file 0 2")],
    );
}

#[test]
fn directories_merge_and_take_the_upper_attributes() {
    check(
        &[
            vec![directory("d", 0o700), file("d/a", 1)],
            vec![directory("d", 0o711), file("d/b", 2)],
        ],
        &[("d", "directory 711"), ("d/a", "file 0 1"), ("d/b", "file 1 2")],
    );
    let layers = [layer(vec![directory("", 0o700)]), layer(vec![directory("", 0o1777)])];
    let layers: Vec<&Index> = layers.iter().collect();
    assert_eq!(listing(&layers, &merge(&layers).unwrap())[""], "directory 1777");
}

#[test]
fn missing_directories_are_made() {
    check(
        &[vec![file("x/y/f", 1)]],
        &[("x", "directory 755"), ("x/y", "directory 755"), ("x/y/f", "file 0 1")],
    );
}

#[test]
fn a_file_replaces_a_directory_and_the_other_way_round() {
    check(
        &[vec![directory("d", 0o700), file("d/a", 1)], vec![file("d", 2)]],
        &[("d", "file 1 2")],
    );
    check(
        &[vec![file("d", 1)], vec![directory("d", 0o700), file("d/a", 2)]],
        &[("d", "directory 700"), ("d/a", "file 1 2")],
    );
    check(
        &[vec![directory("d", 0o700), file("d/a", 1), file("d", 2)]],
        &[("d", "file 0 2")],
    );
}

#[test]
fn whiteouts_hide_lower_layers_only_and_in_any_order() {
    let lower = vec![directory("d", 0o700), file("d/a", 1), file("d/b", 2), file("e", 3)];
    check(&[lower.clone(), vec![whiteout("d"), whiteout("e")]], &[]);
    for upper in [
        vec![
            whiteout("d/a"),
            file("d/a", 9),
            whiteout("d/nothing"),
            whiteout("no/where"),
        ],
        vec![file("d/a", 9), whiteout("d/a"), whiteout("e/below-a-file")],
    ] {
        check(
            &[lower.clone(), upper],
            &[
                ("d", "directory 700"),
                ("d/a", "file 1 9"),
                ("d/b", "file 0 2"),
                ("e", "file 0 3"),
            ],
        );
    }
    for upper in [vec![whiteout("d"), file("d/c", 9)], vec![file("d/c", 9), whiteout("d")]] {
        check(
            &[lower.clone(), upper],
            &[("d", "directory 755"), ("d/c", "file 1 9"), ("e", "file 0 3")],
        );
    }
}

#[test]
fn opaque_directories_hide_lower_contents_only() {
    let lower = vec![
        directory("d", 0o700),
        file("d/a", 1),
        directory("d/s", 0o700),
        file("d/s/x", 2),
    ];
    for upper in [vec![opaque("d"), file("d/b", 9)], vec![file("d/b", 9), opaque("d")]] {
        check(&[lower.clone(), upper], &[("d", "directory 700"), ("d/b", "file 1 9")]);
    }
    check(&[lower, vec![opaque("")]], &[]);
}

#[test]
fn hard_links_share_a_node_across_layers() {
    let layers = [
        layer(vec![file("a", 1)]),
        layer(vec![hard_link("d/b", "a"), hard_link("c", "d/b")]),
    ];
    let tree = merge(&layers.iter().collect::<Vec<_>>()).unwrap();
    let root = tree.children(NodeId::ROOT).unwrap();
    assert_eq!(root[&b"a"[..]], root[&b"c"[..]]);
    assert_eq!(root[&b"a"[..]], tree.children(root[&b"d"[..]]).unwrap()[&b"b"[..]]);
    // A name that is written anew leaves the others alone.
    check(
        &[vec![file("a", 1), hard_link("b", "a")], vec![file("a", 2)]],
        &[("a", "file 1 2"), ("b", "file 0 1")],
    );
    check(
        &[vec![symlink("s", "x"), hard_link("t", "s")]],
        &[("s", "-> x"), ("t", "-> x")],
    );
}

#[test]
fn hard_links_need_a_file() {
    let refusal = refused(&[vec![hard_link("b", "a")]]);
    assert_eq!(refusal.to_string(), "hard link \"b\" in layer 0 has no target \"a\"");
    let refusal = refused(&[vec![directory("d", 0o755), hard_link("b", "d")]]);
    assert_eq!(refusal.to_string(), "hard link \"b\" in layer 0 leads to a directory");
    refused(&[vec![file("a", 1)], vec![whiteout("a"), hard_link("b", "a")]]);
}

#[test]
fn links_in_the_middle_of_a_path_are_followed_inside_the_root() {
    for target in ["usr/lib", "/usr/lib", "../../usr/lib", "/../usr/./x/../lib"] {
        check(
            &[
                vec![directory("usr/lib", 0o700), symlink("lib", target)],
                vec![file("lib/f", 1)],
            ],
            &[
                ("lib", &format!("-> {target}")),
                ("usr", "directory 755"),
                ("usr/lib", "directory 700"),
                ("usr/lib/f", "file 1 1"),
            ],
        );
    }
    // Also by whiteouts and hard links, and towards what does not exist yet.
    check(
        &[
            vec![file("usr/lib/f", 1), symlink("lib", "usr/lib")],
            vec![whiteout("lib/f")],
        ],
        &[
            ("lib", "-> usr/lib"),
            ("usr", "directory 755"),
            ("usr/lib", "directory 755"),
        ],
    );
    check(
        &[vec![symlink("s", "new"), file("s/f", 1), hard_link("g", "s/f")]],
        &[
            ("g", "file 0 1"),
            ("new", "directory 755"),
            ("new/f", "file 0 1"),
            ("s", "-> new"),
        ],
    );
}

#[test]
fn the_last_component_is_replaced_not_followed() {
    check(
        &[
            vec![directory("d", 0o700), symlink("s", "d")],
            vec![directory("s", 0o711), file("s/f", 1)],
        ],
        &[("d", "directory 700"), ("s", "directory 711"), ("s/f", "file 1 1")],
    );
    check(
        &[vec![directory("d", 0o700), symlink("s", "d")], vec![file("s", 1)]],
        &[("d", "directory 700"), ("s", "file 1 1")],
    );
}

fn check_unresolved(refusal: &MergeError, in_layer: usize, at: &str, why: &ResolveError) {
    let MergeError::Resolve { layer, path, source } = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!((*layer, path.as_str(), source), (in_layer, at, why));
}

#[test]
fn paths_through_files_and_circles_are_errors() {
    let refusal = refused(&[vec![file("a", 1), file("a/b", 2)]]);
    let component = "\"a\"".to_owned();
    check_unresolved(&refusal, 0, "\"a/b\"", &ResolveError::NotADirectory { component });
    let refusal = refused(&[vec![symlink("a", "b"), symlink("b", "a")], vec![file("a/f", 1)]]);
    check_unresolved(&refusal, 1, "\"a/f\"", &ResolveError::Links);
}

#[test]
fn links_to_impossible_names_are_errors() {
    let refusal = refused(&[vec![symlink("s", &"n".repeat(256)), file("s/f", 1)]]);
    check_unresolved(&refusal, 0, "\"s/f\"", &ResolveError::Name);
}

#[test]
fn paths_that_grow_too_long_through_links_are_errors() {
    let long = ["n".repeat(250).as_str(); 10].join("/");
    let refusal = refused(&[vec![symlink("s", &long), file(&format!("s/{long}/f"), 1)]]);
    assert!(matches!(refusal, MergeError::PathLength { .. }), "{refusal:?}");
}
