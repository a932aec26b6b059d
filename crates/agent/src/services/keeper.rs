//! The keeper of one service: plans, stores, acts, and waits until there is something to plan for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::event::EventSubject;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::account::{self, Phase, TaskView};
use super::driver::{ServiceError, Surroundings, blocking};
use super::journal::Random;
use super::outside::WantedTask;
use super::planner::{Action, plan};
use super::request::RequestError;
use super::service::{Service, ServiceStatus};
use crate::events;

/// How long a store that takes nothing is left alone.
const STORE_RETRY_MS: u64 = 1_000;

/// What to do with a service: when, in milliseconds since the Unix epoch, and with chance for what is named anew.
pub type Change = Box<dyn FnOnce(&mut Service, u64, &mut dyn Random) -> Result<(), RequestError> + Send>;

/// A change that a client wants.
pub struct Request {
    /// What to do with the service.
    pub change: Change,
    /// Where the outcome goes.
    pub answer: oneshot::Sender<Result<Arc<Service>, ServiceError>>,
}

/// The tasks of a service, as they are now.
#[derive(Debug, Default)]
pub struct Board {
    // Shared by the tasks' changes and the keeper; locked for moments.
    views: Mutex<HashMap<String, TaskView>>,
    changed: Notify,
}

impl Board {
    /// These tasks.
    #[must_use]
    pub fn new(views: Vec<TaskView>) -> Self {
        Self {
            views: Mutex::new(views.into_iter().map(|view| (view.id.clone(), view)).collect()),
            changed: Notify::new(),
        }
    }

    /// A task is like this now.
    pub fn set(&self, view: TaskView) {
        let mut views = self.lock();
        if views.get(&view.id) == Some(&view) {
            return;
        }
        // What has stopped stays so, whoever tells of an earlier change later.
        if views
            .get(&view.id)
            .is_some_and(|known| matches!(known.phase, Phase::Stopped { .. }))
        {
            return;
        }
        views.insert(view.id.clone(), view);
        drop(views);
        self.changed.notify_one();
    }

    /// A task that was submitted, unless more is known of it already.
    fn submitted(&self, view: TaskView) {
        self.lock().entry(view.id.clone()).or_insert(view);
    }

    /// There is no such task any more.
    pub fn remove(&self, task: &str) {
        if self.lock().remove(task).is_some() {
            self.changed.notify_one();
        }
    }

    /// All of them.
    #[must_use]
    pub fn views(&self) -> Vec<TaskView> {
        self.lock().values().cloned().collect()
    }

