//! The tasks of this host that are known without a look at the store: those that live, and those that stopped last.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::error::{ApiError, ErrorCode};
use api::task::Status;
use tokio::sync::{mpsc, oneshot, watch};

use crate::host::{GuestLink, Input, Notice};
use crate::launch::Whereabouts;
use crate::lifecycle::Event;
use crate::names;
use crate::output::Outlets;
use crate::record::TaskRecord;

/// Stopped tasks that are remembered; beyond, only the store knows the oldest.
pub const STOPPED_MAX: usize = 1000;

/// What others hold of a task. What is there for each container is in the order of the plan.
pub struct Entry {
    /// The task as it is now.
    pub record: watch::Receiver<Arc<TaskRecord>>,
    /// What it can be told.
    pub notices: mpsc::Sender<Notice>,
    /// Where its output can be had.
    pub outlets: Vec<Arc<Outlets>>,
    /// Where its input goes, if it takes any.
    pub inputs: Vec<Option<mpsc::Sender<Input>>>,
    /// Where its microVM is, while it has one.
    pub whereabouts: watch::Receiver<Option<Whereabouts>>,
    /// How its guest is reached, while it is.
    pub guest: watch::Receiver<Option<Arc<GuestLink>>>,
}

/// All tasks that are known.
pub struct Tasks {
    // Shared by the handlers of requests and by tasks that end; locked for moments, never while waiting.
    known: Mutex<Known>,
    living: watch::Sender<usize>,
}

#[derive(Default)]
struct Known {
    entries: HashMap<String, Arc<Entry>>,
    /// The id of each task, by its name.
    ids: HashMap<String, String>,
    /// The ids of tasks that have stopped, in that order; some may be forgotten.
    stopped: VecDeque<String>,
    is_closed: bool,
}

impl Known {
    fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            let name = &entry.record.borrow().name;
            if self.ids.get(name).is_some_and(|known| known == id) {
                self.ids.remove(name);
            }
        }
    }

    fn stopped(&mut self, id: &str) {
        self.stopped.push_back(id.to_owned());
        while self.stopped.len() > STOPPED_MAX {
            if let Some(oldest) = self.stopped.pop_front() {
                self.forget(&oldest);
            }
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            living: watch::Sender::new(0),
        }
    }
}

impl Tasks {
    /// Keeps a name for the task `id`, or makes one up.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where another task has the name, [`ErrorCode::HostUnable`] where the host agent is about to end.
    pub fn name(&self, id: &str, name: Option<&str>, random: [u8; 2]) -> Result<String, ApiError> {
        let mut known = self.lock();
        if known.is_closed {
            let message = "the host agent is about to end and takes no more tasks".to_owned();
            return Err(ApiError {
                code: ErrorCode::HostUnable,
                message,
            });
        }
        let name = match name {
            Some(name) => match known.ids.get(name) {
                Some(id) => {
                    let message = format!("the name {name} is taken by task {}", names::short(id));
                    return Err(ApiError {
                        code: ErrorCode::Conflict,
                        message,
                    });
                }
                None => name.to_owned(),
            },
            None => names::make_up(random, id, |name| known.ids.contains_key(name)),
        };
        known.ids.insert(name.clone(), id.to_owned());
        Ok(name)
    }

