//! The host and its host agent, as clients are told of them: what there is, what is taken, what can go.

mod disk;
mod prune;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::route;
use api::system::{Capacity, Counts, Directories, DiskUse, HostSummary, KindUse, System};
use api::task::Status;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::config::Config;
use crate::core::Core;
use crate::network::TaskNetworks;
use crate::sentence::sentence;
use crate::stats;
use crate::store::{DefinitionStatus, Store};
use crate::{clock, memory};

/// The most clusters that are counted.
const CLUSTERS_MAX: usize = 10_000;

/// What the routes work with.
#[derive(Clone)]
pub struct Facts {
    /// The tasks' core.
    pub core: Arc<Core>,
    /// The database.
    pub store: Store,
    /// The networks that tasks share, where there is any.
    pub networks: Option<Arc<TaskNetworks>>,
    /// Where things are.
    pub config: Arc<Config>,
    /// When this host agent was started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
}

/// The routes.
pub fn router(core: Arc<Core>, store: Store, config: Config, networks: Option<Arc<TaskNetworks>>) -> Router {
    let facts = Facts {
        core,
        networks,
        store,
        config: Arc::new(config),
        started_ms: clock::wall_ms(),
    };
    Router::new()
        .route(route::SYSTEM, get(system))
        .route(route::SYSTEM_DF, get(disk_use))
        .route(route::SYSTEM_PRUNE, post(prune::prune))
        .with_state(facts)
}

async fn system(State(facts): State<Facts>) -> Response {
    answer(facts.system().await)
}

async fn disk_use(State(facts): State<Facts>) -> Response {
    answer(facts.disk_use().await)
}

fn answer<T: serde::Serialize>(result: Result<T, ApiError>) -> Response {
    match result {
        Ok(document) => Json(document).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Json(error)).into_response()
        }
    }
}

fn internal(error: &dyn std::error::Error) -> ApiError {
    ApiError {
        code: ErrorCode::Internal,
        message: sentence(error),
    }
}

impl Facts {
    async fn system(&self) -> Result<System, ApiError> {
        let (total, taken) = self.core.capacity();
        Ok(System {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: self.started_ms,
            host: host(),
            capacity: Capacity {
                vcpu_milli: total.vcpu_milli,
                vcpu_milli_taken: taken.vcpu_milli,
                memory_mib: total.memory_mib,
                memory_mib_taken: taken.memory_mib,
            },
            counts: self.counts().await?,
            directories: Directories {
                state: text(&self.config.state),
                runtime: text(&self.config.runtime),
                images: text(&self.config.images_directory()),
                templates: Some(text(&self.config.templates_directory())),
            },
            listeners: vec![format!("unix://{}", self.config.socket.display())],
            region: None,
        })
    }

    async fn counts(&self) -> Result<Counts, ApiError> {
        let mut counts = Counts::default();
        for task in self.core.list() {
            let count = match task.status {
                Status::Provisioning | Status::Pending | Status::Activating => &mut counts.tasks_pending,
                Status::Running => &mut counts.tasks_running,
                Status::Deactivating | Status::Stopping | Status::Deprovisioning => &mut counts.tasks_stopping,
                Status::Stopped => &mut counts.tasks_stopped,
            };
            *count += 1;
        }
        type Anything = serde_json::Value;
        let store = &self.store;
        let clusters = store.active_clusters::<Anything>("", CLUSTERS_MAX);
        let services = store.active_services::<Anything>();
        let definitions = store.definitions_with::<Anything>(DefinitionStatus::Active);
        counts.clusters = number(clusters.map_err(|error| internal(&error))?.len());
        counts.services = number(services.map_err(|error| internal(&error))?.len());
        counts.definitions = number(definitions.map_err(|error| internal(&error))?.len());
        counts.images = number(self.core.images().list().await?.len());
        Ok(counts)
    }

    async fn disk_use(&self) -> Result<DiskUse, ApiError> {
        let images = self.core.images().list().await?;
        let used = prune::used_images(&self.core);
        let in_use = images.iter().filter(|image| used.contains(&image.digest)).count();
        let images_use = self.core.images().usage(used).await?;
        let tasks = self.core.list();
        let live = tasks.iter().filter(|task| task.status != Status::Stopped).count();
        let scratch_bytes = stats::all(&self.core)
            .await?
            .iter()
            .map(|stats| stats.scratch_bytes)
            .sum();
        let config = self.config.clone();
        let sizes = move || {
            let database = config.database();
            let aside = ["", "-wal", "-shm"].map(|ending| format!("{}{ending}", database.display()));
            let database_bytes = aside.iter().map(|path| disk::used(Path::new(path)).0).sum::<u64>();
            (
                disk::used(&config.logs_directory()),
                disk::used(&config.templates_directory()).0,
                database_bytes,
            )
        };
        let sizes = tokio::task::spawn_blocking(sizes)
            .await
            .map_err(|error| internal(&error))?;
        let ((logs_bytes, logs), templates_bytes, database_bytes) = sizes;
        let templates = number(self.core.templates().list().len());
        let kind = |kind: &str, count, active, size_bytes, reclaimable_bytes| KindUse {
            kind: kind.to_owned(),
            count,
            active,
            size_bytes,
            reclaimable_bytes,
        };
        Ok(DiskUse {
            kinds: vec![
                kind(
                    "images",
                    number(images.len()),
                    number(in_use),
                    images_use.bytes,
                    images_use.reclaimable_bytes,
                ),
                kind("tasks", number(tasks.len()), number(live), scratch_bytes, 0),
                kind("logs", logs, number(live), logs_bytes, 0),
                kind("templates", templates, templates, templates_bytes, 0),
                kind("database", 1, 1, database_bytes, 0),
            ],
        })
    }
}

fn host() -> HostSummary {
    let names = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    HostSummary {
        name: names.nodename().to_string_lossy().into_owned(),
        kernel: names.release().to_string_lossy().into_owned(),
        architecture: names.machine().to_string_lossy().into_owned(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_mib: memory::total_mib(),
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What the file system below `path` has free, in bytes; 0 where that cannot be told.
fn free_bytes(path: &Path) -> u64 {
    let fits = fs::canonicalize(path)
        .ok()
        .and_then(|path| rustix::fs::statvfs(path).ok());
    fits.map_or(0, |statistics| statistics.f_bavail * statistics.f_frsize)
}
