//! Image manifests and indexes: hostile JSON in, descriptors out, and the choice of a platform.
//!
//! OCI image spec (manifest, image index) and Docker's image manifest version 2, schema 2 and its list.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::{Digest, DigestError};
use crate::platform::Platform;

/// The largest manifest or index that is read (OCI distribution spec, "Pushing manifests": at least 4 MiB).
pub const MANIFEST_LEN_MAX: u64 = 4 << 20;
/// The most layers an image may have. Docker's own limit is 127.
pub const LAYERS_MAX: usize = 256;
/// The most indexes on the way from a name to a manifest, so that a loop of indexes ends.
pub const INDEX_DEPTH_MAX: usize = 3;
/// The largest compressed layer that a manifest may announce.
pub const LAYER_LEN_MAX: u64 = 64 << 30;

/// The media types that are asked for, best first.
pub const MANIFEST_MEDIA_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of an OCI layer without compression; others add `+gzip` or `+zstd`.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYERS: [&str; 3] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// Why bytes are no manifest that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MANIFEST_LEN_MAX`].
    #[error("the manifest is larger than {MANIFEST_LEN_MAX} bytes")]
    TooLarge,
    /// Not the JSON that a manifest is.
    #[error("the manifest is malformed")]
    Json(#[source] serde_json::Error),
    /// A digest in it is malformed.
    #[error("the manifest names a blob by a malformed digest")]
    Digest(#[source] DigestError),
    /// Docker's first format, without content addresses.
    #[error("the image has the old Docker manifest format (schema 1); push it again with a current tool")]
    SchemaOne,
    /// A schema version of the future.
    #[error("the manifest has the unknown schema version {0}")]
    SchemaVersion(u64),
    /// Fields of both an index and a manifest, or of neither, or a media type that says something else.
    #[error("the manifest is neither an image manifest nor an image index")]
    Ambiguous,
    /// An OCI artifact: a signature, a chart, …
    #[error("this is not a container image but an artifact ({0:?})")]
    Artifact(String),
    /// A layer of a kind that cannot be taken.
    #[error("the image has a layer of the unsupported type {0:?}")]
    LayerType(String),
    /// More layers than [`LAYERS_MAX`].
    #[error("the image has {0} layers; at most {LAYERS_MAX} are taken")]
    TooManyLayers(usize),
    /// A layer larger than [`LAYER_LEN_MAX`].
    #[error("the image announces a layer of {0} bytes; at most {LAYER_LEN_MAX} are taken")]
    LayerTooLarge(u64),
    /// More than [`INDEX_DEPTH_MAX`] indexes in a row.
    #[error("the image's indexes are nested more than {INDEX_DEPTH_MAX} deep")]
    TooDeep,
    /// No entry of an index fits.
    #[error("no image for {wanted}; there are: {}", list(offered))]
    NoPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What the index has.
        offered: Vec<Platform>,
    },
}

/// The most platforms that an error lists.
const LISTED_MAX: usize = 20;

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".into();
    }
    platforms
        .iter()
        .take(LISTED_MAX)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The start of a stranger's text, for an error. Errors show it with `{:?}`, so that it cannot steer a terminal.
fn quoted(text: &str) -> String {
    const QUOTED_LEN_MAX: usize = 100;
    text.chars().take(QUOTED_LEN_MAX).collect()
}

/// What a manifest or index says of another blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of the blob; empty where the writer left it out.
    pub media_type: String,
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size.
    pub size_bytes: u64,
    /// For entries of an index: whom the image is for.
    pub platform: Option<Platform>,
    /// Annotations, such as an image's name in a layout.
    pub annotations: BTreeMap<String, String>,
}

/// An image manifest: one configuration and the layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image index (Docker: manifest list).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The entries in the index's order.
    pub manifests: Vec<Descriptor>,
}

