//! From a source into the store: resolve, fetch, verify, convert, publish. All of an image or nothing of it.

mod ahead;
mod budget;
mod convert;
mod layers;
mod resolve;
mod spool;

use std::io;

use tokio::io::AsyncRead;
use tokio::task::JoinError;

use crate::config::ConfigError;
use crate::credentials::Credentials;
use crate::digest::{Digest, DigestError};
use crate::layer::LayerError;
use crate::local::{Local, LocalError, LocalImage, Root};
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::{Reference, ReferenceError};
use crate::registry::RegistryError;
use crate::registry::repository::{Access, Repository};
use crate::source::Source;
use crate::store::files::{Area, FileError};
use crate::store::record::Record;
use crate::store::snapshot::snapshot_id;
use crate::store::{Image, NewImage, Store, StoreError};
use resolve::{Blobs, Start};

/// Why an image did not get into the store. The store is then as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What should be a registry's name is none.
    #[error("not the name of a registry")]
    RegistryName(#[source] ReferenceError),
    /// The directory or archive.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The manifest or index.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The manifest or the configuration is not what its digest says.
    #[error("the image is damaged")]
    Damaged(#[source] DigestError),
    /// The image is for another kind of host.
    #[error("the image is for {image}; this host runs {host}")]
    WrongPlatform {
        /// The image's.
        image: Box<Platform>,
        /// What was asked for: without a wish, the host's.
        host: Box<Platform>,
    },
    /// The configuration and the manifest do not go together.
    #[error("the image's manifest has {manifest} layers and its configuration {config}")]
    LayerCount {
        /// In the manifest.
        manifest: usize,
        /// In the configuration.
        config: usize,
    },
    /// A layer's blob is not what its digest says.
    #[error("layer {layer} is damaged")]
    LayerDamaged {
        /// The layer's blob.
        layer: Digest,
        /// What is wrong.
        source: DigestError,
    },
    /// A layer's content is not what the configuration says.
    #[error("layer {layer} is not the one that the image's configuration names")]
    WrongLayer {
        /// The layer's blob.
        layer: Digest,
        /// What is wrong.
        source: DigestError,
    },
    /// A layer is what its digest says, and no layer for all that.
    #[error("layer {layer} cannot be used")]
    Layer {
        /// The layer's blob.
        layer: Digest,
        /// Why not.
        source: LayerError,
    },
    /// The image as a whole is larger than the host allows.
    #[error("the image has more than {limit} {what}, which is all that this host allows; raise it with {option}")]
    ImageTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
        /// What changes it.
        option: &'static str,
    },
    /// A layer that is small and makes itself large.
    #[error(
        "layer {layer} expands to more than {limit} times its size, which is all that this host allows; raise it with --image-expansion-max"
    )]
    Expansion {
        /// The layer's blob.
        layer: Digest,
        /// The bound.
        limit: u64,
    },
    /// A layer is compressed in a way that is not known, or its compression is damaged.
    #[error("layer {layer} cannot be decompressed")]
    Compression {
        /// The layer's blob.
        layer: Digest,
        /// Why not.
        source: io::Error,
    },
    /// The archive's stream broke off.
    #[error("cannot read the image archive")]
    Stream(#[source] io::Error),
    /// The archive's compression is not known or damaged.
    #[error("cannot decompress the image archive")]
    ArchiveCompression(#[source] io::Error),
    /// The archive is larger than allowed.
    #[error("the image archive is larger than {bytes_max} bytes")]
    ArchiveTooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// A name is given for several images.
    #[error("the archive holds {0} images: they cannot all have one name")]
    OneNameForSeveral(usize),
    /// A file operation in the store.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another layer failed, or nobody wants the image any more.
    #[error("the import was ended")]
    Cancelled,
    /// The host gives no further thread.
    #[error("cannot start a thread for the conversion")]
    Spawn(#[source] io::Error),
    /// A thread of the conversion ended without a result.
    #[error("the conversion broke down")]
    Thread(#[source] JoinError),
}

/// What a pull or load is to do.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// What to sign in to the registry with.
    pub credentials: Option<Credentials>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS, besides this host itself.
    pub insecure: Vec<String>,
    /// Who is asked before the reference's own registry, in this order.
    pub mirrors: Vec<Mirror>,
    /// Which of an image's platforms to take; without a wish, the host's.
    pub platform: Option<Platform>,
    /// The name that the image is to have in the store instead of its own.
    pub name: Option<Reference>,
}

/// Another registry that has what a registry has.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// `host[:port][/prefix]`
    pub location: String,
    /// What to sign in to it with; those for the registry are never given to it.
    pub credentials: Option<Credentials>,
}

impl Store {
    /// Takes an image from a registry, or from a directory or archive on this host, into the store. An image that is there
    /// already is asked for again, so that its tag is current, but nothing is downloaded twice.
    ///
    /// Dropping the future ends the pull. Whatever happens, the store has all of the image or nothing.
    pub async fn pull(
        &self,
        source: &Source,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Image, ImportError> {
        let (blobs, start, names) = match source {
            Source::Registry(reference) => return self.pull_from_registry(reference, options, progress).await,
            Source::Local {
                transport,
                path,
                selector,
            } => {
                let (transport, path, selector) = (*transport, path.clone(), selector.clone());
                let opened = move || {
                    let local = Local::open(transport, &path)?;
                    let image = local.select(selector.as_deref())?;
                    Ok::<_, LocalError>((local, image))
                };
                let (local, image) = blocking(opened).await??;
                let (start, names) = local_start(image);
                (Blobs::Local(local.blobs.into()), start, names)
            }
        };
        let images = self.import(&blobs, vec![(start, names)], options, progress).await?;
        images.into_iter().next().ok_or(ImportError::Local(LocalError::Empty))
    }

    /// Asks the mirrors, then the registry itself, whose error is the one to tell.
    async fn pull_from_registry(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Image, ImportError> {
        for mirror in &options.mirrors {
            let access = Access {
                credentials: mirror.credentials.clone(),
                insecure: options.insecure.clone(),
                mirror: Some(mirror.location.clone()),
            };
            match self.pull_at(reference, access, options, progress).await {
                // It is down, does not have the image, or has it wrong.
                Err(ImportError::Registry(_) | ImportError::Manifest(_)) => {}
                Err(ImportError::Damaged(_) | ImportError::LayerDamaged { .. }) => {}
                result => return result,
            }
        }
        let access = Access {
            credentials: options.credentials.clone(),
            insecure: options.insecure.clone(),
            mirror: None,
        };
        self.pull_at(reference, access, options, progress).await
    }

    async fn pull_at(
        &self,
        reference: &Reference,
        access: Access,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Image, ImportError> {
        let repository = Repository::connect(&self.inner.client, reference, access).await?;
        let start = (Start::Name(reference.clone()), vec![reference.clone()]);
        let blobs = Blobs::Registry(repository.into());
        let images = self.import(&blobs, vec![start], options, progress).await?;
        images.into_iter().next().ok_or(ImportError::Local(LocalError::Empty))
    }

    /// Tries to sign in to the registry `domain` (as in a [`Reference`]), for nothing but to know that it lets one in.
    pub async fn sign_in(&self, domain: &str, options: &PullOptions) -> Result<(), ImportError> {
        let reference = Reference::parse(&format!("{domain}/library/sign-in")).map_err(ImportError::RegistryName)?;
        let access = Access {
            credentials: options.credentials.clone(),
            insecure: options.insecure.clone(),
            mirror: None,
        };
        let repository = Repository::connect(&self.inner.client, &reference, access).await?;
        Ok(repository.knock().await?)
    }

    /// Takes all images of an archive into the store: of an OCI layout, or what `docker save` writes, compressed or not.
    ///
    /// Archives have their table of contents anywhere, so the stream is first written to the store's `tmp`.
    pub async fn load(
        &self,
        archive: impl AsyncRead + Send + Unpin,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImportError> {
        let spooled = spool::spool(&self.inner, archive).await?;
        let inner = self.inner.clone();
        let opened = move || Ok::<_, ImportError>(Local::open_archive(spool::decompress(&inner, spooled)?)?);
        let local = blocking(opened).await??;
        if options.name.is_some() && local.images.len() > 1 {
            return Err(ImportError::OneNameForSeveral(local.images.len()));
        }
        let starts = local.images.into_iter().map(local_start).collect();
        self.import(&Blobs::Local(local.blobs.into()), starts, options, progress)
            .await
    }

    async fn import(
        &self,
        blobs: &Blobs,
        starts: Vec<(Start, Vec<Reference>)>,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImportError> {
        // Declared before the holds, so dropped after them: what a failed attempt leaves is then held by nobody.
        let attempt = Attempt {
            store: self.clone(),
            is_over: false,
        };
        let result = self.import_attempt(blobs, starts, options, progress).await;
        attempt.end(result.is_ok()).await?;
        result
    }

    async fn import_attempt(
        &self,
        blobs: &Blobs,
        starts: Vec<(Start, Vec<Reference>)>,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImportError> {
        let wanted = options.platform.clone().unwrap_or_else(Platform::host);
        let (mut images, mut holds) = (Vec::new(), Vec::new());
        for (start, names) in starts {
            let resolved = resolve::resolve(blobs, start, &wanted).await?;
            let blobs_of_layers = resolved.manifest.layers.iter().map(|blob| blob.digest);
            let needed = resolved.config.diff_ids.iter().copied().chain(blobs_of_layers);
            holds.push(self.inner.holds.hold(needed.collect()));
            let layers = layers::fetch(&self.inner, blobs, &resolved, progress).await?;
            let snapshot = self
                .inner
                .files
                .path(Area::Snapshots, snapshot_id(&resolved.config.diff_ids));
            let inner = self.inner.clone();
            blocking(move || inner.keep_sound(&snapshot, &["metadata"])).await??;
            images.push(NewImage {
                record: Record {
                    digest: resolved.digest,
                    config_digest: resolved.manifest.config.digest,
                    platform: resolved.config.platform,
                    created: resolved.config.created,
                    stored_unix_ms: wall_ms(),
                    layers,
                    process: resolved.config.process,
                },
                manifest: resolved.manifest_bytes,
                config: resolved.config_bytes,
                names: options.name.clone().map_or(names, |name| vec![name]),
            });
        }
        let inner = self.inner.clone();
        let published = blocking(move || inner.publish(&images)).await??;
        drop(holds);
        Ok(published)
    }
}

fn local_start(image: LocalImage) -> (Start, Vec<Reference>) {
    let start = match image.root {
        Root::Blob(descriptor) => Start::Blob(descriptor),
        Root::Choice(index) => Start::Index(index),
    };
    (start, image.names)
}

fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Runs `work`, which waits for disks, where waiting is no harm.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ImportError> {
    tokio::task::spawn_blocking(work).await.map_err(ImportError::Thread)
}

/// An import under way. However it ends, also by being dropped, nothing stays that no image needs.
struct Attempt {
    store: Store,
    is_over: bool,
}

impl Attempt {
    async fn end(mut self, is_success: bool) -> Result<(), ImportError> {
        self.is_over = true;
        if is_success {
            return Ok(());
        }
        let inner = self.store.inner.clone();
        // The import's own error is the one to tell; what could not be swept now is swept when the store is next opened.
        let _ = blocking(move || inner.sweep()).await?;
        Ok(())
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_over
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let inner = self.store.inner.clone();
            runtime.spawn_blocking(move || inner.sweep());
        }
    }
}
