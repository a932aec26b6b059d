//! The host as a task sees it: performs what the life cycle decides, and owns everything that a task holds.

mod cgroup;
mod directory;
mod frames;
mod guest;
mod leftovers;
mod microvm;
mod process;
mod scratch;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::task::TerminalSize;
use bytes::Bytes;
use protocol::guest::ToGuest;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use cgroup::{Cgroup, CgroupError, CgroupV2, Cgroups};
pub use leftovers::remove as remove_leftovers;
pub use scratch::Templates;

use crate::activity::{Activity, Presence};
use crate::clock;
use crate::config::Config;
use crate::images::Hold;
use crate::lifecycle::{Action, Event, Signal, Timer};
use crate::output::Outlets;
use crate::sentence::sentence;
use crate::sizing::Sizing;
use crate::spec::{CONTAINER, Spec};
use crate::task::{Host, Notice};
use directory::{DirectoryError, TaskDirectory};
use microvm::{Microvm, Parts};
use scratch::{Scratch, ScratchError};

/// How long a guest may take until its container is prepared. A machine without hardware virtualization needs seconds.
const BOOT_SECONDS: u64 = 120;

/// How long a kill may take to be reported.
const KILL_SECONDS: u64 = 10;

/// How long a guest may take to shut down. At a thousandth of a vCPU it gets 5 ms of CPU in this time.
const SHUT_DOWN_SECONDS: u64 = 5;

/// Bytes of entropy that a guest starts with: the size of the kernel's seed, twice.
const ENTROPY_LEN: usize = 64;

/// The size of a scratch disk, in MiB: 20 GiB, as tasks have on Fargate.
const SCRATCH_MIB: u32 = 20 << 10;

/// What all tasks of a host share.
pub struct Shared {
    /// Where things are.
    pub config: Config,
    /// What meters tasks.
    pub cgroups: Arc<dyn Cgroups>,
    /// What scratch disks are copied from.
    pub templates: Templates,
}

/// What one task is to be, resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The task's id.
    pub id: String,
    /// What runs.
    pub spec: Spec,
    /// How big it is.
    pub sizing: Sizing,
    /// Its rootfs snapshot.
    pub rootfs: Rootfs,
    /// Seconds from the stop signal to the kill.
    pub stop_timeout_seconds: u32,
    /// Seconds that its process may run.
    pub time_limit_seconds: Option<u32>,
}

/// The files of a rootfs snapshot.
#[derive(Clone, Debug)]
pub struct Rootfs {
    /// The files, in order.
    pub parts: Vec<PathBuf>,
    /// Keeps them in the store.
    pub hold: Hold,
}

/// What a client sends to the process of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes for standard input or the terminal.
    Bytes(Bytes),
    /// Standard input has ended.
    End,
    /// The terminal's window changed.
    Resize(TerminalSize),
}

/// The host of one task.
pub struct TaskHost {
    shared: Arc<Shared>,
    plan: Plan,
    outlets: Arc<Outlets>,
    input: Option<mpsc::Receiver<Input>>,
    notices: mpsc::Sender<Notice>,
    timers: JoinSet<()>,
    activity: Activity,
    // A task that was started keeps the host agent from being idle; one that waits for it does not.
    presence: Option<Presence>,
    // In the order in which they must go: the microVM uses the cgroup, the disk and the directory.
    microvm: Option<Microvm>,
    held: Option<Held>,
}

/// What a task holds on the host beside its microVM.
struct Held {
    cgroup: Box<dyn Cgroup>,
    scratch: Scratch,
    directory: TaskDirectory,
}

