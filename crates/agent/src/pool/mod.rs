//! The pool: clones that have everything but an identity and wait for a task.
//!
//! Taking one is a lock, a pop and what the task itself has to say; all else is done beside, by [`Pool::keep`], which does what [`planner`]
//! decides.

mod planner;
mod pressure;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use pressure::listen as listen_for_pressure;

use crate::launch::{Launch, LaunchError, Launcher, Vmm};
use crate::sentence::sentence;
use crate::sizing;
use crate::template::{Template, Templates};
use planner::{Action, Event, Planner};

/// How long a member may take until it waits.
const START_SECONDS: u64 = 60;

/// A clone that waits.
pub struct Member {
    /// The VMM.
    pub vmm: Vmm,
    /// What it is a clone of.
    pub template: Arc<Template>,
}

/// The pool of one host agent. Clones of this value are the same pool.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<PoolShared>,
}

struct PoolShared {
    launcher: Arc<Launcher>,
    templates: Arc<Templates>,
    size: usize,
    // Shared by the tasks that start and the one that keeps the pool; locked for moments, never while waiting.
    shelf: Mutex<Shelf>,
    jobs: mpsc::UnboundedSender<Job>,
}

struct Shelf {
    planner: Planner,
    members: Vec<Member>,
    generation: u64,
    template: Option<Arc<Template>>,
}

/// Something that is to be done beside.
enum Job {
    StartMember,
    End(Box<Member>),
    HoldBack { seconds: u64 },
}

/// The work that a pool gives itself; for [`Pool::keep`].
pub struct Work(mpsc::UnboundedReceiver<Job>);

/// A task that starts: the pool is not refilled as long as this value lives.
#[must_use]
pub struct Start(Option<Pool>);

/// What comes of starting a member.
type Started = Result<(Member, u64), String>;

impl Pool {
    /// A pool in which `size` members are to wait, and its work.
    #[must_use]
    pub fn new(size: usize, launcher: Arc<Launcher>, templates: Arc<Templates>) -> (Self, Work) {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let shelf = Shelf {
            planner: Planner::new(size),
            members: Vec::with_capacity(size),
            generation: 0,
            template: None,
        };
        let shared = PoolShared {
            launcher,
            templates,
            size,
            shelf: Mutex::new(shelf),
            jobs,
        };
        let pool = Self {
            shared: Arc::new(shared),
        };
        (pool, Work(receiver))
    }

    /// A member, if one waits: the one that came last, whose memory is warm.
    #[must_use]
    pub fn take(&self) -> Option<Member> {
        if self.shared.size == 0 {
            return None;
        }
        let mut shelf = self.lock();
        let member = shelf.members.pop()?;
        self.plan(&mut shelf, Event::Taken);
        Some(member)
    }

    /// A task begins to start.
    pub fn begin_start(&self) -> Start {
        if self.shared.size == 0 {
            return Start(None);
        }
        self.plan(&mut self.lock(), Event::StartBegan);
        Start(Some(self.clone()))
    }

    /// What the API says of it.
    #[must_use]
    pub fn status(&self) -> api::template::Pool {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        api::template::Pool {
            size: number(self.shared.size),
            waiting: number(self.lock().planner.waiting()),
        }
    }

    /// Keeps the pool as full as it is to be, until `closing`; then ends all members and returns.
    pub async fn keep(self, mut work: Work, mut pressure: watch::Receiver<bool>, closing: impl Future<Output = ()>) {
        if self.shared.size == 0 {
            self.shared.templates.adopt();
            return closing.await;
        }
        // The pool is the first to need a template.
        let _ = self.shared.templates.choose();
        let mut starting = JoinSet::new();
        let mut ending = JoinSet::new();
        let mut timers = JoinSet::new();
        tokio::pin!(closing);
        loop {
            let changes = self.shared.templates.changes();
            self.look_at_template();
            tokio::select! {
                Some(job) = work.0.recv() => match job {
                    Job::StartMember => {
                        let this = self.clone();
                        starting.spawn(async move { this.start_member().await });
                    }
                    Job::End(member) => {
                        ending.spawn(member.vmm.end());
                    }
                    Job::HoldBack { seconds } => {
                        timers.spawn(tokio::time::sleep(Duration::from_secs(seconds)));
                    }
                },
                Some(started) = starting.join_next() => self.receive(started),
                Some(_) = timers.join_next() => self.happened(Event::HoldBackOver),
                Some(_) = ending.join_next() => {}
                () = changes => {}
                Ok(()) = pressure.changed() => {
                    let is_pressed = *pressure.borrow_and_update();
                    tracing::info!(is_pressed, "memory pressure changed");
                    self.happened(Event::PressureChanged(is_pressed));
                }
                () = &mut closing => break,
            }
        }
        self.happened(Event::Closed);
        // Those on their way are ended by being dropped.
        starting.shutdown().await;
        while let Ok(job) = work.0.try_recv() {
            if let Job::End(member) = job {
                ending.spawn(member.vmm.end());
            }
        }
        while ending.join_next().await.is_some() {}
    }

