//! What a task's containers are made from: images found or pulled, secrets read, and both resolved to what the guest is told.

use std::path::PathBuf;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::image::PullRequest;
use protocol::vmm::standing;
use tokio::sync::mpsc;

use super::volumes::{self, Directory, Found, has_directories};
use super::{Notice, Shared, TaskHost, has_usual_scratch};
use crate::clock;
use crate::images::{Hold, RunnableImage};
use crate::lifecycle::{Event, Trouble};
use crate::metadata;
use crate::ports::Secrets;
use crate::record::{ContainerPlan, Plan, PullPolicy, SecretSource, TaskRecord};
use crate::sentence::sentence;
use crate::spec::{self, Given, Spec};

/// Steps of a pull that wait for nobody.
const PROGRESS_MAX: usize = 16;

/// The images of a task, and what is kept apart of its containers' environments.
#[derive(Debug)]
pub struct Fetched {
    /// One for each container.
    pub images: Vec<RunnableImage>,
    /// `NAME=value`, for each container.
    pub secrets: Vec<Vec<String>>,
    /// The directories of the host that volumes are.
    pub directories: Vec<Found>,
}

/// What a task's containers are made from.
#[derive(Default)]
pub struct Made {
    /// What runs.
    pub specs: Vec<Spec>,
    /// The rootfs snapshots.
    pub rootfs: Vec<Rootfs>,
    /// The directories of the host.
    pub directories: Vec<Directory>,
    /// The slot of a scratch disk of the task's own size, where it has another than the usual one.
    pub scratch_slot: Option<u8>,
    /// What that disk looks like before it is written to.
    pub scratch_base: Option<PathBuf>,
}

/// The files of a rootfs snapshot, and where the guest finds them.
pub struct Rootfs {
    /// The slot.
    pub slot: u8,
    /// The files, in order.
    pub parts: Vec<PathBuf>,
    /// Keeps them in the store.
    #[expect(dead_code, reason = "kept only to be dropped")]
    pub hold: Hold,
}

impl TaskHost {
    /// Fetches what the task is made from, at once where it is all there.
    pub(super) async fn fetch(&mut self, record: &mut TaskRecord) -> Option<Event> {
        record.times.pull_started_ms.get_or_insert_with(clock::wall_ms);
        if let Some(images) = self.found.take() {
            let fetched = Fetched {
                secrets: vec![vec![]; images.len()],
                directories: vec![],
                images,
            };
            return Some(self.make(fetched, record));
        }
        let containers = &record.plan.containers;
        let is_slow = |plan: &ContainerPlan| plan.pull != PullPolicy::Never || !plan.secrets.is_empty();
        if containers.iter().any(is_slow) || has_directories(&record.plan) {
            let (shared, notices, plan) = (self.shared.clone(), self.links.notices.clone(), record.plan.clone());
            self.work.spawn(async move {
                let fetched = fetch(&shared, &plan).await;
                // A task that is over takes no notices.
                let _ = notices.send(Notice::Fetched(fetched)).await;
            });
            return None;
        }
        match fetch(&self.shared, &record.plan).await {
            Ok(fetched) => Some(self.make(fetched, record)),
            Err(trouble) => Some(Event::FetchFailed(trouble)),
        }
    }

    /// Resolves what was fetched.
    pub(super) fn make(&mut self, fetched: Fetched, record: &mut TaskRecord) -> Event {
        record.times.pull_stopped_ms.get_or_insert_with(clock::wall_ms);
        match self.try_make(fetched, record) {
            Ok(made) => {
                self.made = Some(made);
                Event::ImagesFetched
            }
            Err(trouble) => Event::FetchFailed(trouble),
        }
    }

