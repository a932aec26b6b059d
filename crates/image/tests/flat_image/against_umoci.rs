//! The flat image against `umoci unpack`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::listing::{self, Item};
use crate::{image, sample, tool};

/// The first lines in which two listings differ, so that a failure can be read.
fn difference(ours: &str, theirs: &str) -> Option<String> {
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    let only = |mark: &str, left: &[&str], right: &[&str]| -> Vec<String> {
        let right: std::collections::BTreeSet<_> = right.iter().collect();
        left.iter()
            .filter(|line| !right.contains(line))
            .take(10)
            .map(|line| format!("{mark} {line:.300}"))
            .collect()
    };
    let lines = [only("ours", &ours, &theirs), only("theirs", &theirs, &ours)].concat();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn check(blobs: &[PathBuf], directory: &tempfile::TempDir) {
    let flat = image::flatten(blobs, directory.path());
    let ours = image::items(&flat);
    let theirs = image::umoci_items(blobs, directory.path());
    if let Some(difference) = difference(&listing::render(&ours), &listing::render(&theirs)) {
        panic!("the trees differ:\n{difference}");
    }
    assert_eq!(ours.len(), theirs.len());
    check_fsck(&flat, &ours, directory);
}

/// `fsck.erofs` must find no fault, and unpack the same names, types, modes, owners and contents. That of Debian 12 does
/// not unpack times, extended attributes, hard links and set-id bits.
fn check_fsck(flat: &std::path::Path, ours: &BTreeMap<Vec<u8>, Item>, directory: &tempfile::TempDir) {
    let extracted = directory.path().join("extracted");
    tool::fsck(flat, &format!("--extract={}", extracted.display()));
    let told = |items: &BTreeMap<Vec<u8>, Item>| {
        let strip = |(at, (path, item)): (u64, (&Vec<u8>, &Item))| {
            let bare = Item {
                mode: item.mode & 0o1777,
                mtime: (0, 0),
                xattrs: BTreeMap::new(),
                identity: at,
                links: 1,
                ..item.clone()
            };
            (path.clone(), bare)
        };
        listing::render(&(0..).zip(items).map(strip).collect())
    };
    if let Some(difference) = difference(&told(ours), &told(&listing::collect(&extracted).unwrap())) {
        panic!("fsck.erofs unpacks another tree:\n{difference}");
    }
}

#[test]
fn one_layer_with_everything() {
    let directory = tempfile::tempdir().unwrap();
    let base = sample::base(directory.path());
    check(&[base], &directory);
}

#[test]
fn layers_that_change_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut blobs = vec![sample::base(directory.path())];
    blobs.extend(sample::changes(directory.path()));
    check(&blobs, &directory);
}

#[test]
fn compression_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = sample::Source::new(directory.path().join("source"));
    source.file("file", vec![b'x'; 100_000]);
    let mut flats = Vec::new();
    for (name, option) in [("plain", "--format=posix"), ("gzip", "--gzip"), ("zstd", "--zstd")] {
        let blob = source.archive(name, &["--format=posix", option], ["."]);
        let made = directory.path().join(format!("made-{name}"));
        std::fs::create_dir(&made).unwrap();
        flats.push(std::fs::read(image::flatten(&[blob], &made)).unwrap());
    }
    assert!(flats.windows(2).all(|pair| pair[0] == pair[1]));
}

/// umoci does not know GNU's old sparse files; GNU tar, which writes them, has to do.
#[test]
fn old_sparse_files_are_what_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let source = sample::Source::new(directory.path().join("source"));
    source.sparse("few", 9_000_000, &[70_000, 5_000_000]);
    source.sparse("many", 3_000_000, &(0..60).map(|at| at * 50_000).collect::<Vec<_>>());
    source.sparse("none", 5_000_000, &[]);
    let blob = source.archive("old.tar", &["--format=gnu", "--sparse"], ["few", "many", "none"]);
    assert!(blob.metadata().unwrap().len() < 1_000_000);
    let ours = image::items(&image::flatten(&[blob], directory.path()));
    let theirs = listing::collect(&source.at("")).unwrap();
    for name in [&b"few"[..], b"many", b"none"] {
        assert_eq!(ours[name].kind, theirs[name].kind);
    }
}

/// The most layers that Docker has ever let an image have.
const LAYERS_MAX: usize = 127;

#[test]
fn as_many_layers_as_an_image_can_have() {
    let directory = tempfile::tempdir().unwrap();
    let blobs: Vec<PathBuf> = (0..LAYERS_MAX)
        .map(|at| {
            let source = sample::Source::new(directory.path().join(format!("source{at}")));
            source.file(format!("own/{at}"), format!("of layer {at}"));
            source.file("last", at.to_string());
            // What the layer before the last one brought goes.
            if at % 2 == 0 && at >= 2 {
                source.file(format!("own/.wh.{}", at - 2), "");
            }
            source.archive(&format!("{at}.tar"), &["--format=posix"], ["."])
        })
        .collect();
    check(&blobs, &directory);
}

#[test]
fn one_empty_layer_is_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let source = sample::Source::new(directory.path().join("source"));
    let blob = source.archive("empty.tar", &["--files-from=/dev/null"], Vec::<&str>::new());
    let flat = image::flatten(&[blob], directory.path());
    let ours = image::items(&flat);
    let (path, root) = ours.first_key_value().unwrap();
    assert_eq!(
        (ours.len(), path.as_slice(), root.mode, root.links),
        (1, &b""[..], 0o755, 2)
    );
    assert_eq!((root.uid, root.gid, &root.kind), (0, 0, &listing::Kind::Directory));
    tool::fsck(&flat, "--extract");
}

#[test]
fn a_directory_may_have_very_many_names() {
    const NAMES: usize = 60_000;
    let directory = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    for at in 0..NAMES {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("d/{at}"), &[][..]).unwrap();
    }
    let blob = directory.path().join("many.tar");
    std::fs::write(&blob, archive.into_inner().unwrap()).unwrap();
    let flat = image::flatten(&[blob], directory.path());
    // The directory and its parent, which no entry names, as well.
    assert_eq!(image::items(&flat).len(), NAMES + 2);
    tool::fsck(&flat, "--extract");
}