    /// Forgets those that have stopped and that the service does not wait for.
    fn forget_stopped(&self, service: &Service) {
        let is_open = |id: &str| service.open.iter().any(|open| open.id == id);
        self.lock()
            .retain(|id, view| !matches!(view.phase, Phase::Stopped { .. }) || is_open(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, TaskView>> {
        // Nothing that holds the lock leaves a change half-done.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keeper of one service.
pub struct Keeper {
    surroundings: Surroundings,
    board: Arc<Board>,
    shown: watch::Sender<Arc<Service>>,
    random: Box<dyn Random + Send>,
}

impl Keeper {
    /// The keeper of the service that is `shown`.
    #[must_use]
    pub fn new(surroundings: Surroundings, board: Arc<Board>, shown: watch::Sender<Arc<Service>>) -> Self {
        let random = (surroundings.random)();
        Self {
            surroundings,
            board,
            shown,
            random,
        }
    }

    /// Keeps the service until it is inactive, or nobody can ask for it any more.
    pub async fn keep(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let wake_at_ms = self.plan().await;
            if self.service().status == ServiceStatus::Inactive {
                return;
            }
            let sleep_ms = wake_at_ms.map(|at_ms| at_ms.saturating_sub((self.surroundings.now_ms)()));
            let board = self.board.clone();
            tokio::select! {
                () = board.changed.notified() => {}
                () = sleep(sleep_ms) => {}
                request = requests.recv() => match request {
                    Some(request) => self.change(request).await,
                    None => return,
                },
            }
        }
    }

    fn service(&self) -> Arc<Service> {
        self.shown.borrow().clone()
    }

    /// Plans, stores, acts; when to plan again in any case.
    async fn plan(&mut self) -> Option<u64> {
        let known = self.service();
        let now_ms = (self.surroundings.now_ms)();
        let plan = plan(&known, &self.board.views(), now_ms, self.random.as_mut());
        if plan.service != *known && self.store(plan.service).await.is_err() {
            return Some(now_ms + STORE_RETRY_MS);
        }
        let mut wake_at_ms = plan.wake_at_ms;
        for action in plan.actions {
            match action {
                Action::Stop { task, reason } => self.surroundings.tasks.stop(&task, &reason).await,
                Action::Start {
                    deployment,
                    definition,
                    count,
                } => {
                    if self.start(deployment, definition, count).await.is_err() {
                        wake_at_ms = Some(now_ms + STORE_RETRY_MS);
                    }
                }
            }
        }
        self.board.forget_stopped(&self.service());
        wake_at_ms
    }

    /// Starts tasks, up to the first one that is refused.
    async fn start(&mut self, deployment: String, definition: String, count: u32) -> Result<(), ServiceError> {
        let service = self.service();
        let wanted = WantedTask {
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            deployment,
            definition,
            options: service.tasks,
            echoed: service.echoed.clone(),
        };
        let (mut started, mut refused) = (Vec::new(), None);
        for _ in 0..count {
            match self.surroundings.tasks.start(&wanted).await {
                Ok(id) => started.push(id),
                Err(why) => {
                    refused = Some(why);
                    break;
                }
            }
        }
        for id in &started {
            self.board.submitted(TaskView {
                id: id.clone(),
                deployment: wanted.deployment.clone(),
                phase: Phase::Starting,
            });
        }
        let now_ms = (self.surroundings.now_ms)();
        let mut service = Service::clone(&service);
        let random = self.random.as_mut();
        account::started(&mut service, random, &wanted.deployment, &started, now_ms);
        if let Some(why) = refused {
            account::refused(&mut service, random, &wanted.deployment, &why, now_ms);
        }
        // What follows from that is planned next.
        self.board.changed.notify_one();
        self.store(service).await
    }

    /// Makes a client's change.
    async fn change(&mut self, request: Request) {
        let mut service = Service::clone(&self.service());
        let changed = (request.change)(&mut service, (self.surroundings.now_ms)(), self.random.as_mut());
        let outcome = match changed {
            Ok(()) => self.store(service).await.map(|()| self.service()),
            Err(refused) => Err(refused.into()),
        };
        // Whoever asked may be gone.
        let _ = request.answer.send(outcome);
    }

    /// Stores the service, then shows it and tells what is new in it.
    async fn store(&mut self, service: Service) -> Result<(), ServiceError> {
        let service = Arc::new(service);
        let (records, stored) = (self.surroundings.records.clone(), service.clone());
        if let Err(error) = blocking(move || records.put(&stored)).await {
            tracing::error!(
                service = service.name,
                cluster = service.cluster,
                error,
                "cannot store a service"
            );
            return Err(ServiceError::Store(error));
        }
        let before = self.shown.send_replace(service.clone());
        self.tell(&before, &service);
        Ok(())
    }

    fn tell(&self, before: &Service, after: &Service) {
        let last = before.notes.first().map(|note| note.id.as_str());
        let news: Vec<_> = after
            .notes
            .iter()
            .take_while(|note| Some(note.id.as_str()) != last)
            .collect();
        for note in news.into_iter().rev() {
            tracing::info!(service = after.name, cluster = after.cluster, "{}", note.message);
            let mut event = events::event(EventSubject::Service, "event", &after.name);
            event.time_ms = note.at_ms;
            event.attributes.insert("cluster".to_owned(), after.cluster.clone());
            event.attributes.insert("message".to_owned(), note.message.clone());
            self.surroundings.journal.add(event);
        }
        if before.status != after.status {
            let action = match after.status {
                ServiceStatus::Active => "active",
                ServiceStatus::Draining => "draining",
                ServiceStatus::Inactive => "inactive",
            };
            let mut event = events::event(EventSubject::Service, action, &after.name);
            event.attributes.insert("cluster".to_owned(), after.cluster.clone());
            self.surroundings.journal.add(event);
        }
    }
}

async fn sleep(milliseconds: Option<u64>) {
    match milliseconds {
        Some(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        None => std::future::pending().await,
    }
}
