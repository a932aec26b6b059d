//! From where an image begins to its manifest and configuration, each verified.

use std::sync::Arc;

use super::ImportError;
use crate::config::{self, CONFIG_LEN_MAX, ConfigError, ImageConfig};
use crate::digest::{self, Digest};
use crate::local::{LocalBlobs, LocalError};
use crate::manifest::{
    self, Descriptor, INDEX_DEPTH_MAX, ImageManifest, Index, MANIFEST_LEN_MAX, Manifest, ManifestError,
};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::repository::Repository;

/// Where an image's blobs are.
pub(super) enum Blobs {
    /// In a repository of a registry.
    Registry(Box<Repository>),
    /// On this host.
    Local(Arc<LocalBlobs>),
}

/// Where an image begins.
pub(super) enum Start {
    /// At what its registry has under a tag or digest.
    Name(Reference),
    /// At a manifest or index.
    Blob(Descriptor),
    /// At a choice that was read already.
    Index(Index),
}

/// An image whose layers are yet to come.
pub(super) struct Resolved {
    pub digest: Digest,
    pub manifest: ImageManifest,
    pub manifest_bytes: Vec<u8>,
    pub config: ImageConfig,
    pub config_bytes: Vec<u8>,
}

/// Follows indexes to the manifest for `wanted`, then reads its configuration.
pub(super) async fn resolve(blobs: &Blobs, start: Start, wanted: &Platform) -> Result<Resolved, ImportError> {
    let (manifest, manifest_bytes) = find_manifest(blobs, start, wanted).await?;
    let digest = Digest::of(&manifest_bytes);
    let config_bytes = config_bytes(blobs, &manifest.config).await?;
    let config = config::parse(&config_bytes)?;
    if !wanted.accepts(&config.platform) {
        return Err(ImportError::WrongPlatform {
            image: config.platform.into(),
            host: wanted.clone().into(),
        });
    }
    if config.diff_ids.len() != manifest.layers.len() {
        return Err(ImportError::LayerCount {
            manifest: manifest.layers.len(),
            config: config.diff_ids.len(),
        });
    }
    Ok(Resolved {
        digest,
        manifest,
        manifest_bytes,
        config,
        config_bytes,
    })
}

async fn find_manifest(
    blobs: &Blobs,
    start: Start,
    wanted: &Platform,
) -> Result<(ImageManifest, Vec<u8>), ImportError> {
    let mut next = match start {
        Start::Name(reference) => Next::Name(reference),
        Start::Blob(descriptor) => Next::Blob(descriptor),
        Start::Index(index) => Next::Blob(index.choose(wanted)?.clone()),
    };
    // A digest cannot be part of what it is the digest of, but indexes can be long chains.
    for _ in 0..=INDEX_DEPTH_MAX {
        let bytes = match next {
            Next::Name(reference) => named_manifest(blobs, &reference).await?,
            Next::Blob(descriptor) => {
                let bytes = manifest_blob(blobs, &descriptor).await?;
                digest::verify(&bytes, descriptor.digest, descriptor.size_bytes).map_err(ImportError::Damaged)?;
                bytes
            }
        };
        match manifest::parse(&bytes)? {
            Manifest::Image(manifest) => return Ok((manifest, bytes)),
            Manifest::Index(index) => next = Next::Blob(index.choose(wanted)?.clone()),
        }
    }
    Err(ManifestError::TooDeep.into())
}

/// The next document on the way to the image's manifest.
enum Next {
    Name(Reference),
    Blob(Descriptor),
}

async fn named_manifest(blobs: &Blobs, reference: &Reference) -> Result<Vec<u8>, ImportError> {
    let Blobs::Registry(repository) = blobs else {
        return Err(LocalError::Empty.into());
    };
    let bytes = repository.manifest(&reference.version()).await?;
    if let Some(digest) = reference.digest() {
        digest::verify(&bytes, digest, bytes.len() as u64).map_err(ImportError::Damaged)?;
    }
    Ok(bytes)
}

async fn manifest_blob(blobs: &Blobs, descriptor: &Descriptor) -> Result<Vec<u8>, ImportError> {
    if descriptor.size_bytes > MANIFEST_LEN_MAX {
        return Err(ManifestError::TooLarge.into());
    }
    match blobs {
        Blobs::Registry(repository) => Ok(repository.manifest(&descriptor.digest.to_string()).await?),
        Blobs::Local(blobs) => Ok(blobs.read(descriptor.digest, MANIFEST_LEN_MAX)?),
    }
}

async fn config_bytes(blobs: &Blobs, descriptor: &Descriptor) -> Result<Vec<u8>, ImportError> {
    if descriptor.size_bytes > CONFIG_LEN_MAX {
        return Err(ConfigError::TooLarge.into());
    }
    let bytes = match blobs {
        Blobs::Registry(repository) => repository.small_blob(descriptor.digest, descriptor.size_bytes).await?,
        Blobs::Local(blobs) => blobs.read(descriptor.digest, CONFIG_LEN_MAX)?,
    };
    digest::verify(&bytes, descriptor.digest, descriptor.size_bytes).map_err(ImportError::Damaged)?;
    Ok(bytes)
}
