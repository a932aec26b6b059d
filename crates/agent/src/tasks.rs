//! The tasks of this host: creating, finding and forgetting them.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::error::{ApiError, ErrorCode};
use api::task::{Status, Task};
use tokio::sync::{mpsc, watch};

use crate::host::Input;
use crate::launch::Whereabouts;
use crate::lifecycle::{Cause, Event};
use crate::names;
use crate::output::Outlets;
use crate::task::Notice;

/// Stopped tasks that are remembered; beyond, the oldest is forgotten.
const STOPPED_MAX: usize = 1000;

/// What others hold of a task.
#[derive(Debug)]
pub struct Entry {
    /// The task as it is now.
    pub record: watch::Receiver<Task>,
    /// What it can be told.
    pub notices: mpsc::Sender<Notice>,
    /// Where its output can be had.
    pub outlets: Arc<Outlets>,
    /// Where its input goes, if it takes any.
    pub input: Option<mpsc::Sender<Input>>,
    /// Where its microVM is, while it has one.
    pub whereabouts: watch::Receiver<Option<Whereabouts>>,
}

/// All tasks that are not forgotten.
#[derive(Debug)]
pub struct Tasks {
    // Shared by the handlers of requests and by tasks that end; locked for moments, never while waiting.
    known: Mutex<Known>,
    living: watch::Sender<usize>,
}

#[derive(Debug, Default)]
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
            self.ids.remove(&entry.record.borrow().name);
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
    /// Adds a task, if its name is free. `make` is given a name where the task has none.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where another task has the name, [`ErrorCode::HostUnable`] where the host agent is about to end.
    pub fn add(
        &self,
        id: &str,
        name: Option<String>,
        random: [u8; 2],
        make: impl FnOnce(String) -> Entry,
    ) -> Result<Arc<Entry>, ApiError> {
        let mut known = self.lock();
        if known.is_closed {
            let message = "the host agent is about to end and takes no more tasks".to_owned();
            return Err(ApiError {
                code: ErrorCode::HostUnable,
                message,
            });
        }
        let name = match name {
            Some(name) => match known.ids.get(&name) {
                Some(id) => {
                    let message = format!("the name {name} is taken by task {}", names::short(id));
                    return Err(ApiError {
                        code: ErrorCode::Conflict,
                        message,
                    });
                }
                None => name,
            },
            None => names::make_up(random, id, |name| known.ids.contains_key(name)),
        };
        let entry = Arc::new(make(name.clone()));
        known.entries.insert(id.to_owned(), entry.clone());
        known.ids.insert(name, id.to_owned());
        self.living.send_modify(|living| *living += 1);
        Ok(entry)
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
        let names = known.ids.iter().map(|(name, id)| (id.as_str(), name.as_str()));
        let id = names::find(query, names)?;
        Ok(known.entries[id].clone())
    }

    /// All tasks, newest first.
    pub fn list(&self) -> Vec<Task> {
        let mut tasks: Vec<Task> = self
            .lock()
            .entries
            .values()
            .map(|entry| entry.record.borrow().clone())
            .collect();
        tasks.sort_by(newest_first);
        tasks
    }

    /// Those that have a microVM, newest first, each with where that is.
    pub fn with_microvms(&self) -> Vec<(Task, Whereabouts)> {
        let known = self.lock();
        let place = |entry: &Arc<Entry>| Some((entry.record.borrow().clone(), entry.whereabouts.borrow().clone()?));
        let mut tasks: Vec<_> = known.entries.values().filter_map(place).collect();
        tasks.sort_by(|(one, _), (other, _)| newest_first(one, other));
        tasks
    }

    /// Forgets a stopped task.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where it has not stopped.
    pub fn forget(&self, query: &str) -> Result<(), ApiError> {
        let task = self.find(query)?.record.borrow().clone();
        if task.status != Status::Stopped {
            let message = format!("task {} has not stopped: stop it first", names::short(&task.id));
            return Err(ApiError {
                code: ErrorCode::Conflict,
                message,
            });
        }
        self.lock().forget(&task.id);
        Ok(())
    }

    /// A task is over: it is forgotten if it is to be `removed`, and remembered for a while otherwise.
    pub fn end(&self, id: &str, removed: bool) {
        let mut known = self.lock();
        if removed {
            known.forget(id);
        } else {
            known.stopped.push_back(id.to_owned());
        }
        while known.stopped.len() > STOPPED_MAX {
            if let Some(oldest) = known.stopped.pop_front() {
                known.forget(&oldest);
            }
        }
        self.living.send_modify(|living| *living -= 1);
    }

    /// Takes no more tasks and tells those that live to end.
    pub fn close(&self, event: &Event) -> impl Future<Output = ()> + Send + use<> {
        let entries: Vec<Arc<Entry>> = {
            let mut known = self.lock();
            known.is_closed = true;
            known.entries.values().cloned().collect()
        };
        let event = event.clone();
        async move {
            for entry in entries {
                // A task that is over takes no notices.
                let _ = entry.notices.send(Notice::Event(event.clone())).await;
            }
        }
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

/// What a graceful or a hard end of the host agent tells its tasks.
#[must_use]
pub const fn agent_ends(gracefully: bool) -> Event {
    if gracefully {
        Event::StopRequested {
            cause: Cause::AgentEnds,
            timeout_seconds: None,
        }
    } else {
        Event::KillRequested(Cause::AgentEnds)
    }
}

fn newest_first(one: &Task, other: &Task) -> Ordering {
    (other.clock.accepted_ns, &other.id).cmp(&(one.clock.accepted_ns, &one.id))
}
