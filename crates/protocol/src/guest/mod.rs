//! Host agent ⇄ guest agent, over vsock: one connection, the session.
//!
//! The guest agent connects to [`CONTROL_PORT`] on the host and says [`ToHost::Hello`]; the host answers with one [`ToGuest::Start`], the
//! bootstrap message. From then on messages and [`Piece`](crate::frame::Piece)s of streams go both ways. Processes are known by numbers that
//! the host gives: each run of a container is a process, and so is each command that is executed in one. Of a container's process the guest agent says
//! [`ToHost::Prepared`] and it waits, right before `execve`, for [`ToGuest::Release`].
//!
//! Streams have a window: the sender keeps what the receiver has not acknowledged, at most [`WINDOW_LEN`], and sends no more than that. So a stream
//! never holds up another, and nothing is lost with a session.
//!
//! The session may end before the microVM does: the host agent was killed, or is replaced. The containers run on. The guest agent then takes
//! a connection on [`SESSION_PORT`], says [`ToHost::Hello`] again, and gets one [`ToGuest::Resume`] with what the host has. It tells again, in order,
//! what became of every container's process so far (of the last one, where the container was restarted), acknowledges what it has of their input,
//! says [`ToHost::Resumed`], and goes on with the streams where the host left off. Executed
//! commands do not outlive the session that asked for them: they are killed. A session that ends before `Start` ends the microVM.
//!
//! Processes of the guest can connect to the host's ports too: the host takes one control connection.

mod description;

use serde::{Deserialize, Serialize};

pub use description::{Container, Execute, Mount, MountSource, Network, Start, TerminalSize, Ulimit};

/// The version of this contract; both ends must have the same.
pub const VERSION: u32 = 3;

/// The host's vsock port for the first session.
pub const CONTROL_PORT: u32 = 1024;

/// The guest's vsock port for all further sessions. The guest agent listens there from its boot on, so that nobody else does, and takes connections
/// from the host only, the newer instead of the older. A host that comes before `Start` waits.
pub const SESSION_PORT: u32 = 1024;

/// The most bytes of one stream that were sent and not acknowledged.
pub const WINDOW_LEN: u64 = 64 << 10;

/// The first number for a process that is executed in a container; containers' own have lower ones.
pub const EXECUTED_FIRST: u32 = 1 << 16;

/// The most processes of a container that are listed.
pub const LISTED_MAX: usize = 512;

/// The most bytes of a listed process's command.
pub const LISTED_COMMAND_LEN_MAX: usize = 512;

/// The most containers of a microVM.
pub const CONTAINERS_MAX: usize = 10;

/// The I/O port of the doorbell. Four-byte writes tell the VMM what the guest agent did or wants. A four-byte read gives the bitmap of
/// the plugged slots, bit 0 for slot 0; it is answered when the microVM has its shape, and a standing device counts as plugged only
/// where something is behind it.
pub const DOORBELL_PORT: u16 = 0x600;

/// The I/O port of the host's wall clock. A four-byte read gives the lower half of the nanoseconds since the Unix epoch, the next one the upper
/// half of the same moment: that of the first read.
pub const CLOCK_PORT: u16 = DOORBELL_PORT + 4;

/// Written to the doorbell when all is done that needs no host: here templates are taken, and clones begin. The read comes next.
pub const DOORBELL_BOOTED: u32 = 1;

/// Written to the doorbell to end the microVM in good order.
pub const DOORBELL_SHUTDOWN: u32 = 2;

/// Written to the doorbell before vCPUs beyond the first are brought online: when the write returns, they wait to be started.
pub const DOORBELL_VCPUS: u32 = 3;

/// Written to the doorbell when memory may grow: the VMM then tells the virtio-mem driver how much.
pub const DOORBELL_MEMORY: u32 = 4;

/// Written to the doorbell when the first program of a container has begun, where the bitmap had [`WANTS_STARTED`].
pub const DOORBELL_STARTED: u32 = 5;

/// In the doorbell's bitmap, above the slots: the VMM wants to hear [`DOORBELL_STARTED`].
pub const WANTS_STARTED: u32 = 1 << 16;

