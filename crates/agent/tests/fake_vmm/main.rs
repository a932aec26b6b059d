//! A VMM and the guest agent in it, for tests: no KVM, no guest, only what both say in [`protocol`].
//!
//! What it does is written in the file that its configuration gives as initramfs: one [`Step`] per line. A clone does the same, unless
//! there is a file of that name with `.clone` behind it; `.waiting` is what it does before it waits, `.build` what is done instead of saving a
//! template. `.builds` has a line for each template that was to be saved.

#![forbid(unsafe_code)]

mod guest;

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use protocol::frame;
use protocol::guest::{ExitStatus, StartFailure};
use protocol::vmm::{Boot, Config, Control, Device, Event, ExitCode, Origin, Request, standing};

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

/// What is written down in a template: where the scripts are.
const STATE: &str = "state";

fn main() -> Result<()> {
    let mut document = String::new();
    std::io::stdin().read_to_string(&mut document)?;
    let config: Config = serde_json::from_str(&document)?;
    let Control::Descriptor(1) = config.control else {
        return Err("the control socket was not passed as standard output".into());
    };
    let control = UnixListener::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    if let Origin::Boot(Boot {
        save: Some(directory),
        initramfs,
        ..
    }) = &config.origin
    {
        return save(directory, initramfs);
    }
    let (script, is_clone) = match &config.origin {
        Origin::Boot(boot) => (boot.initramfs.clone(), false),
        Origin::Template(directory) => (PathBuf::from(std::fs::read_to_string(directory.join(STATE))?), true),
    };
    let (events, _) = control.accept()?;
    let mut vmm = Vmm {
        events,
        guest: Guest::new(PathBuf::new()),
    };
    if is_clone {
        vmm.follow(&with_ending(&script, "waiting"))?;
    }
    vmm.report(&Event::Waiting { monotonic_ns: 1 })?;
    let shape = match config.shape {
        Some(shape) => shape,
        None => match frame::read(&mut vmm.events)? {
            Some(Request::Run(shape)) => *shape,
            Some(Request::Stop) => std::process::exit(ExitCode::Stopped.into()),
            Some(Request::Observe) | None => return Err("nobody said what to be".into()),
        },
    };
    let Some(Device::Vsock { socket, .. }) = shape.slots.get(&standing::VSOCK) else {
        return Err("the first slot has no vsock".into());
    };
    for path in shape.slots.values().flat_map(files) {
        std::fs::metadata(path)?;
    }
    vmm.guest = Guest::new(socket.clone());
    let own = with_ending(&script, "clone");
    vmm.follow(if is_clone && own.exists() { &own } else { &script })
}

/// Saves a template, as the script for that says or else in good order, and counts it.
fn save(directory: &Path, initramfs: &Path) -> Result<()> {
    let mut count = std::fs::File::options()
        .create(true)
        .append(true)
        .open(with_ending(initramfs, "builds"))?;
    writeln!(count, "{}", directory.display())?;
    let script = with_ending(initramfs, "build");
    if script.exists() {
        for line in std::fs::read_to_string(script)?.lines() {
            match serde_json::from_str(line)? {
                Step::Complain(text) => writeln!(std::io::stderr(), "{text}")?,
                Step::Exit(code) => std::process::exit(code),
                Step::Hang => hang(),
                other => return Err(format!("nothing can do {other:?} while it is saved").into()),
            }
        }
    }
    if std::fs::read_dir(directory)?.next().is_some() {
        return Err("the directory of the template is not empty".into());
    }
    std::fs::write(directory.join(STATE), initramfs.as_os_str().as_encoded_bytes())?;
    std::fs::File::create(directory.join("memory"))?.set_len(64 << 20)?;
    std::process::exit(ExitCode::Saved.into())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

fn files(device: &Device) -> Vec<&Path> {
    match device {
        Device::BlockConcatenation { parts } | Device::Pmem { parts } => parts.iter().map(PathBuf::as_path).collect(),
        Device::BlockFile { path } => vec![path],
        Device::BlockCopyOnWrite { base, directory } => vec![base, directory],
        Device::Vsock { .. } | Device::Memory { .. } | Device::Balloon | Device::Rng => vec![],
    }
}

struct Vmm {
    events: UnixStream,
    guest: Guest,
}

impl Vmm {
    /// Does what the file says; one that is not there says nothing.
    fn follow(&mut self, script: &Path) -> Result<()> {
        for line in std::fs::read_to_string(script).unwrap_or_default().lines() {
            self.perform(serde_json::from_str(line)?)?;
        }
        Ok(())
    }

    fn perform(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Runnable => self.report(&Event::VcpuRunnable { monotonic_ns: 1 }),
            Step::Booted => self.report(&Event::GuestBooted { monotonic_ns: 2 }),
            Step::Ended(exit, message) => self.report(&Event::Ended { exit, message }),
            Step::Complain(text) => Ok(writeln!(std::io::stderr(), "{text}")?),
            Step::Exit(code) => std::process::exit(code),
            Step::Abort => std::process::abort(),
            Step::Hang => hang(),
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
