//! The life of a task, as a pure function: which state follows an event, and what is to be done then.
//!
//! Nothing is done here: time, the microVM and the guest come in as [`Event`]s, and what is to happen goes out as [`Action`]s
//! for a [`crate::task::Host`]. What the host promises in return is written at each action.

mod outcome;
mod starting;
mod transition;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use api::task::Status;
use protocol::guest::{ExitStatus, StartFailure};

pub use outcome::{Cause, Outcome};
pub use transition::next;

/// Where a task is, and what must be known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepted; waits to be started and holds nothing.
    Created,
    /// Its VMM is being started or taken from the pool, with all that goes with it.
    Provisioning,
    /// As [`Self::Provisioning`], but the template that its VMM is to be a clone of is still being made; nothing is held yet.
    AwaitingTemplate,
    /// As [`Self::Provisioning`], but the task is to end as soon as that is over.
    Abandoning(Outcome),
    /// Its microVM was started; the guest agent has not answered yet.
    Booting(Attempt, Streams),
    /// The guest agent prepares the container.
    Activating(Activation, Streams),
    /// The container's process runs.
    Running(Streams),
    /// The container's process was asked to end.
    Stopping(Cause, Streams),
    /// The end is decided; output that is still on its way is let through.
    Draining(Outcome, Microvm),
    /// The end is decided and the microVM is being ended.
    Ending(Outcome, Streams),
    /// The microVM is gone and what the task held is being released.
    Releasing(Outcome),
    /// Over: the task holds nothing.
    Stopped(Outcome),
}

/// Which start of a microVM this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The first; where it is a clone that fails, there is a second.
    First,
    /// A full boot after a clone that failed. There is no third.
    Fallback,
}

/// How far the guest agent is with the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It mounts and connects.
    Preparing,
    /// The process waits right before `execve`, and the host limits its CPU.
    Limiting,
    /// The process was released.
    Released,
}

/// Whether output can still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It can.
    Open,
    /// All of it was delivered or dropped.
    Ended,
}

/// Whether the microVM is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Microvm {
    /// It is.
    Alive,
    /// Its process has ended.
    Gone,
}

/// What can happen to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client wants it to run.
    StartRequested,
    /// It is to end by its stop signal, and after these seconds, or else the task's own, by a kill.
    StopRequested {
        /// Why.
        cause: Cause,
        /// Seconds from the signal to the kill.
        timeout_seconds: Option<u32>,
    },
    /// It is to be killed.
    KillRequested(Cause),
    /// Its process is to get this signal.
    SignalRequested(u8),
    /// [`Action::Provision`] is done.
    Provisioned,
    /// [`Action::Provision`] failed.
    ProvisionFailed(String),
    /// The template is still being made, and nothing was provisioned.
    TemplatePending,
    /// Whether there is a template is decided. Comes once after [`Self::TemplatePending`].
    TemplateSettled,
    /// [`Action::StartMicrovm`] or [`Action::BootMicrovm`] failed: there is no microVM.
    MicrovmNotStarted(String),
    /// The microVM was a clone and ended before its guest agent answered; why, for a person. Comes in place of [`Self::MicrovmEnded`] and
    /// [`Self::StreamsEnded`], and not after [`Action::BootMicrovm`].
    CloneFailed(String),
    /// The guest agent answered and speaks this version.
    GuestAnswered {
        /// Of [`protocol::guest`].
        version: u32,
    },
    /// The container waits right before `execve`, all its streams connected.
    ContainerPrepared,
    /// [`Action::LimitCpu`] is done.
    CpuLimited,
    /// The container's process runs.
    ContainerStarted,
    /// The container's process could not be started.
    ContainerNotStarted {
        /// The kind of failure.
        failure: StartFailure,
        /// The guest agent's words.
        message: String,
    },
    /// The container's process ended.
    ContainerExited {
        /// How.
        status: ExitStatus,
        /// Whether the memory limit killed something in the container.
        out_of_memory: bool,
    },
    /// The guest agent cannot go on, or does not keep to the protocol.
    GuestFailed(String),
    /// An action after [`Action::StartMicrovm`] failed.
    ActionFailed(String),
    /// All output was delivered or dropped. Comes exactly once after a successful start, unless [`Self::CloneFailed`] does.
    StreamsEnded,
    /// The microVM's process has ended; why, for a person. Comes exactly once after a successful start, unless [`Self::CloneFailed`] does.
    MicrovmEnded(String),
    /// Time is up.
    TimerFired(Timer),
    /// [`Action::ReleaseResources`] is done.
    Released,
}

/// What the host is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a VMM from the pool, or start one, a clone where there is a template. Answers [`Event::Provisioned`], [`Event::ProvisionFailed`] or
    /// [`Event::TemplatePending`].
    Provision,
    /// Tell the VMM what to be, or answer [`Event::MicrovmNotStarted`].
    StartMicrovm,
    /// Release the clone that failed and boot a microVM in full, or answer [`Event::MicrovmNotStarted`].
    BootMicrovm,
    /// Send the bootstrap message to the guest agent.
    SendStart,
    /// Put the CPU limit into force. Answers [`Event::CpuLimited`] or [`Event::ActionFailed`].
    LimitCpu,
    /// Let the prepared process begin.
    ReleaseContainer,
    /// Send the process a signal.
    SendSignal(Signal),
    /// Tell the guest agent to end the microVM.
    ShutDownGuest,
    /// End the microVM's process at once.
    KillMicrovm,
    /// Drop output that no client takes.
    DiscardOutput,
    /// Send [`Event::TimerFired`] later.
    StartTimer(Timer),
    /// Send [`Event::TimerFired`] with [`Timer::Stop`] after these seconds, or else after the task's own stop timeout.
    StartStopTimer(Option<u32>),
    /// Remove everything that the task holds. Answers [`Event::Released`].
    ReleaseResources,
}

/// A signal for the container's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The one that the image says asks it to end.
    Stop,
    /// The one that nothing survives.
    Kill,
    /// This number.
    Number(u8),
}

/// What is waited for, but not for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The guest getting ready.
    Boot,
    /// The guest of a clone answering; never fires for others.
    Clone,
    /// The end of a task that has a time limit; never fires for others.
    TimeLimit,
    /// The process's end after the stop signal.
    Stop,
    /// The process's end after a kill.
    Kill,
    /// The microVM's end after the guest agent was told.
    ShutDown,
}

impl State {
    /// The state in the words of the API.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Created | Self::Provisioning | Self::AwaitingTemplate => Status::Provisioning,
            Self::Booting(..) => Status::Pending,
            Self::Activating(..) => Status::Activating,
            Self::Running(_) => Status::Running,
            Self::Abandoning(_) => Status::Deactivating,
            Self::Stopping(..) => Status::Stopping,
            Self::Draining(..) | Self::Ending(..) | Self::Releasing(_) => Status::Deprovisioning,
            Self::Stopped(_) => Status::Stopped,
        }
    }

    /// How the task ended, once that is decided.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Abandoning(outcome)
            | Self::Draining(outcome, _)
            | Self::Ending(outcome, _)
            | Self::Releasing(outcome)
            | Self::Stopped(outcome) => Some(outcome),
            Self::Created
            | Self::Provisioning
            | Self::AwaitingTemplate
            | Self::Booting(..)
            | Self::Activating(..)
            | Self::Running(_)
            | Self::Stopping(..) => None,
        }
    }
}
