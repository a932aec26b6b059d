//! A VMM and the guest agent in it, for tests: no KVM, no guest, only what both say in [`protocol`].
//!
//! What it does is written in the file that its configuration gives as initramfs: one [`Step`] per line. A clone does the same, unless
//! there is a file of that name with `.clone` behind it; `.waiting` is what it does before it waits, `.build` what is done instead of saving a
//! template. `.builds` has a line for each template that was to be saved.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a fake that cannot go on fails the test")]

mod control;
mod guest;
mod session;

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use protocol::guest::{ExitStatus, StartFailure, Stream, ToHost};
use protocol::vmm::{self, Boot, Config, Event, ExitCode, Origin};

use control::Control;
use guest::Guest;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What it can be told to do. The guest agent's part is in [`Guest`]; numbers are processes, which are 0 where a step names none.
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
    /// Send output of a process.
    StrayPiece(u32),
    /// Say that a process is prepared.
    Prepared(u32),
    /// Wait for its release.
    ExpectRelease(u32),
    /// Wait to be told to run a container as this process.
    ExpectRestart(u32),
    /// Say that a process runs.
    Started(u32),
    /// Say that one does not.
    StartFailed(u32, StartFailure, String),
    /// Say that nothing goes any more.
    Failed(String),
    /// Write to a stream.
    Stdout(String),
    /// Write to a stream of a process.
    StdoutOf(u32, String),
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
    /// Wait for a signal to a process.
    ExpectSignalTo(u32, u8),
    /// End all output.
    Close,
    /// End all output of a process.
    CloseOf(u32),
    /// Say that the process ended.
    Exited(ExitStatus),
    /// Say that a process ended.
    ExitedOf(u32, ExitStatus),
    /// Send something else than a message.
    Nonsense,
    /// Send half of a message.
    Half,
    /// Send output of a process that lies so far in its stream.
    PieceAt(u64),
    /// Say this so many times.
    Say(ToHost, u64),
    /// Wait for the request to shut down.
    ExpectShutdown,
    /// Wait until the host agent is gone.
    ExpectGone,
    /// Wait until somebody opens this FIFO in the script's directory.
    Gate(String),
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
    let vmm::Control::Descriptor(1) = config.control else {
        return Err("the control socket was not passed as standard output".into());
    };
    let listener = UnixListener::from(std::io::stdout().as_fd().try_clone_to_owned()?);
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
    let control = Control::serve(listener, config.shape.is_none());
    let mut fake = Fake {
        control,
        guest: Guest::nowhere(),
        directory: script.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    if is_clone {
        fake.follow(&with_ending(&script, "waiting"))?;
    }
    fake.control.report(&Event::Waiting { guest_waits_ns: None })?;
    let (shape, attached) = fake.control.shape()?;
    if attached.len() != shape.attachments().len() {
        return Err("something else came than the shape names".into());
    }
    // The vsock device is in the first slot.
    let mut attached = attached.into_iter();
    let (Some(listener), Some(door)) = (attached.next(), attached.next()) else {
        return Err("the first slot has no vsock".into());
    };
    fake.guest = Guest::new(listener.into(), door.into());
    let own = with_ending(&script, "clone");
    fake.follow(if is_clone && own.exists() { &own } else { &script })
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

struct Fake {
    control: Control,
    guest: Guest,
    directory: PathBuf,
}

impl Fake {
    /// Does what the file says; one that is not there says nothing.
    fn follow(&mut self, script: &Path) -> Result<()> {
        for line in std::fs::read_to_string(script).unwrap_or_default().lines() {
            self.perform(serde_json::from_str(line)?)?;
        }
        Ok(())
    }

    fn perform(&mut self, step: Step) -> Result<()> {
        let guest = &mut self.guest;
        match step {
            Step::Runnable => self.control.report(&Event::VcpuRunnable { monotonic_ns: 1 }),
            Step::Booted => self.control.report(&Event::GuestBooted { monotonic_ns: 2 }),
            Step::Ended(exit, message) => self.control.report(&Event::Ended { exit, message }),
            Step::Complain(text) => Ok(writeln!(std::io::stderr(), "{text}")?),
            Step::Exit(code) => std::process::exit(code),
            Step::Abort => std::process::abort(),
            Step::Hang => hang(),
            Step::Gate(name) => {
                let mut gate = std::fs::File::open(self.directory.join(name))?;
                // Until it is closed again: else one opening would let us through two gates.
                std::io::copy(&mut gate, &mut std::io::sink())?;
                Ok(())
            }
            Step::Hello(version) => guest.hello(version),
            Step::ExpectStart => guest.expect_start(),
            Step::StrayPiece(process) => guest.stray_piece(process),
            Step::Prepared(process) => guest.prepared(process),
            Step::ExpectRelease(process) => guest.expect_release(process),
            Step::ExpectRestart(process) => guest.expect_restart(process),
            Step::Started(process) => guest.started(process),
            Step::StartFailed(process, reason, message) => guest.start_failed(process, reason, message),
            Step::Failed(message) => guest.failed(message),
            Step::Stdout(text) => guest.write(0, Stream::Stdout, text.as_bytes()),
            Step::StdoutOf(process, text) => guest.write(process, Stream::Stdout, text.as_bytes()),
            Step::Stderr(text) => guest.write(0, Stream::Stderr, text.as_bytes()),
            Step::Flood(bytes) => guest.flood(bytes),
            Step::Cat => guest.cat(),
            Step::ExpectResize => guest.expect_resize(),
            Step::ExpectSignal(signal) => guest.expect_signal((0, signal)),
            Step::ExpectSignalTo(process, signal) => guest.expect_signal((process, signal)),
            Step::Close => guest.close(0),
            Step::CloseOf(process) => guest.close(process),
            Step::Exited(status) => guest.exited(0, status),
            Step::ExitedOf(process, status) => guest.exited(process, status),
            Step::Nonsense => guest.nonsense(),
            Step::Half => guest.half(),
            Step::PieceAt(offset) => guest.piece_at(offset),
            Step::Say(message, times) => guest.repeat(&message, times),
            Step::ExpectShutdown => guest.expect_shutdown(),
            Step::ExpectGone => guest.expect_gone(),
        }
    }
}
