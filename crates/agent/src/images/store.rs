//! The images of the crate `image`'s store.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::error::{ApiError, ErrorCode};
use api::image::{Image, ImageEvent, LayerSummary, LoginRequest, PullRequest, StoredLayer};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use image::credentials::{docker_config_path, from_docker_config};
use image::login::{self, LoginError};
use image::{Credentials, Event, Mirror, Platform, PullOptions, Reference, Source, Store, StoreError, StoreOptions};
use tokio::sync::mpsc;

use super::refusal::{refuse, refuse_import, refuse_store};
use super::{Archive, ImageConfig, Images, ImagesPruned, ImagesUsage, Progress, Prunable, RunnableImage};
use crate::config::{Config, ImagesConfig};

/// Images that are remembered; beyond, all are looked up anew.
const FOUND_MAX: usize = 256;

/// Bytes of an archive that are sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces of an archive that wait for a client.
const PIECES_MAX: usize = 4;

/// What the parts of a rootfs snapshot are rounded up to, in bytes.
const PART_ALIGNMENT: u64 = 4096;

/// The store, and how the host agent uses it.
#[derive(Debug)]
pub struct StoredImages {
    store: Store,
    config: ImagesConfig,
    // Shared by all requests; locked for moments, never while waiting. Nobody else changes the store, so what was found stays true until
    // a pull, a load or a removal.
    found: Mutex<Found>,
}

/// What was looked up lately, by the word that was asked for.
#[derive(Debug, Default)]
struct Found {
    images: HashMap<String, RunnableImage>,
    /// Counts changes of the store: what was looked up before one is not kept after it.
    changes: u64,
}

/// The store changes for as long as this value lives, or may have.
struct Change<'a>(&'a StoredImages);

impl<'a> Change<'a> {
    fn begin(images: &'a StoredImages) -> Self {
        images.forget_found();
        Self(images)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.forget_found();
    }
}

