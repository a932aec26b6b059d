//! The task: one event loop that carries streams and messages until the host ends it.
//!
//! A process's end is told at once, while what is left of its output is still on its way: each stream ends by itself. The task ends when the host
//! says so. It outlives its session: [`session`] takes up the next one, [`processes`] goes on all the while.

mod late;
mod measure;
mod processes;
mod session;

use std::io;

use protocol::guest::{self, Start, StartFailure, ToHost, WANTS_STARTED};
use rustix::event::epoll::EventFlags;

use crate::carriers::Carriers;
use crate::container::names::resolver;
use crate::container::report::Place;
use crate::container::{Container, ContainerError, Process, sysctls};
use crate::control::ControlError;
use crate::failure::{Attempt, StepError, sentence};
use crate::guest::identify;
use crate::kernel_log;
use crate::poller::Token;
use crate::ready::Ready;
use crate::slots::SlotError;
use late::{Late, share};
use session::Link;

/// Why a task cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The host.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The event loop.
    #[error("cannot wait for events")]
    Events(#[source] io::Error),
    /// The devices.
    #[error(transparent)]
    Device(#[from] SlotError),
    /// A container's process, before its program.
    #[error("cannot understand the report of a container's process")]
    Report(#[source] protocol::frame::FrameError),
    /// vCPUs beyond the first.
    #[error("cannot bring all vCPUs online")]
    Vcpus,
    /// A call to the kernel.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Everything that runs.
#[derive(Debug)]
pub struct Task<'a> {
    ready: &'a mut Ready,
    place: Place,
    containers: Vec<Container>,
    /// The last process of each container, and the executed ones that have not ended.
    processes: Vec<Process>,
    carriers: Carriers,
    late: Late,
    link: Link,
    /// What the host was told of the containers' processes, for the next host.
    told: Vec<ToHost>,
    /// Whether the VMM wants to hear that the first program has begun.
    tells_started: bool,
}

impl<'a> Task<'a> {
    /// Connects to the host, and prepares every container that it asks for. One that cannot be prepared is told to the host; the others
    /// go on.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn begin(ready: &'a mut Ready, plugged: u32) -> Result<Self, TaskError> {
        ready.control.begin()?;
        // While the host accepts.
        ready.disks.plug(plugged)?;
        ready.control.say_hello()?;
        let mut start = ready.control.wait_for_start()?;
        identify(&ready.random, &ready.doorbell, &start)?;
        let place = place(ready, &mut start)?;
        let mut task = Self {
            ready,
            place,
            containers: Vec::with_capacity(start.containers.len()),
            processes: Vec::with_capacity(start.containers.len()),
            carriers: Carriers::default(),
            late: Late::new(start.vcpus, start.growth_mib, start.waits_for_vcpus),
            link: Link::Live,
            told: Vec::new(),
            tells_started: plugged & WANTS_STARTED != 0,
        };
        task.begin_what_is_waited_for()?;
        task.start_all(start.containers)?;
        Ok(task)
    }

    fn start_all(&mut self, descriptions: Vec<guest::Container>) -> Result<(), TaskError> {
        let count = descriptions.len();
        if count == 0 {
            // There is no process whose start could be in the way.
            self.begin_the_rest()?;
        }
        for description in descriptions {
            let process = description.process;
            if let Err(error) = self.start(description, count) {
                self.tell(ToHost::StartFailed {
                    process,
                    reason: StartFailure::Other,
                    message: sentence(&error),
                })?;
            }
        }
        Ok(())
    }

    /// Begins to prepare one of `count` containers.
    fn start(&mut self, description: guest::Container, count: usize) -> Result<(), ContainerError> {
        if self.container(&description.name).is_some() {
            return Err(ContainerError::Name(description.name));
        }
        self.mount_disks(&description)?;
        let nursling = self.ready.nursery.take(&description)?;
        if description.scratch_slot.is_none() {
            self.ready.disks.mount_memory(nursling.number)?;
        }
        let share = share(self.ready.memory.high(), count);
        let limited = description.memory_bytes_max.is_some_and(|max| max <= share);
        let index = self.containers.len();
        let (mut container, process) = Container::begin(description, &self.place, nursling, index)?;
        if !limited {
            container.cgroup.slow_down_above(self.late.grows().then_some(share))?;
        }
        self.containers.push(container);
        self.listen_to(process)
    }

    /// Mounts the disks that a container needs, where its process will see them.
    fn mount_disks(&mut self, description: &guest::Container) -> Result<(), ContainerError> {
        let disks = &mut self.ready.disks;
        disks.mount_image(description.rootfs_slot, Some(&self.ready.uevents))?;
        if let Some(slot) = description.scratch_slot {
            disks.mount_scratch(slot)?;
        }
        for mount in &description.mounts {
            match mount.source {
                guest::MountSource::Disk(slot) => disks.mount_image(slot, Some(&self.ready.uevents))?,
                guest::MountSource::Directory(slot) => disks.mount_directory(slot)?,
                guest::MountSource::Volume(_) | guest::MountSource::Tmpfs { .. } => {}
            }
        }
        Ok(())
    }

    /// Waits for what a new process reports, and for its input.
    fn listen_to(&mut self, mut process: Process) -> Result<(), ContainerError> {
        process.connections.take_input(&mut self.carriers, process.number);
        if let Some(socket) = &process.socket {
            let watched = self
                .ready
                .poller
                .add(socket, Token::Report(process.number), EventFlags::IN);
            watched.attempting(|| "wait for a container's process")?;
        }
        self.processes.push(process);
        Ok(())
    }

    /// Carries on until the task is over.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn run(&mut self) -> Result<(), TaskError> {
        let mut awaited = EventFlags::IN;
        // Behind the bootstrap message there may be others.
        if self.obey()? {
            return Ok(());
        }
        loop {
            self.await_control(&mut awaited)?;
            for token in self.ready.poller.wait().map_err(TaskError::Events)? {
                match token {
                    Token::Control => {
                        if self.converse()? {
                            return Ok(());
                        }
                    }
                    Token::Listener => {
                        if self.welcome()? {
                            awaited = EventFlags::IN;
                        }
                    }
                    Token::Children => self.reap()?,
                    Token::Report(number) => self.read_report(number)?,
                    Token::Output(index) => {
                        let read = self.carriers.read(&self.ready.poller, index);
                        read.map_err(TaskError::Events)?;
                    }
                    Token::Input(index) => {
                        let written = self.carriers.write(&self.ready.poller, index);
                        if let Some(received) = written.map_err(TaskError::Events)? {
                            self.say(&ToHost::Acknowledge(received))?;
                        }
                    }
                    Token::Uevents => self.look_at_memory()?,
                }
            }
            self.pump()?;
        }
    }

    /// Has the poller wait for the host to read where something is to be sent.
    fn await_control(&mut self, awaited: &mut EventFlags) -> Result<(), TaskError> {
        if self.link == Link::None {
            return Ok(());
        }
        let needed = if self.ready.control.wants_to_send() {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        if needed != *awaited {
            let modified = self.ready.poller.modify(&self.ready.control, Token::Control, needed);
            modified.map_err(TaskError::Events)?;
            *awaited = needed;
        }
        Ok(())
    }

    /// The index of the container that the host calls `name`.
    fn container(&self, name: &str) -> Option<usize> {
        self.containers
            .iter()
            .position(|container| container.description.name == name)
    }

    /// The index of the process with this number.
    fn process(&self, number: u32) -> Option<usize> {
        self.processes.iter().position(|process| process.number == number)
    }
}

/// Sets up what all containers have in common, and takes what they are to be told of it.
fn place(ready: &mut Ready, start: &mut Start) -> Result<Place, TaskError> {
    if let Some(network) = &start.network {
        ready.network.set_up(network)?;
    }
    let (own, common) = std::mem::take(&mut start.sysctls)
        .into_iter()
        .partition(|(path, _): &(String, String)| sysctls::is_of_containers(path));
    let common: Vec<_> = common;
    sysctls::write(&common)?;
    Ok(Place {
        hostname: std::mem::take(&mut start.hostname),
        address: start.network.as_ref().map(|network| network.address),
        address_ipv6: start.network.as_ref().and_then(|network| Some(network.ipv6?.0)),
        resolver: start.network.as_ref().map(resolver),
        sysctls: own,
        volumes: volumes(ready, start)?,
    })
}

/// Makes the volumes, on the scratch disk of the first container that has one: all have the same.
fn volumes(ready: &mut Ready, start: &mut Start) -> Result<Vec<(String, String)>, TaskError> {
    let names = std::mem::take(&mut start.volumes);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let slot = start.containers.iter().find_map(|container| container.scratch_slot);
    let made = ready.disks.make_volumes(slot, names.len())?;
    let paths = made.into_iter().map(|path| path.to_string_lossy().into_owned());
    Ok(names.into_iter().zip(paths).collect())
}

/// Tells the kernel's log of a failure that concerns nobody else.
fn warn_of(result: io::Result<()>, attempted: &str) {
    if let Err(error) = result {
        kernel_log::warn(&format!("cannot {attempted}: {error}"));
    }
}
