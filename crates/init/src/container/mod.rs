//! A container: from its description to its process, and what is known of it until it has ended.
//!
//! Its process is one of the [`nursery`], which made it a [`cgroup`], [`devices`] rules and [`streams`]. What it does is in [`process`], which
//! uses [`stage`], [`layer`], [`names`], [`mounts`], [`user`], [`standard`], [`surroundings`], [`limits`], [`privileges`] and [`program`]; what it and
//! the guest agent say to each other, in [`report`]. [`execute`] is how further processes come into it. [`state`] decides what each event means.

pub mod cgroup;
pub mod devices;
pub mod execute;
pub mod layer;
pub mod limits;
pub mod listing;
pub mod mounts;
pub mod names;
pub mod nursery;
pub mod populate;
pub mod privileges;
pub mod process;
pub mod program;
pub mod report;
pub mod stage;
pub mod standard;
pub mod state;
pub mod streams;
pub mod surroundings;
pub mod sysctls;
pub mod user;

use std::borrow::Cow;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use protocol::frame::FrameError;
use protocol::guest;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, write};
use rustix::net::{RecvFlags, recv};
use rustix::process::Pid;

use crate::failure::StepError;
use crate::frames::Frames;
use crate::slots::SlotError;
use crate::sys::signal;
use cgroup::Cgroup;
use nursery::{Hatched, Nursling};
use report::{Order, Place, RELEASE, Report};
use state::State;
use streams::Connections;

/// Why a container could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its name is another's.
    #[error("there are two containers of the name {0:?}")]
    Name(String),
    /// No container of this name runs.
    #[error("the container {0:?} does not run")]
    NotRunning(String),
    /// The container runs, and is not to be started again.
    #[error("the container {0:?} has not ended")]
    Running(String),
    /// Its disks.
    #[error(transparent)]
    Disk(#[from] SlotError),
    /// Its user.
    #[error(transparent)]
    User(#[from] user::UserError),
    /// Its capabilities.
    #[error(transparent)]
    Capability(#[from] privileges::UnknownCapability),
    /// Its program.
    #[error(transparent)]
    Program(#[from] program::ProgramError),
    /// What its process and the guest agent say to each other.
    #[error("a container's process and the guest agent do not understand each other")]
    Frame(#[from] FrameError),
    /// A process that should have waited for its container; the text says why it does not.
    #[error("no process is ready for a container: {0}")]
    Unready(String),
    /// A call to the kernel.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// A container whose first process has its order.
#[derive(Debug)]
pub struct Container {
    /// As the host describes it.
    pub description: guest::Container,
    /// The number of its cgroup and its layer.
    pub number: u32,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// The file system of its pseudoterminals.
    terminals: OwnedFd,
}

/// A process of a container: its own, or one that is executed in it.
#[derive(Debug)]
pub struct Process {
    /// The number by which the host calls it.
    pub number: u32,
    /// The index of its container.
    pub container: usize,
    /// Whether it is executed in the container, and not the container's own.
    pub is_executed: bool,
    /// What it is at.
    pub state: State,
    /// It itself, until it was reaped.
    pub process: Option<Pid>,
    /// Where it reports and is released, until the report's end.
    pub socket: Option<OwnedFd>,
    /// What it reports, taken apart into messages.
    pub reports: Frames<Report>,
    /// Its streams, until they are carried.
    pub connections: Connections,
    /// How many processes of its container had been killed for want of memory when it began.
    pub memory_kills: u64,
}

impl Container {
    /// Limits and connects `nursling`, and tells it what it becomes.
    ///
    /// # Errors
    /// [`ContainerError`]; the process then ends.
    pub fn begin(
        description: guest::Container,
        place: &Place,
        nursling: Nursling,
        index: usize,
    ) -> Result<(Self, Process), ContainerError> {
        let Nursling {
            number,
            hatched,
            mut cgroup,
            ..
        } = nursling;
        cgroup.limit(&description)?;
        let (process, terminals) = Process::begin(&description, description.process, place, hatched, index, 0)?;
        let container = Self {
            description,
            number,
            cgroup,
            terminals,
        };
        Ok((container, process))
    }

    /// Has `hatched` become the container once more.
    ///
    /// # Errors
    /// [`ContainerError`]; the process then ends.
    pub fn begin_again(
        &mut self,
        number: u32,
        place: &Place,
        hatched: Hatched,
        index: usize,
    ) -> Result<Process, ContainerError> {
        let memory_kills = self.cgroup.memory_kills();
        let begun = Process::begin(&self.description, number, place, hatched, index, memory_kills)?;
        let (process, terminals) = begun;
        self.terminals = terminals;
        Ok(process)
    }
}

impl Process {
    fn begin(
        description: &guest::Container,
        number: u32,
        place: &Place,
        hatched: Hatched,
        container: usize,
        memory_kills: u64,
    ) -> Result<(Self, OwnedFd), ContainerError> {
        let Hatched {
            process,
            socket,
            reports,
            streams,
        } = hatched;
        let (mut connections, terminals) = streams.connect(description.stdin, description.terminal)?;
        let order = Order {
            container: Cow::Borrowed(description),
            place: Cow::Borrowed(place),
            terminal: connections.terminal_path.take(),
        };
        nursery::give(&socket, &order)?;
        let process = Self {
            number,
            container,
            is_executed: false,
            state: State::Preparing,
            process: Some(process),
            socket: Some(socket),
            reports,
            connections,
            memory_kills,
        };
        Ok((process, terminals))
    }

    /// Lets the process execute its program.
    ///
    /// # Errors
    /// The socket's: the process is dead, which its end will tell too.
    pub fn let_go(&self) -> Result<(), Errno> {
        match &self.socket {
            Some(socket) => write(socket, &[RELEASE]).map(drop),
            None => Ok(()),
        }
    }

    /// Sends it a signal; an executed one gets it with all that it started and did not leave.
    ///
    /// # Errors
    /// The kernel's.
    pub fn signal(&self, number: u8) -> io::Result<()> {
        match self.process {
            Some(process) if self.is_executed => signal::send_to_group(process, number),
            Some(process) => signal::send(process, number),
            None => Ok(()),
        }
    }
}

/// Takes what a process has reported; whether that was all.
pub fn read_reports(socket: BorrowedFd<'_>, reports: &mut Frames<Report>) -> bool {
    match recv(socket, spare_capacity(reports.room()), RecvFlags::DONTWAIT) {
        Ok((_, len)) => len == 0,
        Err(error) => !matches!(error, Errno::AGAIN | Errno::INTR),
    }
}