impl StoredImages {
    /// Opens the store.
    ///
    /// # Errors
    /// Where it is in use, or not readable.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let options = StoreOptions {
            limits: config.images.limits.clone(),
            authority_files: config.images.authority_files.clone(),
            discards_blobs: config.images.discards_blobs,
            ..StoreOptions::default()
        };
        let store = Store::open(&config.images_directory(), options)?;
        Ok(Self {
            store,
            config: config.images.clone(),
            found: Mutex::default(),
        })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Nothing that holds the lock leaves a change half-done.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Also gives back the hold on files that are to be removed.
    fn forget_found(&self) {
        let mut found = self.found();
        found.changes += 1;
        found.images.clear();
    }

    /// Does what may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(StoreError::Thread);
        done.and_then(|done| done).map_err(|error| refuse_store(&error))
    }

    /// As [`Self::look_up`], without looking up again what did not change.
    async fn find(&self, word: &str) -> Result<RunnableImage, ApiError> {
        let changes = {
            let found = self.found();
            if let Some(image) = found.images.get(word) {
                return Ok(image.clone());
            }
            found.changes
        };
        let image = self.look_up(word.to_owned()).await?;
        let mut found = self.found();
        if found.changes == changes {
            if found.images.len() >= FOUND_MAX {
                found.images.clear();
            }
            found.images.insert(word.to_owned(), image.clone());
        }
        Ok(image)
    }

    async fn look_up(&self, word: String) -> Result<RunnableImage, ApiError> {
        let resolved = self
            .blocking(move |store| store.resolve(&word).map(|image| (image, word)))
            .await;
        let (image, word) = resolved?;
        let (host, platform) = (Platform::host(), &image.record.platform);
        if !host.accepts(platform) {
            let message = format!("the image {word} is for {platform}; this host runs {host}");
            return Err(ApiError {
                code: ErrorCode::InvalidImage,
                message,
            });
        }
        let snapshot = self
            .store
            .snapshot(&image)
            .await
            .map_err(|error| refuse_store(&error))?;
        let process = image.record.process;
        let digest = image.record.digest.to_string();
        let full_name = Reference::parse(&word).map(|reference| reference.to_string()).ok();
        Ok(RunnableImage {
            name: full_name
                .filter(|name| image.names.contains(name))
                .unwrap_or_else(|| digest.clone()),
            digest,
            config: ImageConfig {
                entrypoint: process.entrypoint,
                command: process.cmd,
                env: process.env,
                working_directory: process.working_dir,
                user: process.user,
                stop_signal: process.stop_signal,
            },
            rootfs_bytes: snapshot
                .parts
                .iter()
                .map(|part| part.len_bytes.next_multiple_of(PART_ALIGNMENT))
                .sum(),
            parts: snapshot.parts.iter().map(|part| part.path.clone()).collect(),
            hold: Arc::new(snapshot),
        })
    }

    async fn pull(&self, request: PullRequest, progress: Progress) -> Result<Vec<Image>, ApiError> {
        let reference =
            Reference::parse(&request.reference).map_err(|error| refuse(ErrorCode::InvalidParameter, &error))?;
        let platform = request.platform.as_deref().map(platform).transpose()?;
        let credentials = match request.credentials {
            Some(given) => Some(Credentials::new(given.username, given.password)),
            None => own_credentials(reference.domain().to_owned()).await?,
        };
        let mut options = self.options(reference.domain(), credentials, request.insecure);
        options.mirrors = self.mirrors(reference.domain()).await?;
        options.platform = platform;
        let pulled = self
            .store
            .pull(&Source::Registry(reference), &options, &listener(progress))
            .await;
        pulled
            .map(|image| vec![summary(image)])
            .map_err(|error| refuse_import(&error))
    }

    /// How to speak to the registry `domain`.
    fn options(&self, domain: &str, credentials: Option<Credentials>, is_insecure: bool) -> PullOptions {
        let mut insecure = self.config.insecure_registries.clone();
        if is_insecure {
            insecure.push(domain.to_owned());
        }
        PullOptions {
            credentials,
            insecure,
            ..PullOptions::default()
        }
    }

    /// Who is asked before the registry `domain`, each with its own credentials.
    async fn mirrors(&self, domain: &str) -> Result<Vec<Mirror>, ApiError> {
        let mut mirrors = vec![];
        for mirror in self.config.mirrors.iter().filter(|mirror| mirror.registry == domain) {
            let host = mirror.location.split('/').next().unwrap_or_default();
            mirrors.push(Mirror {
                location: mirror.location.clone(),
                credentials: own_credentials(host.to_owned()).await?,
            });
        }
        Ok(mirrors)
    }

    /// Signs in to a registry, and keeps what it let in with.
    ///
    /// # Errors
    /// Where the registry or the Docker configuration refuses.
    pub async fn login(&self, request: LoginRequest) -> Result<(), ApiError> {
        let path = config_path()?;
        let credentials = Credentials::new(request.username.clone(), request.password.clone());
        let options = self.options(&request.registry, Some(credentials), request.insecure);
        let let_in = self.store.sign_in(&request.registry, &options).await;
        let_in.map_err(|error| refuse_import(&error))?;
        let keep = move || login::keep(&path, &request.registry, &request.username, &request.password);
        blocking(keep).await
    }

    /// Forgets what is kept for a registry. Answers whether there was anything.
    ///
    /// # Errors
    /// Where the Docker configuration refuses.
    pub async fn logout(&self, registry: String) -> Result<bool, ApiError> {
        let path = config_path()?;
        blocking(move || login::forget(&path, &registry)).await
    }

    /// Images as an archive, which is written while it is read.
    ///
    /// # Errors
    /// Where there is no such image, or a part of it was not kept.
    pub async fn save(&self, words: Vec<String>) -> Result<Pieces, ApiError> {
        let saving = self.blocking(move |store| store.saving(&words)).await?;
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || {
            let out = std::io::BufWriter::with_capacity(PIECE_BYTES, PieceWriter(&sender));
            if let Err(error) = saving.write(out) {
                // So that the client does not take it for whole; if that is gone, nobody needs to know.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(pieces)
    }

    async fn load(&self, archive: Archive, name: Option<String>, progress: Progress) -> Result<Vec<Image>, ApiError> {
        let name = name.as_deref().map(Reference::parse).transpose();
        let name = name.map_err(|error| refuse(ErrorCode::InvalidParameter, &error))?;
        let options = PullOptions {
            name,
            ..PullOptions::default()
        };
        let loaded = self.store.load(archive, &options, &listener(progress)).await;
        let images = loaded.map_err(|error| refuse_import(&error))?;
        Ok(images.into_iter().map(summary).collect())
    }
}

impl Images for StoredImages {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async { Ok(self.blocking(Store::list).await?.into_iter().map(summary).collect()) })
    }

    fn find<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<RunnableImage, ApiError>> {
        Box::pin(self.find(reference))
    }

    fn pull(&self, request: PullRequest, progress: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async {
            let _change = Change::begin(self);
            self.pull(request, progress).await
        })
    }

    fn load(
        &self,
        archive: Archive,
        name: Option<String>,
        progress: Progress,
    ) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async {
            let _change = Change::begin(self);
            self.load(archive, name, progress).await
        })
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        let word = reference.to_owned();
        Box::pin(async move {
            let _change = Change::begin(self);
            self.blocking(move |store| store.remove(&word)).await
        })
    }

    fn prune(&self, wanted: Prunable) -> BoxFuture<'_, Result<ImagesPruned, ApiError>> {
        Box::pin(async move {
            let _change = Change::begin(self);
            let goes = move |image: &image::Image| {
                let is_old = wanted
                    .until_ms
                    .is_none_or(|until_ms| image.record.stored_unix_ms < until_ms);
                let is_used = wanted.used.contains(&image.record.digest.to_string());
                is_old && !is_used && (wanted.all || image.names.is_empty())
            };
            let pruned = self.blocking(move |store| store.prune(goes)).await?;
            Ok(ImagesPruned {
                images: pruned.images.into_iter().map(summary).collect(),
                freed_bytes: pruned.freed_bytes,
            })
        })
    }

    fn usage(&self, used: HashSet<String>) -> BoxFuture<'_, Result<ImagesUsage, ApiError>> {
        Box::pin(async move {
            // What was looked up lately is held, but not used.
            self.forget_found();
            let stays = move |image: &image::Image| used.contains(&image.record.digest.to_string());
            let usage = self.blocking(move |store| store.usage(stays)).await?;
            Ok(ImagesUsage {
                bytes: usage.bytes,
                reclaimable_bytes: usage.reclaimable_bytes,
            })
        })
    }
}

