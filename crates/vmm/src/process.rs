//! From a configuration to an exit code: the whole life of the process.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use devices::meter::Meter;
use protocol::jail::Confinement;
use protocol::vmm::{Event, ExitCode, Shape};

use crate::backing::Attached;
use crate::bus::Bus;
use crate::clock::monotonic_ns;
use crate::config;
use crate::control::Control;
use crate::ending::Ending;
use crate::event_loop::{EventLoop, Turn};
use crate::furnish::{Furniture, Order, furnish};
use crate::jail::{self, Jail};
use crate::kick;
use crate::microvm::Microvm;
use crate::opened::{Cloned, Opened, Source};
use crate::reports::Report;
use crate::signals::Signals;
use crate::template::save::Files;
use crate::touched::{self, Pages, Start};
use crate::vcpu;
use crate::vcpus::{Saving, Shared, Vcpus};
use crate::wiring::Wiring;
use crate::x86_64::Reference;

/// Runs the microVM that the configuration at `path` describes, or the one on standard input where that is `-`.
pub fn run(path: &Path) -> ExitCode {
    let ending = live(path).unwrap_or_else(Ending::failure);
    if [ExitCode::Failure, ExitCode::GuestPanic].contains(&ending.exit) {
        // Where standard error is gone, the exit code still says it.
        let _ = writeln!(io::stderr(), "mote-vmm: {}", ending.message);
    }
    ending.exit
}

/// Fails only before there is a control socket; from then on, whoever is connected is told how it ended.
fn live(path: &Path) -> anyhow::Result<Ending> {
    let config = config::read(path)?;
    let control = Control::open(&config.control, config.shape.is_none())?;
    // The guest comes before all that it does not need for its first instruction; what it says of its failure comes after.
    let begun = Opened::of(&config).and_then(|opened| confined(opened, &config.jail));
    let signals = Signals::catch().context("cannot wait for signals")?;
    let mut event_loop = EventLoop::new(control, signals).context("cannot make an event loop")?;
    let run = begun.and_then(|begun| run_in(config.shape, begun, &mut event_loop));
    let (ending, vcpus) = match run {
        Ok(Running::Stopped(ending)) => (ending, None),
        Ok(Running::Vcpus(vcpus, start)) => (event_loop.run_to_the_end(|| touched(&start)), Some(vcpus)),
        Err(error) => (Ending::failure(error), None),
    };
    // First the loop, then the vCPUs: one of their threads may be waiting for it.
    let control = event_loop.end();
    let stopped = vcpus.map(Vcpus::stop);
    control.close(&Event::Ended {
        exit: ending.exit,
        message: ending.message.clone(),
    });
    // Nothing of the guest runs any more, so nobody has to wait until it is taken down.
    drop(stopped);
    Ok(ending)
}

/// From here on the process can do no more than it must.
fn confined(opened: Opened, confinement: &Confinement) -> anyhow::Result<Begun> {
    let jail = jail::enter(confinement, opened.descriptors.is_some())?;
    begin(opened, jail)
}

/// A microVM that only lacks its shape.
struct Begun {
    microvm: Microvm,
    /// When its first vCPU could run, in nanoseconds of `CLOCK_MONOTONIC`.
    runnable_ns: u64,
    /// When a clone had come to the read of its doorbell.
    at_doorbell_ns: Option<u64>,
    /// What a clone has written to its devices before.
    writes: vcpu::Writes,
    /// What a clone was made from.
    cloned: Option<Cloned>,
    /// Where a guest that boots is to be saved.
    files: Option<Files>,
    /// Where its devices count.
    meter: Meter,
    /// What came with the configuration's shape.
    attached: Vec<OwnedFd>,
    /// Where this process's descriptors can be named, if it serves directories.
    descriptors: Option<OwnedFd>,
    jail: Jail,
}

/// Boots or clones the guest; a clone runs up to its doorbell.
fn begin(opened: Opened, jail: Jail) -> anyhow::Result<Begun> {
    let (mut microvm, cloned, files) = match opened.source {
        Source::Boot(boot, files) => (Microvm::boot(opened.kvm, boot)?, None, files),
        Source::Template(cloned) => (Microvm::clone_of(opened.kvm, &cloned.template)?, Some(cloned), None),
    };
    let runnable_ns = monotonic_ns();
    let (at_doorbell_ns, writes) = match cloned {
        None => (None, vcpu::Writes::new()),
        Some(_) => {
            let writes = vcpu::run_to_doorbell(&mut microvm.first)?;
            (Some(monotonic_ns()), writes)
        }
    };
    Ok(Begun {
        microvm,
        runnable_ns,
        at_doorbell_ns,
        writes,
        cloned,
        files,
        meter: opened.meter,
        attached: opened.attached,
        descriptors: opened.descriptors,
        jail,
    })
}

