//! What carries out what the planner decides: one keeper for each service that is not inactive.
//!
//! Nothing is polled: a keeper plans when one of its service's tasks has changed, when a client changes the service, and when the planner asked to
//! be asked again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::event::EventSubject;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::account::{Phase, TaskView};
use super::journal::Random;
use super::keeper::{Board, Keeper, Request};
use super::outside::{Records, Tasks};
use super::request::{self, NewService, RequestError};
use super::service::{Service, ServiceStatus};
use super::view;
use crate::events::{self, Journal};
use crate::record::TaskRecord;

/// Requests that wait for one service.
const REQUESTS_MAX: usize = 64;

/// Why a service could not be had or changed.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// There is none.
    #[error("Service not found.")]
    NotFound,
    /// There is one that is another.
    #[error("Creation of service was not idempotent.")]
    NotIdempotent,
    /// The last one of this name still has tasks.
    #[error("Unable to Start a service that is still Draining.")]
    StillDraining,
    /// It cannot be changed like that.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// It could not be stored.
    #[error("the service could not be stored or read: {0}")]
    Store(String),
}

/// What services are made of beside themselves.
#[derive(Clone)]
pub struct Surroundings {
    /// What starts and stops tasks.
    pub tasks: Arc<dyn Tasks>,
    /// Where services are stored.
    pub records: Arc<dyn Records>,
    /// Who is told what happens.
    pub journal: Journal,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: fn() -> u64,
    /// Random bytes.
    pub random: fn() -> Box<dyn Random + Send>,
}

/// The services of a host. Clones are the same.
#[derive(Clone)]
pub struct Services {
    inner: Arc<Inner>,
}

struct Inner {
    surroundings: Surroundings,
    // Shared by handlers of requests, the tasks' changes and keepers that end; locked for moments.
    entries: Mutex<HashMap<Key, Arc<Entry>>>,
    // One service is created after the other.
    creating: tokio::sync::Mutex<()>,
}

/// Cluster and name.
type Key = (String, String);

/// What others hold of a service.
struct Entry {
    service: watch::Receiver<Arc<Service>>,
    requests: mpsc::Sender<Request>,
    board: Arc<Board>,
}

impl Services {
    /// No services yet.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            inner: Arc::new(Inner {
                surroundings,
                entries: Mutex::default(),
                creating: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Takes up what is stored, with the tasks that there are: those that have not stopped, and those that stopped lately. Called once, when all tasks
    /// of an earlier host agent are found or known to be lost.
    ///
    /// # Errors
    /// [`ServiceError::Store`]
    pub fn resume(&self, tasks: &[Arc<TaskRecord>]) -> Result<(), ServiceError> {
        let services = self.records().unfinished().map_err(ServiceError::Store)?;
        let mut views: HashMap<Key, Vec<TaskView>> = HashMap::new();
        for record in tasks {
            if let (Some(view), Some(origin)) = (view::view(record), &record.service) {
                let key = (record.cluster.clone(), origin.service.clone());
                views.entry(key).or_default().push(view);
            }
        }
        for service in services {
            let views = views.remove(&key(&service)).unwrap_or_default();
            self.keep(service, views);
        }
        Ok(())
    }

    /// Takes note of a task as it is now. Waits for nothing.
    pub fn saw(&self, record: &TaskRecord) {
        let (Some(view), Some(origin)) = (view::view(record), &record.service) else {
            return;
        };
        let key = (record.cluster.clone(), origin.service.clone());
        let entry = self.entries().get(&key).cloned();
        if let Some(entry) = entry {
            entry.board.set(view);
        }
    }

    /// Takes note of all tasks as they are now, after changes were missed. `list` has all that have not stopped, and those that stopped lately.
    pub fn refresh(&self, list: impl FnOnce() -> Vec<Arc<TaskRecord>>) {
        let entries: Vec<Arc<Entry>> = self.entries().values().cloned().collect();
        // Before the list is made: what is started after that is not in it.
        let known: Vec<_> = entries.iter().map(|entry| entry.board.views()).collect();
        let records = list();
        for record in &records {
            self.saw(record);
        }
        let listed: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
        for (entry, known) in entries.iter().zip(known) {
            for view in known.iter().filter(|view| !listed.contains(view.id.as_str())) {
                entry.board.remove(&view.id);
            }
        }
    }

    /// Creates a service. The same request again answers with the service that the first one created.
    ///
    /// # Errors
    /// [`ServiceError::NotIdempotent`], [`ServiceError::StillDraining`], [`ServiceError::Store`]
    pub async fn create(&self, new: NewService) -> Result<Arc<Service>, ServiceError> {
        let _creating = self.inner.creating.lock().await;
        if let Some(known) = self.get(&new.cluster, &new.name).await? {
            match known.status {
                ServiceStatus::Active if known.fingerprint == new.fingerprint => return Ok(known),
                ServiceStatus::Active => return Err(ServiceError::NotIdempotent),
                ServiceStatus::Draining => return Err(ServiceError::StillDraining),
                ServiceStatus::Inactive => {}
            }
        }
        let surroundings = &self.inner.surroundings;
        let service = request::create(new, (surroundings.now_ms)(), (surroundings.random)().as_mut());
        self.put(service.clone()).await?;
        let mut event = events::event(EventSubject::Service, "created", &service.name);
        event.attributes.insert("cluster".to_owned(), service.cluster.clone());
        surroundings.journal.add(event);
        Ok(self.keep(service, Vec::new()))
    }

