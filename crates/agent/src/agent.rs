//! The host agent: what its API does, without HTTP.

use std::sync::Arc;

use api::attach::Stop;
use api::error::{ApiError, ErrorCode};
use api::task::{ClockPoints, RunRequest, Status, StopRequest, Task};
use tokio::sync::{mpsc, watch};

use crate::activity::Activity;
use crate::clock;
use crate::host::{Links, Plan, Rootfs, Shared, TaskHost};
use crate::images::{Images, RunnableImage};
use crate::lifecycle::{Cause, Event};
use crate::names;
use crate::output::Outlets;
use crate::pool::Pool;
use crate::sentence::sentence;
use crate::sizing;
use crate::spec;
use crate::task::{self, NOTICES_MAX, Notice};
use crate::tasks::{Entry, Tasks};
use crate::template::Templates;

/// Pieces of input that wait for a process that does not read.
const INPUT_MAX: usize = 16;

/// The host agent.
pub struct Agent {
    /// The tasks.
    pub tasks: Tasks,
    /// The images.
    pub images: Arc<dyn Images>,
    /// What keeps the host agent from being idle.
    pub activity: Activity,
    shared: Arc<Shared>,
}

impl Agent {
    /// A host agent without tasks.
    #[must_use]
    pub fn new(shared: Arc<Shared>, images: Arc<dyn Images>) -> Arc<Self> {
        Arc::new(Self {
            tasks: Tasks::default(),
            images,
            activity: Activity::default(),
            shared,
        })
    }

    /// What microVMs are cloned from.
    #[must_use]
    pub fn templates(&self) -> &Arc<Templates> {
        &self.shared.templates
    }

    /// The clones that wait.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Creates a task, which holds nothing until it is started.
    ///
    /// # Errors
    /// Everything that can be known now to keep it from running.
    pub async fn create(self: &Arc<Self>, request: &RunRequest) -> Result<Task, ApiError> {
        let accepted_ns = clock::monotonic_ns();
        if let Some(name) = &request.name {
            names::check(name)?;
        }
        let invalid = |error: sizing::SizeError| ApiError {
            code: ErrorCode::InvalidParameter,
            message: error.to_string(),
        };
        let sizing = sizing::size(request.vcpu_milli, request.memory_mib).map_err(invalid)?;
        let image = self.images.find(&request.image).await?;
        // A template has all that is in these files.
        if self.shared.templates.ready().is_none() {
            self.shared.config.check_files()?;
        }
        let unable = |error: crate::launch::CgroupError| ApiError {
            code: ErrorCode::HostUnable,
            message: sentence(&error),
        };
        self.shared.cgroups.check().map_err(unable)?;

        let id = names::id(random()?);
        let given = spec::Given {
            config: &image.config,
            rootfs_bytes: image.rootfs_bytes,
            id: &id,
            sizing: &sizing,
        };
        let spec = spec::resolve(request, &given)?;
        let plan = Plan {
            id,
            spec,
            sizing,
            rootfs: Rootfs {
                parts: image.parts.clone(),
                hold: image.hold.clone(),
            },
            stop_timeout_seconds: request.stop_timeout_seconds,
            time_limit_seconds: request.timeout_seconds,
        };
        self.add(request, &image, plan, accepted_ns)
    }