/// What became of a microVM.
enum Running {
    /// It runs, and this is learned of its start.
    Vcpus(Vcpus, Arc<Start>),
    /// It was stopped while it waited for its shape.
    Stopped(Ending),
}

/// Gives the microVM its shape and lets it run.
fn run_in(shape: Option<Shape>, mut begun: Begun, event_loop: &mut EventLoop) -> anyhow::Result<Running> {
    kick::install().context("cannot handle the signal that stops vCPUs")?;
    let list = begun.cloned.take().and_then(|cloned| {
        touched::copy_in_advance(&cloned.known.written, &cloned.template.memory, &begun.microvm.base);
        touched::map_in_advance(&cloned.known.mapped, &begun.microvm.first);
        cloned.list
    });
    let is_observed = list.is_some();
    let shape = match shape {
        Some(shape) => shape,
        None => match wait_for_shape(event_loop, begun.at_doorbell_ns) {
            Ok((shape, attached)) => {
                // For this microVM, everything begins only now.
                let now = monotonic_ns();
                begun.runnable_ns = now;
                begun.at_doorbell_ns = begun.at_doorbell_ns.map(|_| now);
                begun.attached = attached;
                shape
            }
            Err(ending) => return Ok(Running::Stopped(ending)),
        },
    };
    tell(
        event_loop,
        Event::VcpuRunnable {
            monotonic_ns: begun.runnable_ns,
        },
    );
    let observed = Arc::new(Start::of(begun.microvm.base.clone(), list));
    let vcpus = start(begun, &shape, (observed.clone(), is_observed), event_loop)?;
    Ok(Running::Vcpus(vcpus, observed))
}

/// Waits to be told what to be, or to end.
fn wait_for_shape(event_loop: &mut EventLoop, guest_waits_ns: Option<u64>) -> Result<(Shape, Vec<OwnedFd>), Ending> {
    tell(event_loop, Event::Waiting { guest_waits_ns });
    loop {
        match event_loop.run() {
            Turn::Run(shape, attached) => return Ok((*shape, attached)),
            Turn::Ended(ending) => return Err(ending),
            // A guest that has not begun has written nothing of interest.
            Turn::Observe => {}
        }
    }
}

/// Gives the microVM its devices and lets it run; its start is told of where it `is_observed`.
fn start(
    begun: Begun,
    shape: &Shape,
    (observed, is_observed): (Arc<Start>, bool),
    event_loop: &EventLoop,
) -> anyhow::Result<Vcpus> {
    let microvm = begun.microvm;
    let attached = Attached::to(shape, begun.attached)?;
    begun.jail.confine_to(&attached.directories(shape))?;
    let order = Order {
        shape,
        attached,
        descriptors: begun.descriptors.as_ref(),
    };
    let furniture = furnish(
        &microvm.vm,
        microvm.base.clone(),
        order,
        microvm.drivers(),
        event_loop.workers(),
        begun.meter,
    )?;
    let Furniture { slots, memory, bitmap } = furniture;
    let reporter = event_loop.reporter();
    let wiring = Wiring::of(microvm.vm.clone());
    let bus = Bus::new(slots, bitmap, is_observed, wiring, microvm.serial, reporter.clone());
    for (address, data) in &begun.writes {
        bus.write_memory(*address, data);
    }
    let answer = begun.at_doorbell_ns.map(|monotonic_ns| {
        bus.tell_booted(monotonic_ns);
        bus.answer()
    });
    let saving = match begun.files {
        Some(files) => Some(Saving {
            files,
            reference: Reference::new(&microvm.kvm, microvm.leaves.of(0))?,
            memory,
        }),
        None => None,
    };
    if let Some(time) = &microvm.time {
        time.give(&microvm.vm, &microvm.first)
            .context("cannot let the guest's time go on")?;
    }
    let shared = Shared {
        vm: microvm.vm,
        leaves: microvm.leaves,
        bus,
        vcpus: shape.vcpus,
        saving,
        start: observed,
        jail: begun.jail,
        reporter,
    };
    Ok(Vcpus::start(shared, microvm.first, answer))
}

/// The event that tells which pages the guest had written at its `start`.
fn touched(start: &Start) -> Option<Event> {
    let Pages { written, mapped } = start.pages().clone();
    (!written.is_empty()).then_some(Event::Touched { written, mapped })
}

fn tell(event_loop: &EventLoop, event: Event) {
    event_loop.reporter().report(Report::Event(event));
}