/// An archive on its way out; an error ends it.
pub type Pieces = mpsc::Receiver<std::io::Result<Bytes>>;

/// Gives what is written to a client.
struct PieceWriter<'a>(&'a mpsc::Sender<std::io::Result<Bytes>>);

impl std::io::Write for PieceWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Where sign-ins are kept.
fn config_path() -> Result<PathBuf, ApiError> {
    docker_config_path().ok_or_else(|| ApiError {
        code: ErrorCode::HostUnable,
        message: "the host agent has no home directory to keep sign-ins in: set HOME or DOCKER_CONFIG for it"
            .to_owned(),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoginError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| refuse(ErrorCode::HostUnable, &error)),
        Err(error) => Err(refuse(ErrorCode::Internal, &error)),
    }
}

fn platform(text: &str) -> Result<Platform, ApiError> {
    Platform::parse(text).ok_or_else(|| ApiError {
        code: ErrorCode::InvalidParameter,
        message: format!("{text:?} is no platform: it must be os/architecture or os/architecture/variant"),
    })
}

/// What this process's user signed in with before. Credential helpers are programs, so they are waited for elsewhere.
async fn own_credentials(domain: String) -> Result<Option<Credentials>, ApiError> {
    let Some(path) = docker_config_path() else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || from_docker_config(&path, &domain)).await;
    match read {
        Ok(credentials) => credentials.map_err(|error| refuse(ErrorCode::Unauthorized, &error)),
        Err(error) => Err(refuse(ErrorCode::Internal, &error)),
    }
}

/// Tells a client of events without ever waiting for it: progress only while there is much room, all else while there is any.
fn listener(progress: Progress) -> image::Progress {
    image::Progress::new(move |event| {
        let has_much_room = progress.capacity() > progress.max_capacity() / 2;
        if let Some(event) = translate(event).filter(|event| has_much_room || !is_progress(event)) {
            tell(&progress, event);
        }
    })
}

fn tell(progress: &mpsc::Sender<ImageEvent>, event: ImageEvent) {
    // A client that is gone, or takes nothing, does not hold a pull up: its answer's end tells what it needs.
    let _ = progress.try_send(event);
}

const fn is_progress(event: &ImageEvent) -> bool {
    matches!(event, ImageEvent::LayerProgress { .. })
}

fn translate(event: Event) -> Option<ImageEvent> {
    Some(match event {
        Event::Resolved { digest, layers } => ImageEvent::Resolved {
            digest: digest.to_string(),
            layers: layers
                .into_iter()
                .map(|layer| LayerSummary {
                    digest: layer.digest.to_string(),
                    size_bytes: layer.size_bytes,
                })
                .collect(),
        },
        Event::LayerStarted { .. } => return None,
        Event::LayerProgress { digest, received_bytes } => ImageEvent::LayerProgress {
            digest: digest.to_string(),
            received_bytes,
        },
        Event::LayerDone { digest } => ImageEvent::LayerDone {
            digest: digest.to_string(),
            existed: false,
        },
        Event::LayerExists { digest } => ImageEvent::LayerDone {
            digest: digest.to_string(),
            existed: true,
        },
    })
}

fn summary(image: image::Image) -> Image {
    Image {
        digest: image.record.digest.to_string(),
        platform: image.record.platform.to_string(),
        created: Some(image.record.created.clone()).filter(|created| !created.is_empty()),
        size_bytes: image.record.size_bytes(),
        layers: image.record.layers.len(),
        names: image.names,
        stored_unix_ms: image.record.stored_unix_ms,
        layer_list: (image.record.layers.iter())
            .map(|layer| StoredLayer {
                diff_id: layer.diff_id.to_string(),
                size_bytes: layer.stored_bytes,
                compressed_bytes: layer.blob_bytes,
            })
            .collect(),
    }
}
