//! The images of the crate `image`'s store.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::error::{ApiError, ErrorCode};
use api::image::{Image, ImageEvent, LayerSummary, PullRequest, StoredLayer};
use futures_util::future::BoxFuture;
use image::{Credentials, Event, Platform, PullOptions, Reference, Snapshot, Source, Store, StoreError, StoreOptions};
use tokio::sync::mpsc;

use super::refusal::{refuse, refuse_import, refuse_store};
use super::registries::own_credentials;
use super::{Archive, ImageConfig, Images, ImagesPruned, ImagesUsage, Progress, Prunable, RunnableImage};
use crate::config::{Config, ImagesConfig};

/// Images that are remembered; beyond, all are looked up anew.
const FOUND_MAX: usize = 256;

/// What the parts of a rootfs snapshot are rounded up to, in bytes.
const PART_ALIGNMENT: u64 = 4096;

/// The store, and how the host agent uses it.
#[derive(Debug)]
pub struct StoredImages {
    pub(super) store: Store,
    pub(super) config: ImagesConfig,
    // Shared by all requests; locked for moments, never while waiting. Nobody else changes the store, so what was found stays true until
    // a pull, a load or a removal.
    found: Mutex<Found>,
}

/// What was looked up lately, by the word that was asked for.
#[derive(Debug, Default)]
struct Found {
    images: HashMap<String, (RunnableImage, Arc<Snapshot>)>,
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
    pub(super) async fn blocking<T: Send + 'static>(
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
            if let Some((image, snapshot)) = found.images.get(word)
                && snapshot.is_untouched()
            {
                return Ok(image.clone());
            }
            found.changes
        };
        let (image, snapshot) = self.look_up(word.to_owned()).await?;
        let mut found = self.found();
        if found.changes == changes {
            if found.images.len() >= FOUND_MAX {
                found.images.clear();
            }
            found.images.insert(word.to_owned(), (image.clone(), snapshot));
        }
        Ok(image)
    }

    async fn look_up(&self, word: String) -> Result<(RunnableImage, Arc<Snapshot>), ApiError> {
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
        let snapshot = Arc::new(snapshot);
        let process = image.record.process;
        let digest = image.record.digest.to_string();
        let full_name = Reference::parse(&word).map(|reference| reference.to_string()).ok();
        let image = RunnableImage {
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
            hold: snapshot.clone(),
        };
        Ok((image, snapshot))
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

fn platform(text: &str) -> Result<Platform, ApiError> {
    Platform::parse(text).ok_or_else(|| ApiError {
        code: ErrorCode::InvalidParameter,
        message: format!("{text:?} is no platform: it must be os/architecture or os/architecture/variant"),
    })
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
