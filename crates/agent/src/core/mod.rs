//! The tasks' core: leads tasks through their lives.
//!
//! [`request`] is what others ask of it, [`tasks`] knows the tasks, [`life`] leads one. [`run`] and [`view`] translate for the API of our own.

mod ask;
mod life;
mod metadata;
mod news;
mod request;
mod restore;
mod run;
mod submit;
mod tasks;
mod view;

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::task::Status;
use tokio::sync::{broadcast, mpsc, watch};

pub use request::{CoreError, ExecRequest, NewTask, Resource, StopTask};
pub use restore::{kept_microvms, live_networks};
pub use run::{RUN_DEFINITION, new_task};
pub use tasks::Entry;
pub use view::task as view;

use crate::activity::Activity;
use crate::capacity::Room;
use crate::host::{Input, Kept, Links, NOTICES_MAX, Notice, Shared, TaskHost};
use crate::images::{Images, RunnableImage};
use crate::launch::Whereabouts;
use crate::lifecycle::Event;
use crate::names;
use crate::output::Outlets;
use crate::pool::Pool;
use crate::ports::Records;
use crate::record::{ContainerPlan, Stop, StopCode, TaskRecord};
use crate::sizing::Sizing;
use crate::template::Templates;
use life::{Book, Ended};
use tasks::Tasks;

/// Pieces of input that wait for a process that does not read.
const INPUT_MAX: usize = 16;

/// Changes that are kept for listeners that are slow; beyond, they are told how many they missed.
const CHANGES_MAX: usize = 256;

/// The tasks' core.
pub struct Core {
    tasks: Tasks,
    activity: Activity,
    shared: Arc<Shared>,
    records: Arc<dyn Records>,
    changes: broadcast::Sender<Arc<TaskRecord>>,
}

/// A task about to live.
struct Newborn {
    record: TaskRecord,
    kept: Kept,
    sizing: Sizing,
    /// Its images, where they are known.
    found: Option<Vec<RunnableImage>>,
    /// How it begins.
    first: First,
}

/// How a task begins.
enum First {
    /// By waiting to be told.
    Waiting,
    /// By this event.
    Event(Event),
    /// By a look for what an earlier host agent has left of it.
    Adoption,
}

impl Core {
    /// A core without tasks.
    #[must_use]
    pub fn new(shared: Arc<Shared>, records: Arc<dyn Records>) -> Arc<Self> {
        Arc::new(Self {
            tasks: Tasks::default(),
            activity: Activity::default(),
            shared,
            records,
            changes: broadcast::Sender::new(CHANGES_MAX),
        })
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &Arc<dyn Images> {
        &self.shared.images
    }

    /// What keeps the host agent from being idle.
    #[must_use]
    pub const fn activity(&self) -> &Activity {
        &self.activity
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

    /// What there is for tasks, and what of that is taken.
    #[must_use]
    pub fn capacity(&self) -> (Room, Room) {
        self.shared.rooms.status()
    }

    /// Every change of every task from now on: the whole record, but for the core's own part.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<TaskRecord>> {
        self.changes.subscribe()
    }

    /// The task that `query` means: its id, its name, or the beginning of its id.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::InvalidParameter`] where it means several.
    pub fn find(&self, query: &str) -> Result<Arc<TaskRecord>, ApiError> {
        Ok(self.tasks.find(query)?.now())
    }

    /// What others hold of the task that `query` means.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn entry(&self, query: &str) -> Result<Arc<Entry>, ApiError> {
        self.tasks.find(query)
    }

