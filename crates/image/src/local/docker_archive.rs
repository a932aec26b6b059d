//! What `docker save` writes (Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format").
//!
//! Such an archive names its layers by paths and has no manifests. The manifest that each image would have is made
//! from it, always the same for the same archive, so that such images have digests like all others.

use std::collections::HashMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::section::Section;
use super::{Local, LocalBlobs, LocalError, LocalImage, Root, label};
use crate::config::{self, CONFIG_LEN_MAX};
use crate::decompress::{self, Compression};
use crate::digest::{Digest, HashingReader};
use crate::manifest::{Descriptor, LAYERS_MAX, MANIFEST_LEN_MAX, ManifestError, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::reference::Reference;

/// The table of contents.
pub const CONTENTS: &str = "manifest.json";

/// An image in the table of contents.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeManifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: MadeDescriptor,
    layers: Vec<MadeDescriptor>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeDescriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Opens an archive: finds every image's parts and makes its manifest. Compressed layers are read through for their
/// digests.
pub(super) fn open(archive: Archive) -> Result<Local, LocalError> {
    let items: Vec<Item> =
        serde_json::from_slice(&archive.read(CONTENTS, MANIFEST_LEN_MAX)?).map_err(LocalError::Json)?;
    let mut parts = Parts {
        archive: &archive,
        sections: HashMap::new(),
        made: HashMap::new(),
        layers: HashMap::new(),
    };
    let images = items
        .into_iter()
        .map(|item| parts.image(item))
        .collect::<Result<Vec<_>, _>>()?;
    if images.is_empty() {
        return Err(LocalError::Empty);
    }
    let Parts { sections, made, .. } = parts;
    Ok(Local {
        blobs: LocalBlobs::Archive {
            archive,
            sections,
            made,
        },
        images,
    })
}

struct Parts<'a> {
    archive: &'a Archive,
    sections: HashMap<Digest, Section>,
    made: HashMap<Digest, Vec<u8>>,
    /// Layers that several images share are looked at once.
    layers: HashMap<String, MadeDescriptor>,
}

impl Parts<'_> {
    fn image(&mut self, item: Item) -> Result<LocalImage, LocalError> {
        let config = self.archive.read(&item.config, CONFIG_LEN_MAX)?;
        let diff_ids = config::parse(&config).map_err(LocalError::Config)?.diff_ids;
        let paths = item.layers.unwrap_or_default();
        if paths.len() > LAYERS_MAX {
            return Err(LocalError::Contents(ManifestError::TooManyLayers(paths.len())));
        }
        if paths.len() != diff_ids.len() {
            return Err(LocalError::LayerCount {
                listed: paths.len(),
                configured: diff_ids.len(),
            });
        }
        let layers = paths
            .iter()
            .zip(diff_ids)
            .map(|(path, diff_id)| self.layer(path, diff_id))
            .collect::<Result<_, _>>()?;
        let config = MadeDescriptor {
            media_type: OCI_CONFIG.into(),
            size: config.len() as u64,
            digest: self.keep(config).to_string(),
        };
        let manifest = MadeManifest {
            schema_version: 2,
            media_type: OCI_MANIFEST,
            config,
            layers,
        };
        let manifest = serde_json::to_vec(&manifest).map_err(LocalError::Json)?;
        let size_bytes = manifest.len() as u64;
        let root = Descriptor {
            media_type: OCI_MANIFEST.into(),
            digest: self.keep(manifest),
            size_bytes,
            platform: None,
            annotations: std::collections::BTreeMap::default(),
        };
        let labels: Vec<_> = item
            .repo_tags
            .unwrap_or_default()
            .iter()
            .filter_map(|text| label(text))
            .collect();
        let names = labels.iter().filter_map(|label| Reference::parse(label).ok()).collect();
        Ok(LocalImage {
            root: Root::Blob(root),
            names,
            labels,
        })
    }

    fn keep(&mut self, blob: Vec<u8>) -> Digest {
        let digest = Digest::of(&blob);
        self.made.insert(digest, blob);
        digest
    }

    /// A plain layer's digest is its diff ID, as the import will check; a compressed one's must be found out.
    fn layer(&mut self, path: &str, diff_id: Digest) -> Result<MadeDescriptor, LocalError> {
        if let Some(layer) = self.layers.get(path) {
            return Ok(layer.clone());
        }
        let section = self.archive.find(path).ok_or_else(|| LocalError::missing(path))?;
        let compression = decompress::open(section.clone())
            .map_err(LocalError::Read)?
            .compression();
        let (suffix, digest) = match compression {
            Compression::Plain => ("", diff_id),
            Compression::Gzip => ("+gzip", hash(section.clone())?),
            Compression::Zstd => ("+zstd", hash(section.clone())?),
        };
        let layer = MadeDescriptor {
            media_type: format!("{OCI_LAYER}{suffix}"),
            digest: digest.to_string(),
            size: section.len_bytes(),
        };
        self.sections.insert(digest, section);
        self.layers.insert(path.into(), layer.clone());
        Ok(layer)
    }
}

