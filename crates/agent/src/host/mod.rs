//! The host as a task sees it: performs what the life cycle decides, and owns everything that a task holds.

mod guest;
mod leftovers;
mod microvm;
mod provision;
mod shape;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::task::TerminalSize;
use bytes::Bytes;
use protocol::guest::ToGuest;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use leftovers::remove as remove_leftovers;

use crate::activity::{Activity, Presence};
use crate::clock;
use crate::config::Config;
use crate::images::Hold;
use crate::launch::{Cgroup, Cgroups, Launcher, Vmm, Whereabouts};
use crate::lifecycle::{Action, Event, Signal, Timer};
use crate::output::Outlets;
use crate::pool::{Pool, Start};
use crate::sentence::sentence;
use crate::sizing::Sizing;
use crate::spec::{CONTAINER, Spec};
use crate::task::{Host, Notice};
use crate::template::{ScratchDisk, Template, Templates};
use microvm::Microvm;

/// How long a guest may take until its container is prepared. A machine without hardware virtualization needs seconds.
const BOOT_SECONDS: u64 = 180;

/// How long the guest of a clone may take to answer, before a full boot is tried. Hundreds that start at once on one CPU need as long.
const CLONE_SECONDS: u64 = 90;

/// How long a kill may take to be reported.
const KILL_SECONDS: u64 = 10;

/// How long a guest may take to shut down. At a thousandth of a vCPU it gets 5 ms of CPU in this time.
const SHUT_DOWN_SECONDS: u64 = 5;

/// Bytes of entropy that a guest starts with: the size of the kernel's seed, twice.
const ENTROPY_LEN: usize = 64;

/// The size of a scratch disk, in MiB: 20 GiB, as tasks have on Fargate.
pub const SCRATCH_MIB: u32 = 20 << 10;

/// What all tasks of a host share.
pub struct Shared {
    /// Where things are.
    pub config: Config,
    /// What meters tasks.
    pub cgroups: Arc<dyn Cgroups>,
    /// What starts VMMs.
    pub launcher: Arc<Launcher>,
    /// What scratch disks look like at first.
    pub scratch: Arc<ScratchDisk>,
    /// What microVMs are cloned from.
    pub templates: Arc<Templates>,
    /// The clones that wait.
    pub pool: Pool,
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

/// How the world outside hears of a task, and a task of the world.
pub struct Links {
    /// Where output goes.
    pub outlets: Arc<Outlets>,
    /// Where input comes from.
    pub input: Option<mpsc::Receiver<Input>>,
    /// What leads to the task.
    pub notices: mpsc::Sender<Notice>,
    /// Where it is told where the task's microVM is.
    pub whereabouts: watch::Sender<Option<Whereabouts>>,
    /// What keeps the host agent from being idle.
    pub activity: Activity,
}

/// The host of one task.
pub struct TaskHost {
    shared: Arc<Shared>,
    plan: Plan,
    links: Links,
    timers: JoinSet<()>,
    // A task that was started keeps the host agent from being idle; one that waits for it does not.
    presence: Option<Presence>,
    start: Option<Start>,
    held: Held,
}

/// What a task holds.
enum Held {
    Nothing,
    /// A VMM that was not told yet what to be.
    Vmm(Box<Vmm>, Option<Arc<Template>>),
    Microvm(Microvm),
}

impl TaskHost {
    /// A host that holds nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, plan: Plan, links: Links) -> Self {
        Self {
            shared,
            plan,
            links,
            timers: JoinSet::new(),
            presence: None,
            start: None,
            held: Held::Nothing,
        }
    }

    /// What bounds the task's microVM, if there is one.
    fn cgroup(&self) -> Option<&dyn Cgroup> {
        match &self.held {
            Held::Nothing => None,
            Held::Vmm(vmm, _) => Some(vmm.held.cgroup.as_ref()),
            Held::Microvm(microvm) => Some(microvm.held().cgroup.as_ref()),
        }
    }

    const fn microvm(&self) -> Option<&Microvm> {
        match &self.held {
            Held::Microvm(microvm) => Some(microvm),
            _ => None,
        }
    }

    fn limit_cpu(&self) -> Event {
        let limited = match self.cgroup() {
            Some(cgroup) => cgroup.limit_cpu(self.plan.sizing.cpu),
            None => Ok(()),
        };
        match limited {
            Ok(()) => Event::CpuLimited,
            Err(error) => Event::ActionFailed(sentence(&error)),
        }
    }

    fn send(&self, message: ToGuest) -> Option<Event> {
        let sent = self.microvm().is_some_and(|microvm| microvm.send(message));
        (!sent).then(|| Event::ActionFailed("the guest agent takes no messages".to_owned()))
    }

    fn send_start(&self) -> Option<Event> {
        if let Some(template) = self.microvm().and_then(Microvm::template) {
            template.clone_succeeded();
        }
        let mut entropy = vec![0; ENTROPY_LEN];
        if let Err(error) = rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty()) {
            return Some(Event::ActionFailed(format!(
                "cannot get random bytes for the guest: {error}"
            )));
        }
        let start = self.plan.spec.start(&self.plan.sizing, entropy, clock::wall_ns());
        self.send(ToGuest::Start(Box::new(start)))
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
        let notices = self.links.notices.clone();
        self.timers.spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            // A task that is over takes no notices, and needs none.
            let _ = notices.send(Notice::Event(Event::TimerFired(timer))).await;
        });
    }

    fn seconds(&self, timer: Timer) -> Option<u64> {
        match timer {
            Timer::Boot => Some(BOOT_SECONDS),
            Timer::Clone => self.microvm().and_then(Microvm::template).map(|_| CLONE_SECONDS),
            Timer::TimeLimit => self.plan.time_limit_seconds.map(u64::from),
            Timer::Stop => Some(u64::from(self.plan.stop_timeout_seconds)),
            Timer::Kill => Some(KILL_SECONDS),
            Timer::ShutDown => Some(SHUT_DOWN_SECONDS),
        }
    }

    async fn release(&mut self) -> Event {
        self.timers.abort_all();
        self.start = None;
        self.links.whereabouts.send_replace(None);
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Vmm(vmm, _) => vmm.end().await,
            Held::Microvm(microvm) => drop(microvm.release().await),
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
            Action::StartMicrovm => {
                let input = self.links.input.take();
                self.start_microvm(input).await
            }
            Action::BootMicrovm => self.boot_microvm().await,
            Action::SendStart => self.send_start(),
            Action::LimitCpu => Some(self.limit_cpu()),
            Action::ReleaseContainer => {
                // From here on it is the guest's.
                self.start = None;
                self.send(ToGuest::Release {
                    container: CONTAINER.to_owned(),
                })
            }
            Action::SendSignal(signal) => self.send(ToGuest::Signal {
                container: CONTAINER.to_owned(),
                signal: self.signal(signal),
            }),
            Action::ShutDownGuest => self.send(ToGuest::Shutdown),
            Action::KillMicrovm => {
                if let Some(microvm) = self.microvm() {
                    microvm.kill();
                }
                None
            }
            Action::DiscardOutput => {
                self.links.outlets.discard();
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
