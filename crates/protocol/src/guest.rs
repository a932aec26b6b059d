//! Host agent ⇄ guest agent, over vsock.
//!
//! The guest agent connects to [`CONTROL_PORT`] on the host and says [`ToHost::Hello`]; the host answers with one
//! [`ToGuest::Start`], the bootstrap message. For every stream of a container the guest agent opens one further connection to
//! [`STREAM_PORT`], sends one [`StreamHello`] frame and from then on raw bytes flow, so that each stream has its own flow control and end.
//! It then says [`ToHost::Prepared`] and waits, right before `execve`, for [`ToGuest::Release`]. The end of the control connection ends
//! the microVM, as [`ToGuest::Shutdown`] does.
//!
//! Processes of the guest can connect to these ports too: the host takes one control connection, and one per stream that it expects.

use serde::{Deserialize, Serialize};

/// The version of this contract; both ends must have the same.
pub const VERSION: u32 = 2;

/// The host's vsock port for the control connection.
pub const CONTROL_PORT: u32 = 1024;

/// The host's vsock port for the containers' streams.
pub const STREAM_PORT: u32 = 1025;

/// The I/O port of the doorbell. Four-byte writes tell the VMM what the guest agent did or wants. A four-byte read gives the bitmap of
/// the plugged slots, bit 0 for slot 0; it is answered when the microVM has its shape, and a standing device counts as plugged only
/// where something is behind it.
pub const DOORBELL_PORT: u16 = 0x600;

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
    /// Let the prepared container's process begin.
    Release {
        /// The container's name.
        container: String,
    },
    /// Send a signal to the container's first process.
    Signal {
        /// The container's name.
        container: String,
        /// The signal's number, as Linux x86-64 has it.
        signal: u8,
    },
    /// The terminal's window changed.
    Resize {
        /// The container's name.
        container: String,
        /// The new size.
        size: TerminalSize,
    },
    /// Unmount, then end the microVM.
    Shutdown,
}

/// From the guest agent to the host agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ToHost {
    /// The first message: the guest agent answers.
    Hello {
        /// The [`VERSION`] it speaks.
        version: u32,
    },
    /// The container's file systems are mounted and its streams connected; its process waits right before `execve`.
    Prepared {
        /// The container's name.
        container: String,
    },
    /// `execve` succeeded.
    Started {
        /// The container's name.
        container: String,
    },
    /// The container's process could not be started; nothing of it runs.
    StartFailed {
        /// The container's name.
        container: String,
        /// What kind of failure this was.
        reason: StartFailure,
        /// What was attempted, on what, and why it failed: one sentence for a person.
        message: String,
    },
    /// The container's first process ended. Told at once: output may still be on its way, and each stream ends by its own end.
    Exited {
        /// The container's name.
        container: String,
        /// How.
        status: ExitStatus,
        /// Whether the container's memory limit killed a process of it.
        out_of_memory: bool,
    },
    /// The guest agent cannot go on: the whole task has failed.
    Failed {
        /// What was attempted, on what, and why it failed: one sentence for a person.
        message: String,
    },
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

/// The bootstrap message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The name of the microVM, which its containers see as theirs.
    pub hostname: String,
    /// Fresh random bytes that are credited to the kernel's entropy pool before any process starts.
    pub entropy: Vec<u8>,
    /// The host's wall clock, in nanoseconds since the Unix epoch.
    pub wall_clock_ns: u64,
    /// How many vCPUs to have online; at least one.
    pub vcpus: u8,
    /// Whether containers start only when all vCPUs are online, so that a program that counts them once counts right.
    pub waits_for_vcpus: bool,
    /// How much memory is plugged after [`DOORBELL_MEMORY`], in MiB. Containers start without it, and are slowed down rather than killed where
    /// they need it before it is there.
    pub growth_mib: u32,
    /// What to run.
    pub containers: Vec<Container>,
}

/// One container, described to the last detail: the guest agent adds nothing of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The name that later messages use; no other container of the microVM has it.
    pub name: String,
    /// The slot of the block or pmem device that holds its rootfs snapshot, an EROFS file system.
    pub rootfs_slot: u8,
    /// The slot of its scratch disk, an ext4 file system for the overlay's upper layer; none keeps the upper layer in memory. The standing
    /// scratch disk is mounted before the doorbell is rung.
    pub scratch_slot: Option<u8>,
    /// The program and its arguments. A program without a slash is looked up in the `PATH` of [`Self::env`].
    pub argv: Vec<String>,
    /// The whole environment, `NAME=value`. `HOME` is added from the user's entry in `/etc/passwd` where it is missing.
    pub env: Vec<String>,
    /// The working directory; created where it does not exist.
    pub working_directory: String,
    /// `user[:group]`, each a name from the image's own databases or a number; empty means root. A user without a group gets the group and the supplementary groups of the databases.
    pub user: String,
    /// The terminal's first size, where the process gets a terminal instead of three pipes.
    pub terminal: Option<TerminalSize>,
    /// Whether standard input is connected; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// The capabilities that root keeps, by kernel name (`CAP_CHOWN`): bounding, permitted and effective set.
    pub capabilities: Vec<String>,
    /// Whether `execve` may not raise privileges any more.
    pub no_new_privileges: bool,
    /// Paths that are made unreadable.
    pub masked_paths: Vec<String>,
    /// Paths that are made read-only.
    pub read_only_paths: Vec<String>,
    /// The memory limit of its cgroup, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// The limit on its number of processes and threads.
    pub pids_max: Option<u64>,
}

/// The size of a terminal's window, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

/// The first and only frame on a connection to [`STREAM_PORT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamHello {
    /// The container's name.
    pub container: String,
    /// Which of its streams this connection carries.
    pub stream: Stream,
}

/// A stream of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Host to guest.
    Stdin,
    /// Guest to host.
    Stdout,
    /// Guest to host.
    Stderr,
    /// Both directions: the terminal of a container that has one. What the host sends is read only with [`Container::stdin`].
    Terminal,
}