    /// Gives names back that no task came to have.
    pub fn unname<'a>(&self, names: impl Iterator<Item = &'a String>) {
        let mut known = self.lock();
        for name in names {
            known.ids.remove(name);
        }
    }

    /// Adds a task that lives.
    pub fn add(&self, entry: Arc<Entry>) {
        let (id, name) = identity(&entry);
        let mut known = self.lock();
        known.ids.insert(name, id.clone());
        known.entries.insert(id, entry);
        self.living.send_modify(|living| *living += 1);
    }

    /// Adds a task that stopped in the time of an earlier host agent. A task that lives keeps its name.
    pub fn add_stopped(&self, entry: Arc<Entry>) {
        let (id, name) = identity(&entry);
        let mut known = self.lock();
        known.ids.entry(name).or_insert_with(|| id.clone());
        known.entries.insert(id.clone(), entry);
        known.stopped(&id);
    }

    /// The task that `query` means: its id, its name, or the beginning of its id.
    ///
    /// # Errors
    /// As [`names::find`].
    pub fn find(&self, query: &str) -> Result<Arc<Entry>, ApiError> {
        let known = self.lock();
        // What programs ask for, at every start: found without a look at all others.
        if let Some(entry) = known.entries.get(query) {
            return Ok(entry.clone());
        }
        if let Some(entry) = known.ids.get(query).and_then(|id| known.entries.get(id)) {
            return Ok(entry.clone());
        }
        let names = known.entries.keys().map(|id| (id.as_str(), ""));
        let id = names::find(query, names)?;
        Ok(known.entries[id].clone())
    }

    /// All tasks, newest first.
    pub fn list(&self) -> Vec<Arc<TaskRecord>> {
        let mut tasks: Vec<_> = self.lock().entries.values().map(|entry| entry.now()).collect();
        tasks.sort_by(|one, other| newest_first(one, other));
        tasks
    }

    /// Those that have a microVM, newest first, each with where that is.
    pub fn with_microvms(&self) -> Vec<(Arc<TaskRecord>, Whereabouts)> {
        let known = self.lock();
        let place = |entry: &Arc<Entry>| Some((entry.now(), entry.whereabouts.borrow().clone()?));
        let mut tasks: Vec<_> = known.entries.values().filter_map(place).collect();
        tasks.sort_by(|(one, _), (other, _)| newest_first(one, other));
        tasks
    }

    /// Forgets a task.
    pub fn forget(&self, id: &str) {
        self.lock().forget(id);
    }

    /// A task is over: it is forgotten if it is to be `removed`, and remembered for a while otherwise.
    pub fn end(&self, id: &str, removed: bool) {
        let mut known = self.lock();
        if removed {
            known.forget(id);
        } else {
            known.stopped(id);
        }
        drop(known);
        self.gone();
    }

    /// A task lives on, but not here.
    pub fn gone(&self) {
        self.living.send_modify(|living| *living -= 1);
    }

    /// Takes no more tasks; those that there are.
    pub fn close(&self) -> Vec<Arc<Entry>> {
        let mut known = self.lock();
        known.is_closed = true;
        known.entries.values().cloned().collect()
    }

    /// Waits until no task lives.
    pub async fn none_lives(&self) {
        // The sender lives as long as this value.
        let _ = self.living.subscribe().wait_for(|living| *living == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds the lock leaves a change half-done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The task as it is now.
    #[must_use]
    pub fn now(&self) -> Arc<TaskRecord> {
        self.record.borrow().clone()
    }

    /// Tells the task of an event. One that is over does not mind.
    pub async fn tell(&self, event: Event) {
        let _ = self.notices.send(Notice::Event(event)).await;
    }

    /// Tells the task of an event, and waits until what follows at once is stored. One that is over does not mind.
    pub async fn ask(&self, event: Event) {
        self.and_wait(|told| Notice::Asked(event, told)).await;
    }

    pub(super) async fn and_wait(&self, notice: impl FnOnce(oneshot::Sender<()>) -> Notice) {
        let (told, stored) = oneshot::channel();
        if self.notices.send(notice(told)).await.is_ok() {
            // A task that ends before it answers has stored its end.
            let _ = stored.await;
        }
    }

    /// Waits until the task has stopped, or was left to a later host agent; what became of it.
    pub async fn stopped(&self) -> Arc<TaskRecord> {
        self.reached(Status::Stopped).await
    }

    /// Waits until the task is as far as `status`, or further, or was left to a later host agent; how it is then.
    pub async fn reached(&self, status: Status) -> Arc<TaskRecord> {
        let mut record = self.record.clone();
        match record.wait_for(|task| task.status >= status).await {
            Ok(task) => task.clone(),
            // The record of a task that is gone is final.
            Err(_) => self.now(),
        }
    }
}

fn identity(entry: &Entry) -> (String, String) {
    let record = entry.record.borrow();
    (record.id.clone(), record.name.clone())
}

fn newest_first(one: &TaskRecord, other: &TaskRecord) -> Ordering {
    let key = |record: &TaskRecord| (record.times.created_ms, record.clock.accepted_ns);
    (key(other), &other.id).cmp(&(key(one), &one.id))
}
