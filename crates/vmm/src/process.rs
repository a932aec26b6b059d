//! From a configuration to an exit code: the whole life of the process.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use protocol::vmm::{Config, Event, ExitCode, Origin, Shape};

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
use crate::vcpu;
use crate::vcpus::{Saving, Shared, Vcpus};
use crate::wiring::Wiring;

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
    let control = Control::open(&config.control)?;
    let signals = Signals::catch().context("cannot wait for signals")?;
    let mut event_loop = EventLoop::new(control, signals).context("cannot make an event loop")?;
    let mut sockets = Vec::new();
    let (ending, vcpus) = match run_in(config, &mut event_loop, &mut sockets) {
        Ok(Running::Stopped(ending)) => (ending, None),
        Ok(Running::Vcpus(vcpus)) => (event_loop.run_to_the_end(), Some(vcpus)),
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

/// What became of a microVM.
enum Running {
    /// It runs.
    Vcpus(Vcpus),
    /// It was stopped while it waited for its shape.
    Stopped(Ending),
}

/// Puts the microVM together and lets it run; sockets that came into being are put into `sockets`.
fn run_in(config: Config, event_loop: &mut EventLoop, sockets: &mut Vec<BoundPath>) -> anyhow::Result<Running> {
    kick::install().context("cannot handle the signal that stops vCPUs")?;
    match (config.origin, config.shape) {
        (Origin::Boot(boot), Some(shape)) => {
            let microvm = Microvm::boot(&boot)?;
            tell(event_loop, |monotonic_ns| Event::VcpuRunnable { monotonic_ns });
            let vcpus = start(microvm, &shape, None, boot.save.as_deref(), event_loop, sockets)?;
            Ok(Running::Vcpus(vcpus))
        }
        (Origin::Boot(_), None) => Err(config::ConfigError::NoShape.into()),
        (Origin::Template(directory), shape) => {
            let mut microvm = Microvm::clone_of(&directory)?;
            let runnable = shape.is_some();
            if runnable {
                tell(event_loop, |monotonic_ns| Event::VcpuRunnable { monotonic_ns });
            }
            vcpu::run_to_doorbell(&mut microvm.first)?;
            let begun = Begun(monotonic_ns());
            let (shape, begun) = match shape {
                Some(shape) => (shape, begun),
                None => match wait_for_shape(event_loop) {
                    Turn::Run(shape) => (*shape, Begun(monotonic_ns())),
                    Turn::Ended(ending) => return Ok(Running::Stopped(ending)),
                },
            };
            let vcpus = start(microvm, &shape, Some(begun), None, event_loop, sockets)?;
            Ok(Running::Vcpus(vcpus))
        }
    }
}

/// When a clone's guest began, in nanoseconds of `CLOCK_MONOTONIC`.
struct Begun(u64);

/// Waits to be told what to be.
fn wait_for_shape(event_loop: &mut EventLoop) -> Turn {
    tell(event_loop, |monotonic_ns| Event::Waiting { monotonic_ns });
    let turn = event_loop.run();
    if let Turn::Run(_) = turn {
        tell(event_loop, |monotonic_ns| Event::VcpuRunnable { monotonic_ns });
    }
    turn
}

/// Gives the microVM its devices and lets it run. A clone waits at its doorbell and `begun` already.
fn start(
    microvm: Microvm,
    shape: &Shape,
    begun: Option<Begun>,
    save: Option<&Path>,
    event_loop: &EventLoop,
    sockets: &mut Vec<BoundPath>,
) -> anyhow::Result<Vcpus> {
    let drivers = microvm.drivers(save);
    let furniture = furnish(&microvm.vm, microvm.base.clone(), shape, drivers, event_loop.workers())?;
    let Furniture {
        slots,
        memory,
        bitmap,
        sockets: bound,
    } = furniture;
    sockets.extend(bound);
    let reporter = event_loop.reporter();
    let wiring = Wiring::of(microvm.vm.clone());
    let bus = Bus::new(slots, bitmap, wiring, microvm.serial, reporter.clone());
    let answer = begun.map(|Begun(monotonic_ns)| {
        bus.tell_booted(monotonic_ns);
        bus.answer()
    });
    let saving = save.map(|directory| Saving {
        directory: directory.to_owned(),
        kvm: microvm.kvm,
        memory,
    });
    let shared = Shared {
        vm: microvm.vm,
        leaves: microvm.leaves,
        bus,
        vcpus: shape.vcpus,
        saving,
        reporter,
    };
    Ok(Vcpus::start(shared, microvm.first, answer))
}

fn tell(event_loop: &EventLoop, event: impl FnOnce(u64) -> Event) {
    event_loop.reporter().report(Report::Event(event(monotonic_ns())));
}