fn hash(section: impl Read) -> Result<Digest, LocalError> {
    let mut reader = HashingReader::new(section);
    io::copy(&mut reader, &mut io::sink()).map_err(LocalError::Read)?;
    Ok(reader.finish().0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::{self, Manifest};
    use crate::tar::sample;

    fn config(layers: &[&[u8]]) -> Vec<u8> {
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
            .to_string()
            .into()
    }

    fn open_with(contents: &Value, build: impl Fn(sample::Archive) -> sample::Archive) -> Result<Local, LocalError> {
        let bytes = build(sample::Archive::new())
            .file(CONTENTS, contents.to_string().as_bytes())
            .finish();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        Local::open_archive(file)
    }

    #[test]
    fn an_archive_implies_a_manifest() {
        let contents =
            json!([{"Config": "c.json", "RepoTags": ["a:1", "b/c:2"], "Layers": ["x/layer.tar", "y/layer.tar"]}]);
        let local = open_with(&contents, |archive| {
            let archive = archive
                .file("c.json", &config(&[b"one", b"one"]))
                .file("x/layer.tar", b"one");
            archive.symlink("y/layer.tar", "../x/layer.tar")
        })
        .unwrap();
        let image = local.select(Some("a:1")).unwrap();
        assert_eq!(
            image.names.iter().map(Reference::familiar).collect::<Vec<_>>(),
            ["a:1", "b/c:2"]
        );
        let Root::Blob(root) = image.root else {
            panic!("no manifest")
        };
        let Ok(Manifest::Image(manifest)) = manifest::parse(&local.blobs.read(root.digest, MANIFEST_LEN_MAX).unwrap())
        else {
            panic!("no image manifest");
        };
        assert_eq!(
            manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(),
            [Digest::of(b"one"); 2]
        );
        assert_eq!(
            io::read_to_string(local.blobs.open(&manifest.layers[1]).unwrap()).unwrap(),
            "one"
        );
    }

    #[test]
    fn compressed_layers_have_digests_of_their_own() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"one").unwrap();
        let gzip = gzip.finish().unwrap();
        let contents = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["l"]}]);
        let local = open_with(&contents, |archive| {
            archive.file("c.json", &config(&[b"one"])).file("l", &gzip)
        })
        .unwrap();
        let LocalBlobs::Archive { sections, .. } = &local.blobs else {
            panic!("no archive")
        };
        assert!(sections.contains_key(&Digest::of(&gzip)));
        assert!(local.images[0].names.is_empty());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let contents = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["l"]}]);
        let without_layer = open_with(&contents, |archive| archive.file("c.json", &config(&[b"one"])));
        assert!(matches!(without_layer, Err(LocalError::Missing(path)) if path == "l"));
        let without_config = open_with(&contents, |archive| archive.file("l", b"one"));
        assert!(matches!(without_config, Err(LocalError::Missing(path)) if path == "c.json"));
        let too_few = open_with(&contents, |archive| {
            archive.file("c.json", &config(&[])).file("l", b"one")
        });
        assert!(matches!(
            too_few,
            Err(LocalError::LayerCount {
                listed: 1,
                configured: 0
            })
        ));
    }
}
