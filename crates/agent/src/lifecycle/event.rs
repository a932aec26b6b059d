//! What can happen to a task, and what its host is to do.

use protocol::guest::{ExitStatus, StartFailure};
use serde::{Deserialize, Serialize};

use crate::record::Stop;

/// What can happen to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client wants it to run.
    StartRequested,
    /// Its containers are to end by their stop signals, and after these seconds, or else their own, by a kill.
    StopRequested {
        /// Who wants it, and why.
        stop: Stop,
        /// Seconds from the signal to the kill.
        timeout_seconds: Option<u32>,
    },
    /// It is to be killed.
    KillRequested(Stop),
    /// The processes of one container, or of all, are to get this signal.
    SignalRequested {
        /// Which container; all where absent.
        container: Option<usize>,
        /// The signal's number.
        signal: u8,
    },
    /// [`Action::Reserve`] is done.
    Reserved,
    /// [`Action::AttachNetwork`] is done.
    NetworkAttached,
    /// [`Action::AttachNetwork`] failed.
    NetworkFailed(String),
    /// [`Action::FetchImages`] is done.
    ImagesFetched,
    /// [`Action::FetchImages`] failed.
    FetchFailed(Trouble),
    /// [`Action::Provision`] or [`Action::ReplaceClone`] is done.
    Provisioned,
    /// [`Action::Provision`] or [`Action::ReplaceClone`] failed.
    ProvisionFailed(String),
    /// The template is still being made, and nothing was provisioned.
    TemplatePending,
    /// Whether there is a template is decided. Comes once after [`Self::TemplatePending`].
    TemplateSettled,
    /// [`Action::StartMicrovm`] failed: there is no microVM.
    MicrovmNotStarted(String),
    /// The microVM was a clone and ended before its guest agent answered; why, for a person. Comes in place of [`Self::MicrovmEnded`] and
    /// [`Self::OutputOver`], and not after [`Action::ReplaceClone`].
    CloneFailed(String),
    /// The guest agent answered and speaks this version.
    GuestAnswered {
        /// Of [`protocol::guest`].
        version: u32,
    },
    /// A process waits right before `execve`.
    Prepared {
        /// Which.
        process: u32,
    },
    /// [`Action::LimitCpu`] is done.
    CpuLimited,
    /// A process runs.
    Started {
        /// Which.
        process: u32,
    },
    /// A process could not be started.
    NotStarted {
        /// Which.
        process: u32,
        /// The kind of failure.
        failure: StartFailure,
        /// The guest agent's words.
        message: String,
    },
    /// A process ended.
    Exited {
        /// Which.
        process: u32,
        /// How.
        status: ExitStatus,
        /// Whether the memory limit killed something in the container.
        out_of_memory: bool,
    },
    /// All output of a process was delivered or dropped. Comes after [`Self::Started`], unless [`Self::OutputOver`] comes first.
    OutputEnded {
        /// Whose.
        process: u32,
    },
    /// [`Action::CheckHealth`] is done.
    HealthChecked {
        /// The container's process.
        process: u32,
        /// Whether the check succeeded.
        is_healthy: bool,
    },
    /// The guest agent cannot go on, or does not keep to the protocol.
    GuestFailed(String),
    /// An action after [`Action::StartMicrovm`] failed.
    ActionFailed(String),
    /// The microVM's process has ended; why, for a person. Comes exactly once after a successful start, unless [`Self::CloneFailed`] does.
    MicrovmEnded(String),
    /// The microVM has ended, and all output that came was delivered or dropped. Comes once after [`Self::MicrovmEnded`].
    OutputOver,
    /// Time is up.
    TimerFired(Timer),
    /// [`Action::ReleaseResources`] is done.
    Released,
    /// The host agent was restarted and has found the task's microVM. The guest now tells again what happened, up to [`Self::Resumed`].
    Found,
    /// The guest has told all that happened before the host agent was restarted.
    Resumed,
    /// The host agent was restarted before the task's guest was told what to be, and its microVM is gone.
    Untold,
    /// The host agent was restarted, and there is no microVM of this task; why, for a person.
    Lost(String),
}