/// Something that a task holds could not be made or removed.
#[derive(Debug, thiserror::Error)]
enum HeldError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("the work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl TaskHost {
    /// A host that holds nothing yet. Output goes to `outlets`, input comes from `input`, and `notices` lead to the task.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        plan: Plan,
        outlets: Arc<Outlets>,
        input: Option<mpsc::Receiver<Input>>,
        notices: mpsc::Sender<Notice>,
        activity: Activity,
    ) -> Self {
        Self {
            shared,
            plan,
            outlets,
            input,
            notices,
            timers: JoinSet::new(),
            activity,
            presence: None,
            microvm: None,
            held: None,
        }
    }

    async fn provision(&mut self) -> Event {
        self.presence = Some(self.activity.begin());
        let (shared, id, memory) = (
            self.shared.clone(),
            self.plan.id.clone(),
            self.plan.sizing.vmm_memory_bytes,
        );
        let made = tokio::task::spawn_blocking(move || provision(&shared, &id, memory)).await;
        match made.map_err(HeldError::from).and_then(|made| made) {
            Ok(held) => {
                self.held = Some(held);
                Event::Provisioned
            }
            Err(error) => Event::ProvisionFailed(sentence(&error)),
        }
    }

    async fn start_microvm(&mut self) -> Option<Event> {
        let Some(held) = &self.held else {
            return Some(Event::MicrovmNotStarted("the task's directory was not made".to_owned()));
        };
        let parts = Parts {
            config: &self.shared.config,
            plan: &self.plan,
            directory: held.directory.path(),
            scratch: held.scratch.path(),
            cgroup: held.cgroup.as_ref(),
            outlets: self.outlets.clone(),
            input: self.input.take(),
            notices: self.notices.clone(),
        };
        match microvm::start(parts).await {
            Ok(microvm) => {
                self.microvm = Some(microvm);
                None
            }
            Err(error) => Some(Event::MicrovmNotStarted(sentence(&error))),
        }
    }

    fn limit_cpu(&self) -> Event {
        let limited = match &self.held {
            Some(held) => held.cgroup.limit_cpu(self.plan.sizing.cpu),
            None => Ok(()),
        };
        match limited {
            Ok(()) => Event::CpuLimited,
            Err(error) => Event::ActionFailed(sentence(&error)),
        }
    }

    fn send(&self, message: ToGuest) -> Option<Event> {
        let sent = self.microvm.as_ref().is_some_and(|microvm| microvm.send(message));
        (!sent).then(|| Event::ActionFailed("the guest agent takes no messages".to_owned()))
    }

    fn send_start(&self) -> Option<Event> {
        let mut entropy = vec![0; ENTROPY_LEN];
        if let Err(error) = rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty()) {
            return Some(Event::ActionFailed(format!(
                "cannot get random bytes for the guest: {error}"
            )));
        }
        self.send(ToGuest::Start(Box::new(
            self.plan.spec.start(entropy, clock::wall_ns()),
        )))
    }

    fn signal(&self, signal: Signal) -> u8 {
        match signal {
            Signal::Stop => self.plan.spec.stop_signal,
            Signal::Kill => 9,
            Signal::Number(number) => number,
        }
    }

    fn start_timer(&mut self, timer: Timer, seconds: Option<u64>) {
        let Some(seconds) = seconds else { return };
        let notices = self.notices.clone();
        self.timers.spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            // A task that is over takes no notices, and needs none.
            let _ = notices.send(Notice::Event(Event::TimerFired(timer))).await;
        });
    }

    fn seconds(&self, timer: Timer) -> Option<u64> {
        match timer {
            Timer::Boot => Some(BOOT_SECONDS),
            Timer::TimeLimit => self.plan.time_limit_seconds.map(u64::from),
            Timer::Stop => Some(u64::from(self.plan.stop_timeout_seconds)),
            Timer::Kill => Some(KILL_SECONDS),
            Timer::ShutDown => Some(SHUT_DOWN_SECONDS),
        }
    }

    async fn release(&mut self) -> Event {
        self.timers.abort_all();
        self.microvm = None;
        if let Some(held) = self.held.take() {
            let id = self.plan.id.clone();
            let released = tokio::task::spawn_blocking(move || release(held)).await;
            if let Err(error) = released.map_err(HeldError::from).and_then(|released| released) {
                tracing::error!(task = id, "something of a task is left over: {}", sentence(&error));
            }
        }
        self.presence = None;
        Event::Released
    }
}

impl Host for TaskHost {
    async fn perform(&mut self, action: Action) -> Option<Event> {
        tracing::debug!(task = self.plan.id, ?action);
        match action {
            Action::Provision => Some(self.provision().await),
            Action::StartMicrovm => self.start_microvm().await,
            Action::SendStart => self.send_start(),
            Action::LimitCpu => Some(self.limit_cpu()),
            Action::ReleaseContainer => self.send(ToGuest::Release {
                container: CONTAINER.to_owned(),
            }),
            Action::SendSignal(signal) => self.send(ToGuest::Signal {
                container: CONTAINER.to_owned(),
                signal: self.signal(signal),
            }),
            Action::ShutDownGuest => self.send(ToGuest::Shutdown),
            Action::KillMicrovm => {
                if let Some(microvm) = &self.microvm {
                    microvm.kill();
                }
                None
            }
            Action::DiscardOutput => {
                self.outlets.discard();
                None
            }
            Action::StartTimer(timer) => {
                self.start_timer(timer, self.seconds(timer));
                None
            }
            Action::StartStopTimer(seconds) => {
                self.start_timer(Timer::Stop, seconds.map(u64::from).or(self.seconds(Timer::Stop)));
                None
            }
            Action::ReleaseResources => Some(self.release().await),
        }
    }
}

/// Makes what a task holds; what was made before a failure goes with its guard.
fn provision(shared: &Shared, id: &str, vmm_memory_bytes: u64) -> Result<Held, HeldError> {
    let directory = TaskDirectory::create(&shared.config.tasks_directory().join(id))?;
    let scratch = shared.templates.copy(id, SCRATCH_MIB)?;
    let cgroup = shared.cgroups.create(id, vmm_memory_bytes)?;
    Ok(Held {
        cgroup,
        scratch,
        directory,
    })
}

/// Removes all of it, whatever fails, and tells the first failure.
fn release(held: Held) -> Result<(), HeldError> {
    let Held {
        mut cgroup,
        scratch,
        directory,
    } = held;
    let cgroup = cgroup.remove().map_err(HeldError::from);
    let scratch = scratch.remove().map_err(HeldError::from);
    let directory = directory.remove().map_err(HeldError::from);
    cgroup.and(scratch).and(directory)
}