    /// Tells the planner of another template, if there is one.
    fn look_at_template(&self) {
        let ready = self.shared.templates.ready();
        let mut shelf = self.lock();
        let is_same = match (&ready, &shelf.template) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            shelf.generation += 1;
            shelf.template = ready;
            let generation = shelf.template.is_some().then_some(shelf.generation);
            self.plan(&mut shelf, Event::TemplateChanged(generation));
        }
    }

    async fn start_member(&self) -> Started {
        self.shared.templates.recheck().await;
        let (template, generation) = {
            let shelf = self.lock();
            (shelf.template.clone(), shelf.generation)
        };
        let Some(template) = template else {
            return Err("there is no template any more".to_owned());
        };
        let origin = template.origin();
        let started = async {
            let mut vmm = self.shared.launcher.launch(Launch {
                origin,
                shape: None,
                memory_bytes_max: sizing::vmm_memory_bytes(0),
                serves_directories: false,
            })?;
            vmm.waiting().await?;
            Ok::<_, LaunchError>(vmm)
        };
        match tokio::time::timeout(Duration::from_secs(START_SECONDS), started).await {
            Ok(Ok(vmm)) => Ok((Member { vmm, template }, generation)),
            Ok(Err(error)) => Err(sentence(&error)),
            Err(_) => Err(format!("it did not wait within {START_SECONDS} seconds")),
        }
    }

    /// Puts a started member on the shelf, if it is still wanted.
    fn receive(&self, started: Result<Started, tokio::task::JoinError>) {
        let started = started.map_err(|error| error.to_string()).and_then(|started| started);
        let mut shelf = self.lock();
        match started {
            Ok((member, generation)) => {
                self.watch(&member);
                // On the shelf first: it is from there that a member which is not wanted is taken.
                shelf.members.push(member);
                self.plan(&mut shelf, Event::MemberReady { generation });
            }
            Err(reason) => {
                tracing::warn!("a clone for the pool could not be started: {reason}");
                self.plan(&mut shelf, Event::MemberFailed);
            }
        }
    }

    /// Sees to it that a member which ends while it waits is not given out. One that was taken by then is none of the pool's business.
    fn watch(&self, member: &Member) {
        let (this, id, end) = (self.clone(), member.vmm.id.clone(), member.vmm.process.end());
        tokio::spawn(async move {
            if end.reached().await.is_err() {
                return;
            }
            let dead = {
                let mut shelf = this.lock();
                let place = shelf.members.iter().position(|member| member.vmm.id == id);
                let dead = place.map(|place| shelf.members.swap_remove(place));
                if dead.is_some() {
                    this.plan(&mut shelf, Event::MemberDied);
                }
                dead
            };
            if let Some(mut dead) = dead {
                let (_, message) = dead.vmm.ended().await;
                tracing::warn!(microvm = id, "a clone that waited has ended: {message}");
                dead.vmm.end().await;
            }
        });
    }

    fn happened(&self, event: Event) {
        self.plan(&mut self.lock(), event);
    }

    fn plan(&self, shelf: &mut Shelf, event: Event) {
        for action in shelf.planner.next(event) {
            let jobs = match action {
                Action::StartMember => vec![Job::StartMember],
                Action::HoldBack { seconds } => vec![Job::HoldBack { seconds }],
                Action::GiveBack(members) => shelf.members.drain(..members).map(Box::new).map(Job::End).collect(),
                Action::Discard => shelf.members.pop().map(Box::new).map(Job::End).into_iter().collect(),
            };
            for job in jobs {
                // A pool that is not kept any more has nothing to do.
                let _ = self.shared.jobs.send(job);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Nothing that holds the lock leaves a change half-done.
        self.shared.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            pool.happened(Event::StartEnded);
        }
    }
}
