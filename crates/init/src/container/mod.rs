//! A container: from its description to its process, and what is known of it until it has ended.
//!
//! Its process is one of the [`nursery`], which made it a [`cgroup`], [`devices`] rules and [`streams`]. What it does is in [`process`], which
//! uses [`stage`], [`layer`], [`names`], [`user`], [`privileges`] and [`program`]; what it and the guest agent say to each other, in [`report`].
//! [`state`] decides what each event means.

pub mod cgroup;
pub mod devices;
pub mod layer;
pub mod names;
pub mod nursery;
pub mod privileges;
pub mod process;
pub mod program;
pub mod report;
pub mod stage;
pub mod state;
pub mod streams;
pub mod user;

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
use cgroup::Cgroup;
use nursery::Nursling;
use report::{Order, RELEASE, Report};
use state::State;
use streams::Connections;

/// Why a container could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its name is another's.
    #[error("there are two containers of the name {0:?}")]
    Name(String),
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

/// A container whose process has its order.
#[derive(Debug)]
pub struct Container {
    /// The name by which the host calls it.
    pub name: String,
    /// The number of its process.
    pub number: u32,
    /// What it is at.
    pub state: State,
    /// Its first process, until it was reaped.
    pub process: Option<Pid>,
    /// Where its process reports and is released, until the report's end.
    pub socket: Option<OwnedFd>,
    /// What its process reports, taken apart into messages.
    pub reports: Frames<Report>,
    /// Its streams.
    pub connections: Connections,
    /// Its cgroup.
    pub cgroup: Cgroup,
}

impl Container {
    /// Limits and connects `nursling`, and tells it what it becomes.
    ///
    /// # Errors
    /// [`ContainerError`]; the process then ends.
    pub fn begin(description: guest::Container, hostname: &str, nursling: Nursling) -> Result<Self, ContainerError> {
        let Nursling {
            number,
            process,
            socket,
            reports,
            mut cgroup,
            streams,
            ..
        } = nursling;
        cgroup.limit(description.memory_bytes_max, description.pids_max)?;
        let mut connections = streams.connect(description.stdin, description.terminal)?;
        let order = Order {
            container: description,
            hostname: hostname.to_owned(),
            terminal: connections.terminal_path.take(),
        };
        nursery::give(&socket, &order)?;
        Ok(Self {
            name: order.container.name,
            number,
            state: State::Preparing,
            process: Some(process),
            socket: Some(socket),
            reports,
            connections,
            cgroup,
        })
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
}

/// Takes what a process has reported; whether that was all.
pub fn read_reports(socket: BorrowedFd<'_>, reports: &mut Frames<Report>) -> bool {
    match recv(socket, spare_capacity(reports.room()), RecvFlags::DONTWAIT) {
        Ok((_, len)) => len == 0,
        Err(error) => !matches!(error, Errno::AGAIN | Errno::INTR),
    }
}
