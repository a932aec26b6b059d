//! Processes that have everything that the process of a container has, but the container.
//!
//! One waits before anybody asks for it. Every further container gets one that is forked when it is asked for, and goes the same way.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use protocol::frame;
use protocol::guest::Container;
use protocol::usual;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;
use rustix::thread::CapabilitySet;

use super::cgroup::Cgroup;
use super::privileges::parse_capabilities;
use super::process::{self, Birth};
use super::report::{Order, Report};
use super::streams::Streams;
use super::{ContainerError, devices, read_reports};
use crate::failure::{Attempt, StepError};
use crate::frames::Frames;
use crate::guest::CGROUP_ROOT;
use crate::sys::process::{Fork, fork_container};

/// A process that waits for its order, and a cgroup.
#[derive(Debug)]
pub struct Nursling {
    /// The number of its cgroup and its layer.
    pub number: u32,
    /// Itself.
    pub hatched: Hatched,
    /// Its cgroup, without limits.
    pub cgroup: Cgroup,
    bounding: CapabilitySet,
}

/// A process that waits for its order.
#[derive(Debug)]
pub struct Hatched {
    /// Itself.
    pub process: Pid,
    /// Where it reports.
    pub socket: OwnedFd,
    /// What it reports.
    pub reports: Frames<Report>,
    /// The guest agent's ends of its streams.
    pub streams: Streams,
}

/// Who waits, and who is next.
#[derive(Debug)]
pub struct Nursery {
    waiting: Option<Nursling>,
    next: u32,
    has_standing_scratch: bool,
}

impl Nursery {
    /// Forks the first process and waits until it is ready.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn open(has_standing_scratch: bool) -> Result<Self, ContainerError> {
        let mut nursery = Self {
            waiting: None,
            next: 0,
            has_standing_scratch,
        };
        let mut nursling = nursery.make(parse_capabilities(&usual::CAPABILITIES)?)?;
        let first = &mut nursling.hatched;
        loop {
            poll(&mut [PollFd::new(&first.socket, PollFlags::IN)], None).attempting(|| "wait for a process")?;
            let ended = read_reports(first.socket.as_fd(), &mut first.reports);
            match first.reports.take()? {
                Some(Report::Ready) => break,
                Some(Report::Refused { message, .. }) => return Err(ContainerError::Unready(message)),
                Some(Report::Prepared) | None if ended => {
                    return Err(ContainerError::Unready("it ended".to_owned()));
                }
                Some(Report::Prepared) | None => {}
            }
        }
        nursery.waiting = Some(nursling);
        Ok(nursery)
    }

    /// The cgroup of the process that waits.
    pub fn waiting_cgroup(&mut self) -> Option<&mut Cgroup> {
        self.waiting.as_mut().map(|nursling| &mut nursling.cgroup)
    }

    /// A process that can become `container`.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn take(&mut self, container: &Container) -> Result<Nursling, ContainerError> {
        let wanted = parse_capabilities(&container.capabilities)?;
        // What it has given up it cannot get back: another one takes its place, and it goes with its socket.
        if let Some(nursling) = self.waiting.take_if(|nursling| nursling.bounding.contains(wanted)) {
            return Ok(nursling);
        }
        Ok(self.make(wanted)?)
    }

    /// A process that can become `container` once more, on the layer with this number and in this cgroup.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn take_again(&self, container: &Container, number: u32, cgroup: &Cgroup) -> Result<Hatched, ContainerError> {
        let wanted = parse_capabilities(&container.capabilities)?;
        Ok(self.fork(wanted, number, cgroup)?)
    }

    fn make(&mut self, bounding: CapabilitySet) -> Result<Nursling, StepError> {
        let number = self.next;
        self.next += 1;
        let cgroup = Cgroup::create(Path::new(CGROUP_ROOT), &number.to_string())?;
        devices::restrict(cgroup.as_fd()).attempting(|| "restrict the devices")?;
        Ok(Nursling {
            number,
            hatched: self.fork(bounding, number, &cgroup)?,
            cgroup,
            bounding,
        })
    }

    fn fork(&self, bounding: CapabilitySet, number: u32, cgroup: &Cgroup) -> Result<Hatched, StepError> {
        let (streams, ends) = Streams::prepare()?;
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (here, there) = pair.attempting(|| "make a pair of sockets")?;
        let birth = Birth {
            number,
            bounding,
            prepares_layer: self.has_standing_scratch,
            ends,
            socket: there,
        };
        match fork_container(cgroup.as_fd()).attempting(|| "fork a process")? {
            Fork::Child => process::run(birth),
            Fork::Parent(process) => Ok(Hatched {
                process,
                socket: here,
                reports: Frames::default(),
                streams,
            }),
        }
    }
}

/// Tells the process at the other end of `socket` which container it is to become.
///
/// # Errors
/// The socket's, where the process has died.
pub fn give(socket: &OwnedFd, order: &Order<'_>) -> Result<(), ContainerError> {
    let bytes = frame::encode(order)?;
    let mut rest = bytes.as_slice();
    // The process does nothing but take it, so this never waits for long.
    while !rest.is_empty() {
        match write(socket, rest) {
            Ok(len) => rest = &rest[len..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).attempting(|| "give a process its order")?,
        }
    }
    Ok(())
}
