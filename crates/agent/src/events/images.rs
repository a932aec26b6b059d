//! Images whose comings and goings are told.

use std::collections::HashSet;
use std::sync::Arc;

use api::error::ApiError;
use api::event::EventSubject;
use api::image::{Image, PullRequest};
use futures_util::future::{BoxFuture, FutureExt};

use super::{Journal, event};
use crate::images::{Archive, Images, ImagesPruned, ImagesUsage, Progress, Prunable, RunnableImage};

/// Images as they are, with a journal that is told.
pub struct ToldImages {
    /// The images.
    pub images: Arc<dyn Images>,
    /// Who is told.
    pub journal: Journal,
}

impl ToldImages {
    fn tell(&self, action: &str, images: &[Image]) {
        for image in images {
            let mut told = event(EventSubject::Image, action, &image.digest);
            told.name = image.names.first().cloned();
            self.journal.add(told);
        }
    }
}

impl Images for ToldImages {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        self.images.list()
    }

    fn find<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<RunnableImage, ApiError>> {
        self.images.find(reference)
    }

    fn pull(&self, request: PullRequest, progress: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        async move {
            let pulled = self.images.pull(request, progress).await?;
            self.tell("pulled", &pulled);
            Ok(pulled)
        }
        .boxed()
    }

    fn load(
        &self,
        archive: Archive,
        name: Option<String>,
        progress: Progress,
    ) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        async move {
            let loaded = self.images.load(archive, name, progress).await?;
            self.tell("loaded", &loaded);
            Ok(loaded)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        async move {
            // What it is, is not known any more afterwards.
            let digest = self.images.find(reference).await.map(|image| image.digest);
            self.images.remove(reference).await?;
            let mut told = event(
                EventSubject::Image,
                "removed",
                &digest.unwrap_or_else(|_| reference.to_owned()),
            );
            told.name = Some(reference.to_owned());
            self.journal.add(told);
            Ok(())
        }
        .boxed()
    }

    fn prune(&self, wanted: Prunable) -> BoxFuture<'_, Result<ImagesPruned, ApiError>> {
        async move {
            let pruned = self.images.prune(wanted).await?;
            self.tell("removed", &pruned.images);
            Ok(pruned)
        }
        .boxed()
    }

    fn usage(&self, used: HashSet<String>) -> BoxFuture<'_, Result<ImagesUsage, ApiError>> {
        self.images.usage(used)
    }
}