    fn add(
        self: &Arc<Self>,
        request: &RunRequest,
        image: &RunnableImage,
        plan: Plan,
        accepted_ns: u64,
    ) -> Result<Task, ApiError> {
        let (notices, inbox) = mpsc::channel(NOTICES_MAX);
        let takes_input = request.stdin || request.terminal.is_some();
        let (input, input_end) = takes_input.then(|| mpsc::channel(INPUT_MAX)).unzip();
        let outlets = Arc::new(Outlets::default());
        let (whereabouts, whereabouts_known) = watch::channel(None);
        let id = plan.id.clone();
        let mut record = None;
        let entry = self.tasks.add(&id, request.name.clone(), random()?, |name| {
            let sender = watch::Sender::new(new_task(request, image, &plan, name, accepted_ns));
            let receiver = sender.subscribe();
            record = Some(sender);
            Entry {
                record: receiver,
                notices: notices.clone(),
                outlets: outlets.clone(),
                input,
                whereabouts: whereabouts_known,
            }
        })?;
        let task = entry.record.borrow().clone();
        tracing::debug!(task = task.id, name = task.name, image = task.image, "created");
        if let Some(record) = record {
            let links = Links {
                outlets: outlets.clone(),
                input: input_end,
                notices,
                whereabouts,
                activity: self.activity.clone(),
            };
            let host = TaskHost::new(self.shared.clone(), plan, links);
            let (agent, remove) = (self.clone(), request.remove);
            tokio::spawn(async move {
                task::live(host, inbox, &record).await;
                outlets.close();
                let task = record.borrow().clone();
                tracing::info!(task = task.id, exit = ?task.exit, reason = task.stopped_reason, "stopped");
                agent.tasks.end(&task.id, remove);
            });
        }
        Ok(task)
    }

    /// Starts a created task.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where it was started before.
    pub async fn start(&self, query: &str) -> Result<Task, ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.record.borrow().clone();
        if task.status != Status::Provisioning {
            let message = format!("task {} was started before", names::short(&task.id));
            return Err(ApiError {
                code: ErrorCode::Conflict,
                message,
            });
        }
        entry.tell(Event::StartRequested).await;
        Ok(task)
    }

    /// Stops a task and waits until it has.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`]
    pub async fn stop(&self, query: &str, request: StopRequest) -> Result<Task, ApiError> {
        let entry = self.tasks.find(query)?;
        let event = match request.timeout_seconds {
            Some(0) => Event::KillRequested(Cause::Request),
            timeout_seconds => Event::StopRequested {
                cause: Cause::Request,
                timeout_seconds,
            },
        };
        entry.tell(event).await;
        Ok(entry.stopped().await)
    }
}

impl Entry {
    /// Tells the task of an event. One that is over does not mind.
    pub async fn tell(&self, event: Event) {
        let _ = self.notices.send(Notice::Event(event)).await;
    }

    /// Asks the task to end, in the words of an attached client.
    pub async fn ask_to_stop(&self, stop: Stop) {
        let event = match stop {
            Stop::Gracefully => Event::StopRequested {
                cause: Cause::Request,
                timeout_seconds: None,
            },
            Stop::Kill => Event::KillRequested(Cause::Request),
            Stop::Signal(signal) => Event::SignalRequested(signal),
        };
        self.tell(event).await;
    }

    /// Waits until the task has stopped; what became of it.
    pub async fn stopped(&self) -> Task {
        let mut record = self.record.clone();
        match record.wait_for(|task| task.status == Status::Stopped).await {
            Ok(task) => task.clone(),
            // The record of a task that is gone is final.
            Err(_) => self.record.borrow().clone(),
        }
    }
}

fn new_task(request: &RunRequest, image: &RunnableImage, plan: &Plan, name: String, accepted_ns: u64) -> Task {
    Task {
        id: plan.id.clone(),
        name,
        image: image.name.clone(),
        image_digest: image.digest.clone(),
        command: plan.spec.container.argv.clone(),
        vcpu_milli: request.vcpu_milli,
        memory_mib: request.memory_mib,
        status: Status::Provisioning,
        origin: None,
        created_unix_ms: clock::wall_ms(),
        clock: ClockPoints {
            accepted_ns: Some(accepted_ns),
            ..ClockPoints::default()
        },
        ..Task::default()
    }
}

fn random<const LEN: usize>() -> Result<[u8; LEN], ApiError> {
    let mut bytes = [0; LEN];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(|errno| ApiError {
        code: ErrorCode::Internal,
        message: format!("cannot get random bytes: {errno}"),
    })?;
    Ok(bytes)
}
