//! OCI image layouts, as a directory or in an archive (OCI image spec, image layout).

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::archive::{self, Archive};
use super::{Local, LocalBlobs, LocalError, LocalImage, Root, label, open_file, whole};
use crate::manifest::{self, Descriptor, Index, MANIFEST_LEN_MAX, Manifest};
use crate::reference::Reference;

/// The file that makes a directory a layout.
pub const MARKER: &str = "oci-layout";
/// The table of contents.
pub(crate) const CONTENTS: &str = "index.json";
/// The largest marker.
const MARKER_LEN_MAX: u64 = 4 << 10;

/// An image's tag, or with many tools its whole name (OCI image spec, annotations).
pub(crate) const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";
/// An image's whole name, from containerd and Docker.
pub(crate) const ANNOTATION_CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Opens a layout directory.
pub(super) fn open_directory(directory: &Path) -> Result<Local, LocalError> {
    let read = |name: &str, len_max| archive::read_small(whole(open_file(&directory.join(name))?)?, name, len_max);
    check_version(&read(MARKER, MARKER_LEN_MAX)?)?;
    let images = parse_contents(&read(CONTENTS, MANIFEST_LEN_MAX)?)?;
    Ok(Local {
        blobs: LocalBlobs::Directory(directory.into()),
        images,
    })
}

/// Opens an archive of a layout.
pub(super) fn open_archive(archive: Archive) -> Result<Local, LocalError> {
    check_version(&archive.read(MARKER, MARKER_LEN_MAX)?)?;
    let images = parse_contents(&archive.read(CONTENTS, MANIFEST_LEN_MAX)?)?;
    Ok(Local {
        blobs: LocalBlobs::Archive {
            archive,
            sections: HashMap::new(),
            made: HashMap::new(),
        },
        images,
    })
}

fn check_version(marker: &[u8]) -> Result<(), LocalError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        image_layout_version: String,
    }
    let wire: Wire = serde_json::from_slice(marker).map_err(LocalError::Json)?;
    if wire.image_layout_version.starts_with("1.") {
        Ok(())
    } else {
        Err(LocalError::LayoutVersion(wire.image_layout_version))
    }
}

/// Reads `index.json`: which images there are. Entries without any name among them are one image for several platforms.
pub fn parse_contents(bytes: &[u8]) -> Result<Vec<LocalImage>, LocalError> {
    let index = match manifest::parse(bytes).map_err(LocalError::Contents)? {
        Manifest::Index(index) => index,
        Manifest::Image(_) => return Err(LocalError::Contents(manifest::ManifestError::Ambiguous)),
    };
    let named: Vec<_> = index.manifests.iter().map(image).collect();
    match named.as_slice() {
        [] => Err(LocalError::Empty),
        [_, _, ..] if named.iter().all(|image| image.labels.is_empty()) => Ok(vec![LocalImage {
            root: Root::Choice(index),
            names: Vec::new(),
            labels: Vec::new(),
        }]),
        _ => Ok(merge(named)),
    }
}

fn image(entry: &Descriptor) -> LocalImage {
    let mut labels = Vec::new();
    let mut names = Vec::new();
    for annotation in [ANNOTATION_CONTAINERD_NAME, ANNOTATION_REF_NAME] {
        let Some(label) = entry.annotations.get(annotation).and_then(|text| label(text)) else {
            continue;
        };
        // A bare word is a tag of a repository that the layout does not name.
        if names.is_empty() && label.contains([':', '/']) {
            names.extend(Reference::parse(&label).ok());
        }
        labels.push(label);
    }
    LocalImage {
        root: Root::Blob(entry.clone()),
        names,
        labels,
    }
}

/// One image may stand under several names, and under one name may stand several platforms.
fn merge(images: Vec<LocalImage>) -> Vec<LocalImage> {
    let mut merged: Vec<LocalImage> = Vec::new();
    for image in images {
        let Root::Blob(entry) = &image.root else { continue };
        let of_same_blob =
            |other: &&mut LocalImage| matches!(&other.root, Root::Blob(other) if other.digest == entry.digest);
        let of_same_labels = |other: &&mut LocalImage| !image.labels.is_empty() && other.labels == image.labels;
        if let Some(same) = merged.iter_mut().find(of_same_blob) {
            same.names.extend(image.names);
            same.labels.extend(image.labels);
        } else if let Some(other) = merged.iter_mut().find(of_same_labels) {
            let mut manifests = match &other.root {
                Root::Blob(first) => vec![first.clone()],
                Root::Choice(index) => index.manifests.clone(),
            };
            manifests.push(entry.clone());
            other.root = Root::Choice(Index { manifests });
        } else {
            merged.push(image);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::digest::Digest;

    fn entry(content: &[u8], annotations: &Value) -> Value {
        json!({"mediaType": manifest::OCI_MANIFEST, "digest": Digest::of(content).to_string(), "size": 1, "annotations": annotations})
    }

    fn check(entries: &[Value], expected: &[(&[&str], &[&str])]) {
        let images = parse_contents(json!({"schemaVersion": 2, "manifests": entries}).to_string().as_bytes()).unwrap();
        let seen: Vec<_> = images
            .iter()
            .map(|image| {
                (
                    image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    image.labels.clone(),
                )
            })
            .collect();
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected: Vec<_> = expected
            .iter()
            .map(|(names, labels)| (owned(names), owned(labels)))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn whole_names_are_names_and_bare_tags_are_labels() {
        check(&[entry(b"a", &json!({ANNOTATION_REF_NAME: "v1"}))], &[(&[], &["v1"])]);
        check(
            &[entry(b"a", &json!({ANNOTATION_REF_NAME: "localhost:5000/a:v1"}))],
            &[(&["localhost:5000/a:v1"], &["localhost:5000/a:v1"])],
        );
        check(
            &[entry(
                b"a",
                &json!({ANNOTATION_CONTAINERD_NAME: "docker.io/library/a:v1", ANNOTATION_REF_NAME: "v1"}),
            )],
            &[(&["docker.io/library/a:v1"], &["docker.io/library/a:v1", "v1"])],
        );
    }

    #[test]
    fn one_image_may_have_two_names_and_one_name_two_platforms() {
        let named = |content: &[u8], name: &str| entry(content, &json!({ANNOTATION_REF_NAME: name}));
        check(&[named(b"a", "x"), named(b"a", "y")], &[(&[], &["x", "y"])]);
        check(&[named(b"a", "x"), named(b"b", "x")], &[(&[], &["x"])]);
        check(&[named(b"a", "x"), named(b"b", "y")], &[(&[], &["x"]), (&[], &["y"])]);
    }

    #[test]
    fn nameless_entries_are_a_choice() {
        check(&[entry(b"a", &json!({})), entry(b"b", &json!({}))], &[(&[], &[])]);
    }

    #[test]
    fn an_empty_layout_and_one_of_the_future_are_refused() {
        assert!(matches!(
            parse_contents(br#"{"schemaVersion":2,"manifests":[]}"#),
            Err(LocalError::Empty)
        ));
        assert!(matches!(
            check_version(br#"{"imageLayoutVersion":"2.0.0"}"#),
            Err(LocalError::LayoutVersion(_))
        ));
    }
}