/// What kept a task's containers from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An image.
    Image {
        /// Of this container.
        container: usize,
        /// Why.
        message: String,
    },
    /// What is to run in it.
    Container {
        /// Which container.
        container: usize,
        /// Why.
        message: String,
    },
    /// What it was promised: a secret, a volume.
    Resource {
        /// Why.
        message: String,
    },
}

/// What the host is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See to it that the host has room. Answers [`Event::Reserved`], now or later.
    Reserve,
    /// Make the network. Answers [`Event::NetworkAttached`] or [`Event::NetworkFailed`].
    AttachNetwork,
    /// Find or pull the images, and resolve what runs. Answers [`Event::ImagesFetched`] or [`Event::FetchFailed`], now or later.
    FetchImages,
    /// Take a VMM from the pool, or start one, a clone where there is a template. Answers [`Event::Provisioned`], [`Event::ProvisionFailed`] or
    /// [`Event::TemplatePending`].
    Provision,
    /// Tell the VMM what to be, or answer [`Event::MicrovmNotStarted`].
    StartMicrovm,
    /// Release the clone that failed and start a VMM that boots in full. Answers as [`Self::Provision`].
    ReplaceClone,
    /// Send the bootstrap message to the guest agent.
    SendStart,
    /// Put the CPU limit into force. Answers [`Event::CpuLimited`] or [`Event::ActionFailed`].
    LimitCpu,
    /// Let the prepared process begin.
    ReleaseContainer {
        /// Which.
        process: u32,
    },
    /// Have a container whose process ended run once more.
    RestartContainer {
        /// Which.
        container: usize,
        /// The number of the new process.
        process: u32,
    },
    /// Send the process a signal.
    SendSignal {
        /// The process's container.
        container: usize,
        /// Which.
        process: u32,
        /// What.
        signal: Signal,
    },
    /// Run the container's health check. Answers [`Event::HealthChecked`] later.
    CheckHealth {
        /// Which container.
        container: usize,
        /// Its process.
        process: u32,
    },
    /// Tell the guest agent to end the microVM.
    ShutDownGuest,
    /// End the microVM's process at once.
    KillMicrovm,
    /// Drop output that no client takes.
    DiscardOutput,
    /// Send [`Event::TimerFired`] after so many seconds; where it is to come already, whichever is sooner.
    StartTimer {
        /// What for.
        timer: Timer,
        /// How long.
        seconds: u32,
    },
    /// Stop all that is under way for the task and remove everything that it holds. Answers [`Event::Released`].
    ReleaseResources,
}

impl Action {
    /// Whether the state must be stored before it is done: what it does outlives the host agent, and is not found again without.
    #[must_use]
    pub const fn needs_record(self) -> bool {
        match self {
            Self::StartMicrovm | Self::RestartContainer { .. } | Self::ReleaseResources => true,
            Self::Reserve
            | Self::AttachNetwork
            | Self::FetchImages
            | Self::Provision
            | Self::ReplaceClone
            | Self::SendStart
            | Self::LimitCpu
            | Self::ReleaseContainer { .. }
            | Self::SendSignal { .. }
            | Self::CheckHealth { .. }
            | Self::ShutDownGuest
            | Self::KillMicrovm
            | Self::DiscardOutput
            | Self::StartTimer { .. } => false,
        }
    }
}

/// A signal for a container's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The one that the image says asks it to end.
    Stop,
    /// The one that nothing survives.
    Kill,
    /// This number.
    Number(u8),
}

/// What is waited for, but not for ever. Numbers are processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Timer {
    /// The guest getting ready.
    Boot,
    /// The guest of a clone answering; never fires for others.
    Clone,
    /// The end of a task that has a time limit.
    TimeLimit,
    /// The process's end after the stop signal.
    Stop(u32),
    /// The process's end after a kill.
    Kill(u32),
    /// Output being taken, after a client asked for the end.
    Drain,
    /// The microVM's end after the guest agent was told.
    ShutDown,
    /// The next health check.
    Health(u32),
    /// The time in which failures of health checks do not count.
    StartPeriod(u32),
    /// The time that a process must have run to be started again.
    Attempt(u32),
    /// The pause before a process is started.
    Pause(u32),
    /// The time that a container has to become what others wait for.
    StartTimeout(u32),
}
