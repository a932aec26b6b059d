//! The life of a task, as a pure function: which state follows an event, and what is to be done then.
//!
//! Nothing is done here: time, the microVM and the guest come in as [`Event`]s, and what is to happen goes out as [`Action`]s
//! for a [`crate::host::TaskHost`]. What the host promises in return is written at each action. [`State`] is stored: a host agent that was
//! restarted goes on with it, after one [`Event::Found`], [`Event::Untold`] or [`Event::Lost`].
//!
//! [`step`] has what each event does to a task, [`timer`] what timers do, [`ending`] how a task is ended, [`container`] what happens to one of its
//! containers, [`settle`] what follows from where all of them are now.

mod container;
mod ending;
mod event;
mod resume;
mod rules;
mod settle;
mod step;
mod timer;
mod words;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use api::task::{Exit, Status};
use serde::{Deserialize, Serialize};

use crate::record::{ContainerStatus, Health, Stop, StopCode};

pub use event::{Action, Event, Signal, Timer, Trouble};
pub use rules::{ContainerRules, Rules};
pub use step::next;
pub use words::STOPPED_BY_USER;

/// Where a task is, and what must be known there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// Where it is on its way.
    pub phase: Phase,
    /// Its containers, in the order of the plan.
    pub containers: Vec<Container>,
    /// Why it ends, once that is decided.
    pub stop: Option<Stop>,
    /// Seconds from the stop signal to the kill, where a client gave them.
    stop_timeout_seconds: Option<u32>,
    /// Whether it has its network.
    is_attached: bool,
    /// Whether the host agent was restarted and the guest still tells what happened before.
    is_resuming: bool,
    /// The number of the next process.
    process_next: u32,
    /// The processes whose output has not ended, each with its container.
    outputs: Vec<(u32, usize)>,
}

/// Where a task is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted; waits to be started and holds nothing.
    Created,
    /// Waits until the host has room for it.
    Reserving,
    /// Its network is being made.
    Attaching,
    /// Its images are being fetched.
    Fetching,
    /// Its VMM is being started or taken from the pool, with all that goes with it.
    Provisioning,
    /// As [`Self::Provisioning`], but the template that its VMM is to be a clone of is still being made.
    AwaitingTemplate,
    /// As [`Self::Provisioning`], after a clone that failed.
    Replacing,
    /// Its microVM was started; the guest agent has not answered yet.
    Booting(Attempt),
    /// The guest agent prepares the containers, and the first ones start.
    Activating(Activation),
    /// All containers that start without waiting have started.
    Running,
    /// The end is decided, and the containers are being ended.
    Stopping,
    /// No container runs any more; output that is still on its way is let through.
    Draining(Microvm),
    /// The microVM is being ended.
    Ending,
    /// The microVM is gone and what the task held is being released.
    Releasing,
    /// Over: the task holds nothing.
    Stopped,
}

/// Which start of a microVM this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attempt {
    /// The first; where it is a clone that fails, there is a second.
    First,
    /// A full boot after a clone that failed. There is no third.
    Fallback,
}

/// How far the guest agent is with the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Activation {
    /// It mounts and connects.
    Preparing,
    /// All processes wait right before `execve`, and the host limits their CPU.
    Limiting,
    /// Processes may be released.
    Released,
}

/// Whether the microVM is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Microvm {
    /// It is.
    Alive,
    /// Its process has ended.
    Gone,
}

/// Where a container is, and what must be known there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Container {
    /// How far its process is.
    pub stage: Stage,
    /// The number of its process: each run has another.
    pub process: u32,
    /// The number of the process before, of which a guest speaks that was not told to start another.
    pub previous: Option<u32>,
    /// How its last process ended.
    pub exit: Option<Exit>,
    /// Why it did not run, or ended otherwise than by itself.
    pub reason: Option<String>,
    /// Its health, where it is checked.
    pub health: Health,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether a process of it ever ran.
    pub has_started: bool,
    /// How it is asked to end.
    ending: Ending,
    /// Health checks that failed in a row.
    failures: u32,
    /// Whether failures count that come before the first success.
    is_past_start_period: bool,
    /// Whether its process has run for as long as it must to be started again.
    has_run_long: bool,
    /// Whether the guest was not told to start its process, since the host agent ended before.
    is_untold: bool,
}