    fn try_make(&self, fetched: Fetched, record: &mut TaskRecord) -> Result<Made, Trouble> {
        let sizes: Vec<u64> = fetched.images.iter().map(|image| image.rootfs_bytes).collect();
        let slots = spec::rootfs_slots(&sizes).map_err(|error| Trouble::Resource { message: error.message })?;
        let hostname = spec::hostname(&record.plan, &record.id);
        let given = volumes::given(fetched.directories, &slots, &record.plan)?;
        let volumes = given.volumes;
        let mut made = Made {
            specs: Vec::with_capacity(slots.len()),
            rootfs: Vec::with_capacity(slots.len()),
            directories: given.directories,
            scratch_slot: None,
            scratch_base: None,
        };
        if !has_usual_scratch(&record.plan) {
            let taken: Vec<u8> = (slots.iter().copied())
                .chain(made.directories.iter().map(|directory| directory.slot))
                .collect();
            let free = spec::free_slots(&taken, 1).map_err(|error| Trouble::Resource { message: error.message })?;
            made.scratch_slot = free.first().copied();
        }
        let all = fetched.images.into_iter().zip(&fetched.secrets).zip(slots);
        for (container, ((image, secrets), slot)) in all.enumerate() {
            let mut added = secrets.clone();
            if record.plan.network.is_some() {
                added.extend(metadata::variables(&record.containers[container].runtime_id));
            }
            let given = Given {
                config: &image.config,
                rootfs_slot: slot,
                scratch_slot: made.scratch_slot.unwrap_or(standing::SCRATCH),
                process: u32::try_from(container).unwrap_or(u32::MAX),
                hostname: &hostname,
                secrets: &added,
                directories: &volumes,
                sizing: &self.sizing,
                containers: sizes.len(),
            };
            let resolved = spec::resolve(&record.plan.containers[container], &given);
            let spec = resolved.map_err(|error| Trouble::Container {
                container,
                message: error.message,
            })?;
            let told = &mut record.containers[container];
            told.image_digest = Some(image.digest.clone());
            told.command.clone_from(&spec.container.argv);
            made.specs.push(spec);
            made.rootfs.push(Rootfs {
                slot,
                parts: image.parts,
                hold: image.hold,
            });
        }
        Ok(made)
    }
}

async fn fetch(shared: &Arc<Shared>, plan: &Plan) -> Result<Fetched, Trouble> {
    let mut fetched = Fetched {
        images: vec![],
        secrets: vec![],
        directories: volumes::find(&shared.config.host_paths, plan).await?,
    };
    for (container, plan) in plan.containers.iter().enumerate() {
        let image = image(shared, plan).await.map_err(|error| Trouble::Image {
            container,
            message: error.message,
        })?;
        fetched.images.push(image);
        fetched.secrets.push(secrets(&shared.secrets, plan).await?);
    }
    Ok(fetched)
}

async fn image(shared: &Shared, plan: &ContainerPlan) -> Result<RunnableImage, ApiError> {
    match plan.pull {
        PullPolicy::Never => return shared.images.find(&plan.image).await,
        PullPolicy::Missing => match shared.images.find(&plan.image).await {
            Err(error) if error.code == ErrorCode::ImageNotFound => {}
            other => return other,
        },
        PullPolicy::Always => {}
    }
    let request = PullRequest {
        reference: plan.image.clone(),
        credentials: None,
        insecure: false,
        platform: None,
    };
    let (progress, _nobody) = mpsc::channel(PROGRESS_MAX);
    shared.images.pull(request, progress).await?;
    shared.images.find(&plan.image).await
}

/// Values may lie on a disk that is slow, so they are waited for elsewhere.
async fn secrets(secrets: &Arc<dyn Secrets>, plan: &ContainerPlan) -> Result<Vec<String>, Trouble> {
    if plan.secrets.is_empty() {
        return Ok(vec![]);
    }
    let (secrets, wanted) = (secrets.clone(), plan.secrets.clone());
    let read = move || {
        let mut env = vec![];
        for secret in wanted {
            let value = secrets.read(&secret.source).map_err(|error| {
                let place = match &secret.source {
                    SecretSource::File(path) => path,
                    SecretSource::Stored { name, .. } => name,
                };
                format!(
                    "cannot read {place:?}, which is part of a container's environment: {}",
                    sentence(&*error)
                )
            })?;
            match &secret.name {
                Some(name) => env.push(format!("{name}={value}")),
                None => env.extend(lines(&value)),
            }
        }
        Ok(env)
    };
    let done = tokio::task::spawn_blocking(read).await;
    let done = done.unwrap_or_else(|error| Err(error.to_string()));
    done.map_err(|message| Trouble::Resource { message })
}

/// Lines of `NAME=value`; empty ones and those that begin with `#` say nothing.
fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter(|line| line.contains('=')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_of_variables_may_have_comments() {
        let lines: Vec<_> = super::lines("# a comment\nA=1\n\n  B=x=y\nnonsense\n").collect();
        assert_eq!(lines, ["A=1", "B=x=y"]);
    }
}
