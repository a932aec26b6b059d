//! From a configuration to an exit code: the whole life of the process.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use protocol::vmm::{Config, Event, ExitCode};

use crate::backing;
use crate::config;
use crate::control::Control;
use crate::ending::Ending;
use crate::event_loop::EventLoop;
use crate::microvm::Microvm;
use crate::signals::Signals;
use crate::socket::BoundPath;
use crate::vcpus::Vcpus;
use crate::x86_64::boot::{self, Boot};
use crate::x86_64::{command_line, layout};

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
    let (ending, vcpus) = match assemble(&config, &event_loop, &mut sockets) {
        Ok(vcpus) => (event_loop.run(), Some(vcpus)),
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

/// Puts the microVM together and lets it run; sockets that came into being are put into `sockets`.
fn assemble(config: &Config, event_loop: &EventLoop, sockets: &mut Vec<BoundPath>) -> anyhow::Result<Vcpus> {
    let command_line = command_line::build(config.serial.is_some(), &config.command_line)?;
    let ranges = layout::memory(u64::from(config.memory_mib) << 20);
    let mut microvm = Microvm::new(&ranges, config.vcpus, event_loop)?;
    let boot = Boot {
        kernel: &config.kernel,
        initramfs: &config.initramfs,
        command_line: &command_line,
        vcpus: config.vcpus,
        ranges: &ranges,
    };
    let entry = boot::load(microvm.memory(), &boot)?;
    for device in &config.slots {
        let opened = backing::open(device)?;
        sockets.extend(opened.socket);
        microvm.plug(opened.device)?;
    }
    if let Some(path) = &config.serial {
        microvm.attach_serial(backing::open_serial(path)?)?;
    }
    Ok(microvm.run(config.vcpus, entry, event_loop)?)
}