/// How far a container's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// It ended, and is started again after a pause.
    Pausing,
    /// The guest agent prepares it, or will.
    Preparing,
    /// It waits right before `execve`.
    Prepared,
    /// It was released.
    Released,
    /// It runs.
    Running,
    /// It ended, or will never run.
    Over,
}

/// How a container is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Ending {
    /// Not at all.
    No,
    /// By its stop signal.
    Asked,
    /// By a kill.
    Killed,
}

impl State {
    /// A task that holds nothing yet.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let container = |process| Container {
            stage: Stage::Preparing,
            process,
            previous: None,
            exit: None,
            reason: None,
            health: Health::Unknown,
            restarts: 0,
            has_started: false,
            ending: Ending::No,
            failures: 0,
            is_past_start_period: false,
            has_run_long: false,
            is_untold: false,
        };
        let containers: Vec<_> = (0..)
            .zip(&rules.containers)
            .map(|(process, _)| container(process))
            .collect();
        Self {
            phase: Phase::Created,
            process_next: u32::try_from(containers.len()).unwrap_or(u32::MAX),
            containers,
            stop: None,
            stop_timeout_seconds: None,
            is_attached: false,
            is_resuming: false,
            outputs: vec![],
        }
    }

    /// The state in the words of the API.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.phase {
            Phase::Created | Phase::Reserving | Phase::Attaching => Status::Provisioning,
            Phase::Fetching | Phase::Provisioning | Phase::AwaitingTemplate | Phase::Replacing | Phase::Booting(_) => {
                Status::Pending
            }
            Phase::Activating(_) => Status::Activating,
            Phase::Running => Status::Running,
            Phase::Stopping => Status::Stopping,
            Phase::Draining(_) | Phase::Ending | Phase::Releasing => Status::Deprovisioning,
            Phase::Stopped => Status::Stopped,
        }
    }

    /// Whether it is to run rather than to stop.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        self.stop.is_none()
    }

    /// Whether it may have a microVM that was told what to be.
    #[must_use]
    pub const fn has_microvm(&self) -> bool {
        match self.phase {
            Phase::Booting(_)
            | Phase::Activating(_)
            | Phase::Running
            | Phase::Stopping
            | Phase::Draining(Microvm::Alive)
            | Phase::Ending => true,
            Phase::Created
            | Phase::Reserving
            | Phase::Attaching
            | Phase::Fetching
            | Phase::Provisioning
            | Phase::AwaitingTemplate
            | Phase::Replacing
            | Phase::Draining(Microvm::Gone)
            | Phase::Releasing
            | Phase::Stopped => false,
        }
    }

    /// Whether any process of it ever ran.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.containers.iter().any(|container| container.has_started)
    }

    /// The container's processes, of all its runs, whose output has not ended.
    pub fn open_outputs(&self, container: usize) -> impl Iterator<Item = u32> + '_ {
        let of_container = self.outputs.iter().filter(move |(_, other)| *other == container);
        of_container.map(|(process, _)| *process)
    }

    /// The container whose current process this is.
    #[must_use]
    pub fn container_of(&self, process: u32) -> Option<usize> {
        self.containers
            .iter()
            .position(|container| container.process == process)
    }

    /// The code for a task that ends through its own doing or ours.
    fn own_code(&self) -> StopCode {
        if self.has_started() {
            StopCode::EssentialContainerExited
        } else {
            StopCode::TaskFailedToStart
        }
    }
}

impl Container {
    /// The state in ECS's words.
    #[must_use]
    pub const fn status(&self) -> ContainerStatus {
        match self.stage {
            Stage::Pausing | Stage::Preparing | Stage::Prepared | Stage::Released => ContainerStatus::Pending,
            Stage::Running => ContainerStatus::Running,
            Stage::Over => ContainerStatus::Stopped,
        }
    }

    /// Whether a process of it may run.
    const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Released | Stage::Running)
    }
}