/// What a name or digest of an image can stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// One image.
    Image(ImageManifest),
    /// A choice of images.
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireManifest {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<WireDescriptor>,
    layers: Option<Vec<WireDescriptor>>,
    manifests: Option<Vec<WireDescriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<WirePlatform>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct WirePlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// Reads a manifest or an index.
pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    if bytes.len() as u64 > MANIFEST_LEN_MAX {
        return Err(ManifestError::TooLarge);
    }
    let wire: WireManifest = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
    match wire.schema_version {
        2 => {}
        1 => return Err(ManifestError::SchemaOne),
        other => return Err(ManifestError::SchemaVersion(other)),
    }
    let media_type = wire.media_type.as_deref();
    // A document that could be read either way would let two tools see two images under one digest.
    match (wire.config, wire.layers, wire.manifests) {
        (Some(config), Some(layers), None) if matches!(media_type, None | Some(OCI_MANIFEST | DOCKER_MANIFEST)) => {
            image(config, layers, wire.artifact_type).map(Manifest::Image)
        }
        (None, None, Some(manifests)) if matches!(media_type, None | Some(OCI_INDEX | DOCKER_LIST)) => {
            let manifests = manifests.into_iter().map(descriptor).collect::<Result<_, _>>()?;
            Ok(Manifest::Index(Index { manifests }))
        }
        _ => Err(ManifestError::Ambiguous),
    }
}

/// What a stored manifest says it is; an OCI manifest need not say it.
#[must_use]
pub fn media_type(bytes: &[u8]) -> String {
    let wire: Option<WireManifest> = serde_json::from_slice(bytes).ok();
    wire.and_then(|wire| wire.media_type)
        .unwrap_or_else(|| OCI_MANIFEST.into())
}

fn image(
    config: WireDescriptor,
    layers: Vec<WireDescriptor>,
    artifact: Option<String>,
) -> Result<ImageManifest, ManifestError> {
    if let Some(artifact) = artifact {
        return Err(ManifestError::Artifact(quoted(&artifact)));
    }
    let config = descriptor(config)?;
    // Docker's early tools wrote a configuration under this type.
    if !matches!(
        config.media_type.as_str(),
        OCI_CONFIG | DOCKER_CONFIG | "application/octet-stream"
    ) {
        return Err(ManifestError::Artifact(quoted(&config.media_type)));
    }
    if layers.len() > LAYERS_MAX {
        return Err(ManifestError::TooManyLayers(layers.len()));
    }
    let layers = layers.into_iter().map(layer).collect::<Result<_, _>>()?;
    Ok(ImageManifest { config, layers })
}

fn layer(wire: WireDescriptor) -> Result<Descriptor, ManifestError> {
    let layer = descriptor(wire)?;
    let suffix = layer.media_type.strip_prefix(OCI_LAYER);
    if !matches!(suffix, Some("" | "+gzip" | "+zstd")) && !DOCKER_LAYERS.contains(&layer.media_type.as_str()) {
        return Err(ManifestError::LayerType(quoted(&layer.media_type)));
    }
    if layer.size_bytes > LAYER_LEN_MAX {
        return Err(ManifestError::LayerTooLarge(layer.size_bytes));
    }
    Ok(layer)
}

fn descriptor(wire: WireDescriptor) -> Result<Descriptor, ManifestError> {
    let platform = wire.platform.map(|platform| {
        Platform::from_words(&platform.os, &platform.architecture, platform.variant.as_deref())
            .unwrap_or_else(Platform::unknown)
    });
    Ok(Descriptor {
        media_type: wire.media_type,
        digest: Digest::parse(&wire.digest).map_err(ManifestError::Digest)?,
        size_bytes: wire.size,
        platform,
        annotations: wire.annotations.unwrap_or_default(),
    })
}

impl Index {
    /// The entry for `wanted`: the first with its very variant, else the first that it accepts, else the only one
    /// that does not say whom it is for (the image's configuration will).
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, ManifestError> {
        let of = |entry: &Descriptor| entry.platform.clone();
        let accepted: Vec<_> = self
            .manifests
            .iter()
            .filter(|entry| of(entry).is_some_and(|offered| wanted.accepts(&offered)))
            .collect();
        let exact = accepted
            .iter()
            .find(|entry| of(entry).is_some_and(|offered| offered.variant == wanted.variant));
        if let Some(entry) = exact.or(accepted.first()) {
            return Ok(entry);
        }
        let mut silent = self.manifests.iter().filter(|entry| entry.platform.is_none());
        if let (Some(entry), None) = (silent.next(), silent.next()) {
            return Ok(entry);
        }
        // Build attestations are entries for "unknown/unknown": nothing to offer to a user.
        let offered = self
            .manifests
            .iter()
            .filter_map(of)
            .filter(|offered| offered.os != "unknown")
            .collect();
        Err(ManifestError::NoPlatform {
            wanted: wanted.clone(),
            offered,
        })
    }
}

#[cfg(test)]
mod tests;
