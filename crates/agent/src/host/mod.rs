//! The host as a task sees it: performs what the life cycle decides, and owns everything that a task holds.
//!
//! [`provision`] and [`microvm`] bring a microVM to life and see it to its end, [`adopt`] finds one again that an earlier host agent has left.
//! [`guest`] is the session with the guest, [`output`] what comes of it, [`link`] the way to it for others.

mod adopt;
mod guest;
mod health;
mod images;
mod input;
mod leftovers;
mod link;
mod microvm;
mod notice;
mod output;
mod pace;
mod perform;
mod provision;
mod rooms;
mod shape;
mod volumes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::task::TerminalSize;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use adopt::{boot_id, is_kept};
pub use leftovers::{LeftoverError, remove as remove_leftovers};
pub use link::{Command, ExecControl, Executed, GuestLink};
pub use notice::{Kept, NOTICES_MAX, Notice};
pub use rooms::Rooms;

use crate::activity::{Activity, Presence};
use crate::capacity::Room;
use crate::clock;
use crate::config::Config;
use crate::images::{Images, RunnableImage};
use crate::launch::{self, Cgroup, Cgroups, Launcher, Vmm, Whereabouts};
use crate::lifecycle::{Event, Timer};
use crate::output::Outlets;
use crate::pool::{Pool, Start};
use crate::ports::{Networks, Secrets, Sinks};
use crate::record::{Plan, Used};
use crate::sizing::{self, Sizing};
use crate::template::{ScratchDisk, Template, Templates};
use images::Made;
use microvm::Microvm;
use output::Named;

/// The size of a scratch disk where nobody says another, in MiB: 20 GiB, as tasks have on Fargate.
pub const SCRATCH_MIB: u32 = 20 << 10;

/// Whether a task has the scratch disk that a template's guest has mounted.
const fn has_usual_scratch(plan: &Plan) -> bool {
    plan.scratch_mib == SCRATCH_MIB && plan.scratch_inodes.is_none()
}

/// What all tasks of a host share.
pub struct Shared {
    /// Where things are.
    pub config: Config,
    /// What meters tasks.
    pub cgroups: Arc<dyn Cgroups>,
    /// What starts VMMs.
    pub launcher: Arc<Launcher>,
    /// What scratch disks of the usual size look like at first.
    pub scratch: Arc<ScratchDisk>,
    /// What microVMs are cloned from.
    pub templates: Arc<Templates>,
    /// The clones that wait.
    pub pool: Pool,
    /// The images.
    pub images: Arc<dyn Images>,
    /// Room for tasks.
    pub rooms: Rooms,
    /// What attaches tasks to the network, where there is any.
    pub networks: Option<Arc<dyn Networks>>,
    /// Where output is kept.
    pub sinks: Arc<dyn Sinks>,
    /// Where secrets are.
    pub secrets: Arc<dyn Secrets>,
    /// This boot of the host.
    pub boot_id: String,
}

/// What a client sends to the process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes for standard input or the terminal.
    Bytes(Bytes),
    /// Standard input has ended.
    End,
    /// The terminal's window changed.
    Resize(TerminalSize),
}

/// How the world outside hears of a task, and a task of the world. What is there for each container is in the order of the plan.
pub struct Links {
    /// Where output goes beside its sink.
    pub outlets: Vec<Arc<Outlets>>,
    /// Where input comes from.
    pub inputs: Vec<Option<mpsc::Receiver<Input>>>,
    /// What leads to the task.
    pub notices: mpsc::Sender<Notice>,
    /// Where it is told where the task's microVM is.
    pub whereabouts: watch::Sender<Option<Whereabouts>>,
    /// Where it is told how its guest is reached.
    pub guest: watch::Sender<Option<Arc<GuestLink>>>,
    /// What keeps the host agent from being idle.
    pub activity: Activity,
}

/// The host of one task.
pub struct TaskHost {
    shared: Arc<Shared>,
    sizing: Sizing,
    links: Links,
    /// Images that were found before the task was accepted.
    found: Option<Vec<RunnableImage>>,
    /// Timers, and what is waited for beside.
    work: JoinSet<()>,
    // A task that was started keeps the host agent from being idle; one that waits for it does not.
    presence: Option<Presence>,
    start: Option<Start>,
    made: Option<Made>,
    named: Named,
    /// The process that each container's input goes to.
    processes: Vec<watch::Sender<u32>>,
    held: Held,
}

/// What a task holds.
enum Held {
    Nothing,
    /// A VMM that was not told yet what to be.
    Vmm(Box<Vmm>, Option<Arc<Template>>),
    Microvm(Microvm),
}

/// The room that a task needs.
///
/// # Errors
/// What no host has.
pub fn need(plan: &Plan) -> Result<(Sizing, Room), sizing::SizeError> {
    let sizing = sizing::size(plan.vcpu_milli, plan.memory_mib)?;
    let room = Room {
        vcpu_milli: u64::from(plan.vcpu_milli),
        memory_mib: sizing.guest_memory_mib(),
    };
    Ok((sizing, room))
}

impl TaskHost {
    /// A host that holds nothing yet, of a task of this size; with its images, where they are known.
    #[must_use]
    pub fn new(shared: Arc<Shared>, sizing: Sizing, links: Links, found: Option<Vec<RunnableImage>>) -> Self {
        let processes = (0..)
            .zip(&links.outlets)
            .map(|(process, _)| watch::Sender::new(process));
        Self {
            shared,
            sizing,
            processes: processes.collect(),
            links,
            found,
            work: JoinSet::new(),
            presence: None,
            start: None,
            made: None,
            named: Arc::new(Mutex::new(HashMap::new())),
            held: Held::Nothing,
        }
    }

    /// What the task's microVM has used until now, if there is one.
    #[must_use]
    pub fn used(&self) -> Option<Used> {
        let whereabouts = self.links.whereabouts.borrow();
        let Whereabouts { cgroup, counters, .. } = whereabouts.as_ref()?;
        launch::read_used(cgroup, counters)
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

    fn name_process(&self, process: u32, container: usize) {
        // Nothing that holds the lock leaves a change half-done.
        self.named
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(process, container);
        self.processes[container].send_replace(process);
    }

    fn start_timer(&mut self, timer: Timer, seconds: u32, kept: &mut Kept) {
        // Only a clone can fail as one.
        if timer == Timer::Clone && self.microvm().and_then(Microvm::template).is_none() {
            return;
        }
        if kept.arm(timer, clock::wall_ms() + u64::from(seconds) * 1000) {
            self.sleep(timer, Duration::from_secs(u64::from(seconds)));
        }
    }

    fn sleep(&mut self, timer: Timer, duration: Duration) {
        let notices = self.links.notices.clone();
        self.work.spawn(async move {
            tokio::time::sleep(duration).await;
            // A task that is over takes no notices, and needs none.
            let _ = notices.send(Notice::Event(Event::TimerFired(timer))).await;
        });
    }

    /// Leaves all that the task holds to a later host agent.
    pub async fn leave(mut self) {
        self.work.abort_all();
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            // It was not told what to be: it is made anew.
            Held::Vmm(vmm, _) => vmm.end().await,
            Held::Microvm(microvm) => microvm.leave().await,
        }
    }
}
