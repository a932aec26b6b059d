//! From a configuration to an exit code: the whole life of the process.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use devices::meter::Meter;
use protocol::vmm::{Config, Event, ExitCode, Origin, Shape};

use crate::backing;
use crate::bus::Bus;
use crate::clock::monotonic_ns;
use crate::config;
use crate::control::Control;
use crate::ending::Ending;
use crate::event_loop::{EventLoop, Turn};
use crate::furnish::{Furniture, furnish};
use crate::kick;
use crate::microvm::Microvm;
use crate::reports::Report;
use crate::signals::Signals;
use crate::socket::BoundPath;
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
    // The guest comes before all that it does not need for its first instruction; what it says of its failure comes after.
    let begun = begin(&config.origin);
    let control = Control::open(&config.control, config.shape.is_none())?;
    let signals = Signals::catch().context("cannot wait for signals")?;
    let mut event_loop = EventLoop::new(control, signals).context("cannot make an event loop")?;
    let mut sockets = Vec::new();
    let run = begun.and_then(|begun| run_in(config, begun, &mut event_loop, &mut sockets));
    let (ending, vcpus) = match run {
        Ok(Running::Stopped(ending)) => (ending, None),
        Ok(Running::Vcpus(vcpus, start)) => (event_loop.run_to_the_end(|| touched(&start)), Some(vcpus)),
        Err(error) => (Ending::failure(error), None),
    };
    // First the loop, then the vCPUs: one of their threads may be waiting for it.
    let control = event_loop.end();
    let stopped = vcpus.map(Vcpus::stop);
    drop(sockets);
    control.close(&Event::Ended {
        exit: ending.exit,
        message: ending.message.clone(),
    });
    // Nothing of the guest runs any more, so nobody has to wait until it is taken down.
    drop(stopped);
    Ok(ending)
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
}

/// Boots or clones the guest; a clone runs up to its doorbell.
fn begin(origin: &Origin) -> anyhow::Result<Begun> {
    let mut microvm = match origin {
        Origin::Boot(boot) => Microvm::boot(boot)?,
        Origin::Template(directory) => Microvm::clone_of(directory)?,
    };
    let runnable_ns = monotonic_ns();
    let (at_doorbell_ns, writes) = match origin {
        Origin::Boot(_) => (None, vcpu::Writes::new()),
        Origin::Template(_) => {
            let writes = vcpu::run_to_doorbell(&mut microvm.first)?;
            (Some(monotonic_ns()), writes)
        }
    };
    Ok(Begun {
        microvm,
        runnable_ns,
        at_doorbell_ns,
        writes,
    })
}

/// What became of a microVM.
enum Running {
    /// It runs, and this is learned of its start.
    Vcpus(Vcpus, Arc<Start>),
    /// It was stopped while it waited for its shape.
    Stopped(Ending),
}

/// Gives the microVM its shape and lets it run; sockets that came into being are put into `sockets`.
fn run_in(
    config: Config,
    mut begun: Begun,
    event_loop: &mut EventLoop,
    sockets: &mut Vec<BoundPath>,
) -> anyhow::Result<Running> {
    let meter = backing::meter(config.counters.as_deref())?;
    kick::install().context("cannot handle the signal that stops vCPUs")?;
    let is_observed = match (&config.origin, begun.microvm.template.take()) {
        (Origin::Template(directory), Some(template)) => {
            let is_observed = touched::copy_in_advance(directory, &template, &begun.microvm.base) == 0;
            touched::map_in_advance(directory, &begun.microvm.first);
            is_observed
        }
        _ => false,
    };
    let shape = match config.shape {
        Some(shape) => shape,
        None => match wait_for_shape(event_loop) {
            Ok(shape) => {
                // For this microVM, everything begins only now.
                let now = monotonic_ns();
                begun.runnable_ns = now;
                begun.at_doorbell_ns = begun.at_doorbell_ns.map(|_| now);
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
    let save = match &config.origin {
        Origin::Boot(boot) => boot.save.as_deref(),
        Origin::Template(_) => None,
    };
    let observed = Arc::new(Start::of(begun.microvm.base.clone(), is_observed));
    let purpose = Purpose {
        save,
        observed: observed.clone(),
        is_observed,
        meter,
    };
    Ok(Running::Vcpus(
        start(begun, &shape, &purpose, event_loop, sockets)?,
        observed,
    ))
}

/// Waits to be told what to be, or to end.
fn wait_for_shape(event_loop: &mut EventLoop) -> Result<Shape, Ending> {
    // The one that started it may be spared when the host has no memory left; a microVM is not. Where that cannot be said, nothing is lost.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    let monotonic_ns = monotonic_ns();
    tell(event_loop, Event::Waiting { monotonic_ns });
    loop {
        match event_loop.run() {
            Turn::Run(shape) => return Ok(*shape),
            Turn::Ended(ending) => return Err(ending),
            // A guest that has not begun has written nothing of interest.
            Turn::Observe => {}
        }
    }
}

/// What is to be done with the guest beside running it.
struct Purpose<'a> {
    /// Where it is to be saved.
    save: Option<&'a Path>,
    /// What is learned of its start.
    observed: Arc<Start>,
    /// Whether it is to tell of its start.
    is_observed: bool,
    /// Where its devices count.
    meter: Meter,
}

/// Gives the microVM its devices and lets it run.
fn start(
    begun: Begun,
    shape: &Shape,
    purpose: &Purpose<'_>,
    event_loop: &EventLoop,
    sockets: &mut Vec<BoundPath>,
) -> anyhow::Result<Vcpus> {
    let microvm = begun.microvm;
    let drivers = microvm.drivers(purpose.save);
    let furniture = furnish(
        &microvm.vm,
        microvm.base.clone(),
        shape,
        drivers,
        event_loop.workers(),
        purpose.meter,
    )?;
    let Furniture {
        slots,
        memory,
        bitmap,
        sockets: bound,
    } = furniture;
    sockets.extend(bound);
    let reporter = event_loop.reporter();
    let wiring = Wiring::of(microvm.vm.clone());
    let bus = Bus::new(
        slots,
        bitmap,
        purpose.is_observed,
        wiring,
        microvm.serial,
        reporter.clone(),
    );
    for (address, data) in &begun.writes {
        bus.write_memory(*address, data);
    }
    let answer = begun.at_doorbell_ns.map(|monotonic_ns| {
        bus.tell_booted(monotonic_ns);
        bus.answer()
    });
    let saving = match purpose.save {
        Some(directory) => Some(Saving {
            directory: directory.to_owned(),
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
        start: purpose.observed.clone(),
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
