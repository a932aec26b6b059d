//! A VMM and the guest agent in it, for tests: no KVM, no guest, only what both say in [`protocol`].
//!
//! What it does is written in the file that its configuration gives as initramfs: one [`Step`] per line.

#![forbid(unsafe_code)]

mod guest;

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use protocol::frame;
use protocol::guest::{ExitStatus, StartFailure};
use protocol::vmm::{Config, Control, Device, Event, ExitCode};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use guest::Guest;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What it can be told to do. The guest agent's part is in [`Guest`].
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Step {
    /// Report that the vCPU runs.
    Runnable,
    /// Report the guest agent's first instruction.
    Booted,
    /// Report the end.
    Ended(ExitCode, String),
    /// Connect and say this version.
    Hello(u32),
    /// Wait for the bootstrap message.
    ExpectStart,
    /// Connect the container's streams.
    Streams,
    /// Open a stream that nobody wants, with these words in place of its name.
    StrayStream(String),
    /// Say that a container of this name is prepared.
    Prepared(String),
    /// Wait for the release.
    ExpectRelease,
    /// Say that the process runs.
    Started,
    /// Say that it does not.
    StartFailed(StartFailure, String),
    /// Say that nothing goes any more.
    Failed(String),
    /// Write to a stream.
    Stdout(String),
    /// Write to a stream.
    Stderr(String),
    /// Write so many bytes of a pattern to standard output.
    Flood(u64),
    /// Copy standard input to standard output until it ends.
    Cat,
    /// Wait for a window size and write it to the terminal.
    ExpectResize,
    /// Wait for a signal, this one.
    ExpectSignal(u8),
    /// End all output.
    Close,
    /// Say that the process ended.
    Exited(ExitStatus),
    /// Send something else than a message.
    Nonsense,
    /// Wait for the request to shut down.
    ExpectShutdown,
    /// Write to our standard error.
    Complain(String),
    /// End this process.
    Exit(i32),
    /// End this process by a signal.
    Abort,
    /// Wait for ever.
    Hang,
}

fn main() -> Result<()> {
    let mut document = String::new();
    std::io::stdin().read_to_string(&mut document)?;
    let config: Config = serde_json::from_str(&document)?;
    let Control::Descriptor(3) = config.control else {
        return Err("the control socket was not passed as descriptor 3".into());
    };
    // By way of the kernel, which vouches for the number: safe code cannot simply believe it.
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let control = rustix::process::pidfd_getfd(own, 3, PidfdGetfdFlags::empty())?;
    let control = UnixListener::from(control);
    let Some(Device::Vsock { socket, .. }) = config.slots.first() else {
        return Err("the first slot has no vsock".into());
    };
    for path in config.slots.iter().flat_map(files) {
        std::fs::metadata(path)?;
    }
    let (events, _) = control.accept()?;
    let mut vmm = Vmm {
        events,
        guest: Guest::new(socket.clone()),
    };
    for line in std::fs::read_to_string(&config.initramfs)?.lines() {
        vmm.perform(serde_json::from_str(line)?)?;
    }
    Ok(())
}

fn files(device: &Device) -> Vec<&std::path::Path> {
    match device {
        Device::BlockConcatenation { parts } => parts.iter().map(std::path::PathBuf::as_path).collect(),
        Device::BlockFile { path } => vec![path],
        Device::Vsock { .. } | Device::Rng => vec![],
    }
}

struct Vmm {
    events: UnixStream,
    guest: Guest,
}

impl Vmm {
    fn perform(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Runnable => self.report(&Event::VcpuRunnable { monotonic_ns: 1 }),
            Step::Booted => self.report(&Event::GuestBooted { monotonic_ns: 2 }),
            Step::Ended(exit, message) => self.report(&Event::Ended { exit, message }),
            Step::Complain(text) => Ok(writeln!(std::io::stderr(), "{text}")?),
            Step::Exit(code) => std::process::exit(code),
            Step::Abort => std::process::abort(),
            Step::Hang => loop {
                std::thread::park();
            },
            Step::Hello(version) => self.guest.hello(version),
            Step::ExpectStart => self.guest.expect_start(),
            Step::Streams => self.guest.connect_streams(),
            Step::StrayStream(words) => self.guest.stray_stream(&words),
            Step::Prepared(container) => self.guest.prepared(container),
            Step::ExpectRelease => self.guest.expect_release(),
            Step::Started => self.guest.started(),
            Step::StartFailed(reason, message) => self.guest.start_failed(reason, message),
            Step::Failed(message) => self.guest.failed(message),
            Step::Stdout(text) => self.guest.write_stdout(text.as_bytes()),
            Step::Stderr(text) => self.guest.write_stderr(text.as_bytes()),
            Step::Flood(bytes) => self.guest.flood(bytes),
            Step::Cat => self.guest.cat(),
            Step::ExpectResize => self.guest.expect_resize(),
            Step::ExpectSignal(signal) => self.guest.expect_signal(signal),
            Step::Close => self.guest.close(),
            Step::Exited(status) => self.guest.exited(status),
            Step::Nonsense => self.guest.nonsense(),
            Step::ExpectShutdown => self.guest.expect_shutdown(),
        }
    }

    fn report(&mut self, event: &Event) -> Result<()> {
        Ok(frame::write(&mut self.events, event)?)
    }
}
