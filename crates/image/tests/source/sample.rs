//! Small images for tests, with all that their manifests say of them right.

use std::io::Write;

use image::Digest;
use image::manifest::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use serde_json::{Value, json};

/// A blob and its name.
#[derive(Clone)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: Vec<u8>,
}

impl Blob {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    pub fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest.to_string(), "size": self.bytes.len()})
    }
}

/// How a layer's tar stream is packed.
#[derive(Clone, Copy, Debug)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A layer: its tar stream and its blob.
#[derive(Clone)]
pub struct Layer {
    pub tar: Vec<u8>,
    pub blob: Blob,
    pub media_type: String,
}

impl Layer {
    /// One file at `path`.
    pub fn new(path: &str, content: &[u8], packing: Packing) -> Self {
        let tar = tar(&[(path, content)]);
        let (bytes, suffix) = match packing {
            Packing::Plain => (tar.clone(), ""),
            Packing::Gzip => (gzip(&tar), "+gzip"),
            Packing::Zstd => (zstd::encode_all(tar.as_slice(), 1).unwrap(), "+zstd"),
        };
        Self {
            tar,
            blob: Blob::new(bytes),
            media_type: format!("{OCI_LAYER}{suffix}"),
        }
    }

    /// A file that does not compress, so that its blob is of this size, more or less.
    pub fn large(path: &str, len: usize) -> Self {
        let mut state = 1_u64;
        let content: Vec<u8> = (0..len)
            .map(|_| {
                // Knuth's linear congruential generator: noise enough for gzip.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect();
        Self::new(path, &content, Packing::Gzip)
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive of these files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image.
#[derive(Clone)]
pub struct Sample {
    pub layers: Vec<Layer>,
    pub config: Blob,
    pub manifest: Blob,
}

impl Sample {
    /// For this host's platform.
    pub fn new(layers: Vec<Layer>) -> Self {
        Self::for_architecture(layers, &image::Platform::host().architecture)
    }

    pub fn for_architecture(layers: Vec<Layer>, architecture: &str) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(&layer.tar).to_string()).collect();
        let config = json!({
            "os": "linux", "architecture": architecture, "created": "2026-01-02T03:04:05Z",
            "config": {"Cmd": ["/hello"], "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Self::with_config(layers, &config)
    }

    /// With a configuration that need not fit.
    pub fn with_config(layers: Vec<Layer>, config: &Value) -> Self {
        let config = Blob::new(config.to_string());
        let descriptors: Vec<_> = layers
            .iter()
            .map(|layer| layer.blob.descriptor(&layer.media_type))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.descriptor(OCI_CONFIG), "layers": descriptors,
        });
        Self {
            layers,
            config,
            manifest: Blob::new(manifest.to_string()),
        }
    }

    /// An entry for an index.
    pub fn entry(&self, os: &str, architecture: &str) -> Value {
        let mut entry = self.manifest.descriptor(OCI_MANIFEST);
        entry["platform"] = json!({"os": os, "architecture": architecture});
        entry
    }

    /// All blobs, the manifest among them.
    pub fn blobs(&self) -> Vec<Blob> {
        let layers = self.layers.iter().map(|layer| layer.blob.clone());
        layers.chain([self.config.clone(), self.manifest.clone()]).collect()
    }
}

/// One image with a layer of each packing.
pub fn hello() -> Sample {
    Sample::new(vec![
        Layer::new("base", b"base", Packing::Gzip),
        Layer::new("middle", b"middle", Packing::Zstd),
        Layer::new("hello", b"hello", Packing::Plain),
    ])
}
