//! What nobody needs any more goes.

use std::collections::HashSet;

use api::error::{ApiError, ErrorCode};
use api::image::Image;
use api::system::{PruneRequest, Pruned};
use api::task::Status;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;

use super::{Facts, answer, free_bytes};
use crate::core::Core;
use crate::images::Prunable;

/// Digests of the images that a task needs which has not stopped.
pub fn used_images(core: &Core) -> HashSet<String> {
    let live = core.list().into_iter().filter(|task| task.status != Status::Stopped);
    let digests = live.flat_map(|task| {
        let digests = task
            .containers
            .iter()
            .filter_map(|container| container.image_digest.clone());
        digests.collect::<Vec<_>>()
    });
    digests.collect()
}

pub async fn prune(State(facts): State<Facts>, request: Result<Json<PruneRequest>, JsonRejection>) -> Response {
    match request {
        Ok(Json(request)) => answer(facts.prune(&request).await),
        Err(error) => answer::<Pruned>(Err(ApiError {
            code: ErrorCode::InvalidParameter,
            message: error.body_text(),
        })),
    }
}

impl Facts {
    async fn prune(&self, request: &PruneRequest) -> Result<Pruned, ApiError> {
        let free_before = free_bytes(&self.config.state);
        let mut pruned = Pruned::default();
        if request.tasks {
            pruned.tasks = self.prune_tasks(request.until_ms)?;
            // What tasks wrote is spread over files of many, so the disk has to tell.
            pruned.freed_bytes = free_bytes(&self.config.state).saturating_sub(free_before);
        }
        if request.images || request.all_images {
            self.prune_images(request, &mut pruned).await?;
        }
        if request.networks {
            pruned.networks = self.prune_networks(request.until_ms).await?;
        }
        Ok(pruned)
    }

    fn prune_tasks(&self, until_ms: Option<u64>) -> Result<Vec<String>, ApiError> {
        let mut gone = vec![];
        for task in self.core.list() {
            let is_old = until_ms.is_none_or(|until_ms| task.times.stopped_ms.is_some_and(|at_ms| at_ms < until_ms));
            if task.status == Status::Stopped && is_old {
                self.core.forget(&task.id)?;
                gone.push(task.id.clone());
            }
        }
        Ok(gone)
    }

    async fn prune_networks(&self, until_ms: Option<u64>) -> Result<Vec<String>, ApiError> {
        let Some(networks) = &self.networks else {
            return Ok(vec![]);
        };
        let mut gone = vec![];
        for definition in networks.definitions() {
            let is_old = until_ms.is_none_or(|until_ms| definition.created_ms < until_ms);
            if !is_old {
                continue;
            }
            match networks.remove(&definition.name, |name| self.core.names_in(name)).await {
                Ok(()) => gone.push(definition.name),
                // A task is in it, or somebody was quicker.
                Err(error) if matches!(error.code, ErrorCode::Conflict | ErrorCode::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    async fn prune_images(&self, request: &PruneRequest, pruned: &mut Pruned) -> Result<(), ApiError> {
        let wanted = Prunable {
            all: request.all_images,
            until_ms: request.until_ms,
            used: used_images(&self.core),
        };
        let gone = self.core.images().prune(wanted).await?;
        pruned.freed_bytes += gone.freed_bytes;
        for Image { names, digest, .. } in gone.images {
            pruned
                .images
                .extend(if names.is_empty() { vec![digest] } else { names });
        }
        Ok(())
    }
}