    /// Changes a service; the answer comes when the change is stored.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], what `change` says, [`ServiceError::Store`]. Nothing has changed then.
    pub async fn change(
        &self,
        cluster: &str,
        name: &str,
        change: impl FnOnce(&mut Service, u64, &mut dyn Random) -> Result<(), RequestError> + Send + 'static,
    ) -> Result<Arc<Service>, ServiceError> {
        let entry = self.entries().get(&(cluster.to_owned(), name.to_owned())).cloned();
        if let Some(entry) = entry {
            let (answer, answered) = oneshot::channel();
            let change = Box::new(change);
            // A keeper that ended meanwhile takes no request, or drops it: the service is inactive now.
            let _ = entry.requests.send(Request { change, answer }).await;
            if let Ok(answer) = answered.await {
                return answer;
            }
        }
        self.get(cluster, name).await?.ok_or(ServiceError::NotFound)?;
        Err(RequestError::NotActive.into())
    }

    /// The service of this cluster and name, whatever its status.
    ///
    /// # Errors
    /// [`ServiceError::Store`]
    pub async fn get(&self, cluster: &str, name: &str) -> Result<Option<Arc<Service>>, ServiceError> {
        let key = (cluster.to_owned(), name.to_owned());
        if let Some(entry) = self.entries().get(&key) {
            return Ok(Some(entry.service.borrow().clone()));
        }
        let records = self.inner.surroundings.records.clone();
        let read = move || records.get(&key.0, &key.1);
        let service = blocking(read).await.map_err(ServiceError::Store)?;
        Ok(service.map(Arc::new))
    }

    /// A service that is not inactive, as it is now and as it becomes.
    #[must_use]
    pub fn follow(&self, cluster: &str, name: &str) -> Option<watch::Receiver<Arc<Service>>> {
        let key = (cluster.to_owned(), name.to_owned());
        self.entries().get(&key).map(|entry| entry.service.clone())
    }

    /// All services that are not inactive, of one cluster or of all, by name.
    #[must_use]
    pub fn list(&self, cluster: Option<&str>) -> Vec<Arc<Service>> {
        let mut services: Vec<_> = (self.entries().iter())
            .filter(|((of, _), _)| cluster.is_none_or(|cluster| cluster == of))
            .map(|(_, entry)| entry.service.borrow().clone())
            .collect();
        services.sort_by(|one, other| (&one.cluster, &one.name).cmp(&(&other.cluster, &other.name)));
        services
    }

    /// How many of its tasks run and how many are on their way, by deployment.
    #[must_use]
    pub fn counts(&self, cluster: &str, name: &str) -> HashMap<String, Counts> {
        let mut counts: HashMap<String, Counts> = HashMap::new();
        let entry = self.entries().get(&(cluster.to_owned(), name.to_owned())).cloned();
        for view in entry.map(|entry| entry.board.views()).unwrap_or_default() {
            let count = counts.entry(view.deployment).or_default();
            match view.phase {
                Phase::Starting => count.pending += 1,
                Phase::Running { .. } => count.running += 1,
                Phase::Stopping | Phase::Stopped { .. } => {}
            }
        }
        counts
    }

    /// Starts to keep a service.
    fn keep(&self, service: Service, views: Vec<TaskView>) -> Arc<Service> {
        let key = key(&service);
        let board = Arc::new(Board::new(views));
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let service = Arc::new(service);
        let (shown, seen) = watch::channel(service.clone());
        let entry = Entry {
            service: seen,
            requests,
            board: board.clone(),
        };
        self.entries().insert(key.clone(), Arc::new(entry));
        let keeper = Keeper::new(self.inner.surroundings.clone(), board.clone(), shown);
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            keeper.keep(inbox).await;
            if let Some(inner) = inner.upgrade() {
                let mut entries = lock(&inner.entries);
                // Another one of this name may have been created already.
                if entries.get(&key).is_some_and(|entry| Arc::ptr_eq(&entry.board, &board)) {
                    entries.remove(&key);
                }
            }
        });
        service
    }

    async fn put(&self, service: Service) -> Result<(), ServiceError> {
        let records = self.inner.surroundings.records.clone();
        blocking(move || records.put(&service))
            .await
            .map_err(ServiceError::Store)
    }

    fn records(&self) -> &Arc<dyn Records> {
        &self.inner.surroundings.records
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Arc<Entry>>> {
        lock(&self.inner.entries)
    }
}

/// Tasks of a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that run.
    pub running: u32,
    /// Those on their way there.
    pub pending: u32,
}

/// Does what waits for a disk where that is in nobody's way.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(error.to_string()),
    }
}

fn key(service: &Service) -> Key {
    (service.cluster.clone(), service.name.clone())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds the lock leaves a change half-done.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests;