/// From the host agent to the guest agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ToGuest {
    /// The bootstrap message: everything that the guest agent is to do.
    Start(Box<Start>),
    /// The answer to a [`ToHost::Hello`] of any session but the first.
    Resume {
        /// How much of each stream the host has, of those of which it has anything. A stream that has ended counts one byte more.
        received: Vec<Received>,
    },
    /// Let the prepared process begin.
    Release {
        /// The process.
        process: u32,
    },
    /// Run a container whose process has ended once more: its file systems stay as they are.
    Restart {
        /// The container's name.
        container: String,
        /// The number of the new process.
        process: u32,
    },
    /// Run a further process in a container that runs.
    Execute(Box<Execute>),
    /// Send a signal to a process; for an executed one, to all that it started and did not leave.
    Signal {
        /// The process.
        process: u32,
        /// The signal's number, as Linux x86-64 has it.
        signal: u8,
    },
    /// The terminal's window changed.
    Resize {
        /// The process.
        process: u32,
        /// The new size.
        size: TerminalSize,
    },
    /// The host has this much of an output stream, for good: the guest agent need not keep it.
    Acknowledge(Received),
    /// Tell what the containers use, with [`ToHost::Measured`].
    Measure {
        /// Comes back with the answer.
        request: u32,
    },
    /// Tell what runs in a container, with [`ToHost::Listed`].
    List {
        /// Comes back with the answer.
        request: u32,
        /// The container's name.
        container: String,
    },
    /// Unmount, then end the microVM.
    Shutdown,
}

/// From the guest agent to the host agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ToHost {
    /// The first message of every session: the guest agent answers.
    Hello {
        /// The [`VERSION`] it speaks.
        version: u32,
    },
    /// All that happened before this session has been told again.
    Resumed,
    /// The container's file systems are mounted; its process waits right before `execve`.
    Prepared {
        /// The process.
        process: u32,
    },
    /// `execve` succeeded.
    Started {
        /// The process.
        process: u32,
    },
    /// The process could not be started; nothing of it runs.
    StartFailed {
        /// The process.
        process: u32,
        /// What kind of failure this was.
        reason: StartFailure,
        /// What was attempted, on what, and why it failed: one sentence for a person.
        message: String,
    },
    /// The process ended. Told at once: output may still be on its way, and each stream ends by its own end.
    Exited {
        /// The process.
        process: u32,
        /// How.
        status: ExitStatus,
        /// Whether the container's memory limit killed a process of it.
        out_of_memory: bool,
    },
    /// The guest agent has passed this much of an input stream on.
    Acknowledge(Received),
    /// What [`ToGuest::Measure`] asked for.
    Measured {
        /// As it was asked.
        request: u32,
        /// What each container uses, by name.
        containers: Vec<Usage>,
    },
    /// What [`ToGuest::List`] asked for.
    Listed {
        /// As it was asked.
        request: u32,
        /// Its processes, those with the lowest numbers first, at most [`LISTED_MAX`]; none where the container does not run.
        processes: Vec<ListedProcess>,
    },
    /// The guest agent cannot go on: the whole task has failed.
    Failed {
        /// What was attempted, on what, and why it failed: one sentence for a person.
        message: String,
    },
}

/// How much of a stream has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// The process.
    pub process: u32,
    /// Which of its streams.
    pub stream: Stream,
    /// Bytes since its beginning; one more where its end has arrived too.
    pub offset: u64,
}

/// What a container uses (cgroup-v2.rst).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The container's name.
    pub container: String,
    /// CPU time, in microseconds: user and kernel.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub cpu_system_us: u64,
    /// `memory.current`, in bytes.
    pub memory_bytes: u64,
    /// Of these, what the kernel can drop at once: `inactive_file`.
    pub memory_inactive_file_bytes: u64,
    /// `memory.peak`, in bytes.
    pub memory_peak_bytes: u64,
    /// `pids.current`.
    pub pids: u64,
    /// Bytes read from disks.
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
    /// Bytes that the guest's network interface received; the same for all containers.
    pub network_received_bytes: u64,
    /// Bytes that it sent.
    pub network_sent_bytes: u64,
    /// Packets that it received.
    pub network_received_packets: u64,
    /// Packets that it sent.
    pub network_sent_packets: u64,
}

/// A process in a container (proc_pid_stat(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedProcess {
    /// Its number, as the container has it.
    pub pid: u32,
    /// That of its parent; 0 where the parent is outside.
    pub parent: u32,
    /// Its effective user's number.
    pub uid: u32,
    /// Its resident memory, in bytes.
    pub memory_bytes: u64,
    /// CPU time that it used, in microseconds.
    pub cpu_us: u64,
    /// How long ago it began, in microseconds.
    pub age_us: u64,
    /// Its program and arguments, at most [`LISTED_COMMAND_LEN_MAX`] bytes; of one without, the kernel's name for it.
    pub command: Vec<String>,
}

/// Why a container's process could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFailure {
    /// The executable is not there (a shell's 127).
    NotFound,
    /// The executable is there but cannot be executed (a shell's 126).
    NotExecutable,
    /// Anything before that: a mount, a user that does not exist.
    Other,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It called `exit` with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

/// A stream of a process. A terminal has two: what it shows is [`Self::Stdout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Host to guest.
    Stdin,
    /// Guest to host.
    Stdout,
    /// Guest to host.
    Stderr,
}