    /// All tasks that live and those that stopped last, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<TaskRecord>> {
        self.tasks.list()
    }

    /// The tasks that have not stopped in the network of this name, the default one included.
    #[must_use]
    pub fn in_network(&self, network: &str) -> Vec<Arc<TaskRecord>> {
        let is_inside = |task: &Arc<TaskRecord>| {
            let plan = task.plan.network.as_ref();
            let name = plan.map(|plan| plan.network.as_deref().unwrap_or(api::network::DEFAULT));
            task.status != Status::Stopped && name == Some(network)
        };
        self.list().into_iter().filter(is_inside).collect()
    }

    /// The names of [`Self::in_network`].
    #[must_use]
    pub fn names_in(&self, network: &str) -> Vec<String> {
        let tasks = self.in_network(network);
        tasks.iter().map(|task| task.name.clone()).collect()
    }

    /// Those that have a microVM, newest first, each with where that is.
    #[must_use]
    pub fn with_microvms(&self) -> Vec<(Arc<TaskRecord>, Whereabouts)> {
        self.tasks.with_microvms()
    }

    /// Forgets a stopped task, its record and its output.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::Conflict`] where it has not stopped.
    pub fn forget(&self, query: &str) -> Result<(), ApiError> {
        let task = self.find(query)?;
        if task.status != Status::Stopped {
            let message = format!("task {} has not stopped: stop it first", names::short(&task.id));
            return Err(ApiError {
                code: ErrorCode::Conflict,
                message,
            });
        }
        self.remove(&task)?;
        self.tasks.forget(&task.id);
        Ok(())
    }

    fn remove(&self, task: &TaskRecord) -> Result<(), ApiError> {
        let failed = |error: crate::ports::Failure| ApiError {
            code: ErrorCode::Internal,
            message: crate::sentence::sentence(&*error),
        };
        self.records.remove(&task.id).map_err(failed)?;
        self.shared.sinks.forget(task);
        Ok(())
    }

    /// Lets a task live; what others hold of it.
    fn begin(self: &Arc<Self>, newborn: Newborn) -> Arc<Entry> {
        let Newborn {
            mut record,
            mut kept,
            sizing,
            found,
            first,
        } = newborn;
        let (notices, inbox) = mpsc::channel(NOTICES_MAX);
        let takes_input = |plan: &ContainerPlan| plan.stdin || plan.terminal.is_some();
        let channel = |plan| takes_input(plan).then(|| mpsc::channel(INPUT_MAX)).unzip();
        let (inputs, input_ends): (Vec<_>, Vec<_>) = record.plan.containers.iter().map(channel).unzip();
        let outlets: Vec<_> = inputs.iter().map(|_| Arc::new(Outlets::default())).collect();
        let (whereabouts, whereabouts_known) = watch::channel(None);
        let (guest, guest_known) = watch::channel(None);
        let published = watch::Sender::new(Arc::new(TaskRecord {
            core: serde_json::Value::Null,
            ..record.clone()
        }));
        let entry = Arc::new(Entry {
            record: published.subscribe(),
            notices: notices.clone(),
            outlets: outlets.clone(),
            inputs,
            whereabouts: whereabouts_known,
            guest: guest_known,
        });
        self.tasks.add(entry.clone());
        let links = Links {
            outlets: outlets.clone(),
            inputs: input_ends,
            notices,
            whereabouts,
            guest,
            activity: self.activity.clone(),
        };
        let mut host = TaskHost::new(self.shared.clone(), sizing, links, found);
        let core = self.clone();
        tokio::spawn(async move {
            let first = match first {
                First::Waiting => None,
                First::Event(event) => Some(event),
                First::Adoption => Some(host.adopt(&mut record, &mut kept).await),
            };
            let mut book = Book {
                record,
                kept,
                records: core.records.clone(),
                published,
                changes: core.changes.clone(),
                is_unwritten: false,
            };
            let ended = life::live(host, inbox, &mut book, first).await;
            for outlets in outlets {
                outlets.close();
            }
            core.over(&book.record, ended);
        });
        entry
    }

    fn over(&self, record: &TaskRecord, ended: Ended) {
        match ended {
            Ended::Left => self.tasks.gone(),
            Ended::Stopped => {
                let removed = record.is_removed_when_stopped;
                if removed && let Err(error) = self.remove(record) {
                    tracing::error!(task = record.id, "cannot forget the task: {error}");
                }
                self.tasks.end(&record.id, removed);
            }
        }
    }

    /// Takes no more tasks and ends those that live: gracefully, or at once.
    pub async fn end_tasks(&self, gracefully: bool) {
        let stop = Stop {
            code: StopCode::TerminationNotice,
            reason: "the host agent ended".to_owned(),
        };
        for entry in self.tasks.close() {
            let event = if gracefully {
                Event::StopRequested {
                    stop: stop.clone(),
                    timeout_seconds: None,
                }
            } else {
                Event::KillRequested(stop.clone())
            };
            entry.tell(event).await;
        }
    }

    /// Takes no more tasks and leaves those that live to a later host agent.
    pub async fn leave_tasks(&self) {
        for entry in self.tasks.close() {
            // A task that is over takes no notices.
            let _ = entry.notices.send(Notice::Leave).await;
        }
    }

    /// Waits until no task lives here.
    pub async fn none_lives(&self) {
        self.tasks.none_lives().await;
    }
}

/// Input of a client for a container.
pub type TaskInput = mpsc::Sender<Input>;
