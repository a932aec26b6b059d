//! All that needs no host: made before the doorbell is rung, so that it is in the template and every clone has it.

use std::io;
use std::os::fd::OwnedFd;

use protocol::guest::{SESSION_PORT, Start, ToGuest};
use rustix::event::epoll::EventFlags;

use crate::container::nursery::Nursery;
use crate::container::{ContainerError, report};
use crate::control::{Control, ControlError};
use crate::disks::Disks;
use crate::failure::{Attempt, StepError};
use crate::growth::Memory;
use crate::guest;
use crate::network::Interface;
use crate::poller::{Poller, Token};
use crate::slots::SlotError;
use crate::sys::doorbell::Doorbell;
use crate::sys::ioctl::Random;
use crate::sys::{signal, vsock};
use crate::uevents::Uevents;
use crate::vcpus::Vcpus;
use crate::warm;

/// Why a guest cannot become ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The socket to the host.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The standing devices.
    #[error(transparent)]
    Disk(#[from] SlotError),
    /// The process that becomes a container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A call to the kernel.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// What is ready.
#[derive(Debug)]
pub struct Ready {
    /// The doorbell.
    pub doorbell: Doorbell,
    /// The socket to the host, which nobody has heard of yet.
    pub control: Control,
    /// Waits for the control connection, [`Self::children`] and [`Self::listener`] already.
    pub poller: Poller,
    /// The descriptor of `SIGCHLD`.
    pub children: OwnedFd,
    /// Where hosts come back; taken from the beginning, so that nobody else can have it.
    pub listener: OwnedFd,
    /// The random number generator.
    pub random: Random,
    /// What the kernel announces.
    pub uevents: Uevents,
    /// The disks.
    pub disks: Disks,
    /// The network interface.
    pub network: Interface,
    /// The process that becomes the first container.
    pub nursery: Nursery,
    /// The process that brings vCPUs online.
    pub vcpus: Vcpus,
    /// The memory as it is when no container runs.
    pub memory: Memory,
}

impl Ready {
    /// Makes everything ready.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn make(doorbell: Doorbell) -> Result<Self, ReadyError> {
        guest::set_up()?;
        let uevents = Uevents::listen().attempting(|| "listen to the kernel's announcements")?;
        let disks = Disks::find()?;
        let network = Interface::bring_up()?;
        let random = Random::open().attempting(|| "open the random number generator")?;
        random.reseed().attempting(|| "reseed the random number generator")?;
        let children = signal::child_signals().attempting(|| "wait for children")?;
        let vcpus = Vcpus::prepare(&doorbell)?;
        let mut nursery = Nursery::open(disks.has_standing_scratch())?;
        let memory = Memory::now();
        if let Some(cgroup) = nursery.waiting_cgroup() {
            cgroup.slow_down_above(Some(memory.high()))?;
        }
        let mut control = Control::prepare()?;
        // What this takes is in memory from now on; whether it works is seen when it matters.
        let _ = warm::rehearse(control.incoming(), &sample());
        warm::touch_stack();
        let listener = vsock::listen(SESSION_PORT).attempting(|| "listen for hosts that come back")?;
        let poller = watching(&control, &children, &listener).attempting(|| "wait for events")?;
        Ok(Self {
            doorbell,
            control,
            poller,
            children,
            listener,
            random,
            uevents,
            disks,
            network,
            nursery,
            vcpus,
            memory,
        })
    }
}

/// A poller that waits for the host, the next host and the ends of processes.
fn watching(control: &Control, children: &OwnedFd, listener: &OwnedFd) -> io::Result<Poller> {
    let poller = Poller::new()?;
    poller.add(children, Token::Children, EventFlags::IN)?;
    poller.add(control, Token::Control, EventFlags::IN)?;
    poller.add(listener, Token::Listener, EventFlags::IN)?;
    Ok(poller)
}

/// A bootstrap message that resembles the usual ones.
fn sample() -> ToGuest {
    let report::Order { container, place, .. } = report::sample();
    ToGuest::Start(Box::new(Start {
        hostname: place.into_owned().hostname,
        entropy: vec![0; 64],
        vcpus: 1,
        waits_for_vcpus: false,
        growth_mib: 0,
        network: None,
        sysctls: Vec::new(),
        volumes: Vec::new(),
        containers: vec![container.into_owned()],
    }))
}
