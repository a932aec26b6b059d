//! The process that watches over one machine, from before QEMU starts until nothing of it is left.
//!
//! It has a session of its own, so a Ctrl-C at the starter's terminal does not reach it; but until the starter has said "keep", the
//! starter's end is the machine's end. QEMU and virtiofsd die with it, by the kernel's parent-death signal.

mod children;
mod phase;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::qemu::{self, Connections, Files};
use crate::state::{Lock, Record, StateDirectory, StateError};
use crate::wire::boot::{BootError, LINE_LEN_MAX, encode_line, parse_report};
use crate::wire::{BootConfig, BootReport, TOKEN_LEN, Token};
use children::{Children, SpawnError};
use phase::{Event, Phase, Step};

/// What the supervisor is given on its standard input, in one line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The machine to be.
    pub options: Options,
    /// What to make it of.
    pub files: Files,
}

/// The line that the starter answers a readiness with; from then on the machine is on its own.
pub const KEEP: &str = "keep";

/// What the supervisor tells the starter, in lines of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Announcement {
    /// A machine of this name exists already.
    Exists {},
    /// A step of the boot is done.
    Stage {
        /// The step.
        name: String,
    },
    /// The machine runs.
    Ready(Box<Record>),
    /// There is no machine. The last line.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Why a machine did not come to be.
#[derive(Debug, thiserror::Error)]
enum SupervisorError {
    #[error("the assignment is malformed")]
    Assignment(#[source] serde_json::Error),
    #[error("cannot {operation}")]
    Io { operation: &'static str, source: io::Error },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("{0}")]
    GaveUp(String),
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> SupervisorError {
    move |source| SupervisorError::Io { operation, source }
}

/// Supervises a machine until its end. Reads an [`Assignment`] from standard input and writes [`Announcement`]s to standard output.
/// The value says whether all went well.
pub fn run() -> bool {
    // Fails only for the leader of a process group, and then there is a session of the starter's making.
    let _ = rustix::process::setsid();
    match supervise() {
        Ok(()) => true,
        Err(error) => {
            announce(&Announcement::Failed { reason: chain(&error) });
            false
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn announce(announcement: &Announcement) {
    // A starter that has gone is learnt of by the end of standard input.
    if let Ok(line) = encode_line(announcement) {
        let mut output = io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}

fn supervise() -> Result<(), SupervisorError> {
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(failed("read the assignment"))?;
    let assignment: Assignment = serde_json::from_str(&line).map_err(SupervisorError::Assignment)?;
    let state = StateDirectory::of(&assignment.options.name);
    let Some(lock) = state.lock()? else {
        announce(&Announcement::Exists {});
        return Ok(());
    };
    // The logs of a machine that ended by itself have had their time.
    state.clear()?;
    let starting = state.mark_changing()?;
    let outcome = run_machine(&assignment, &state, starting);
    // Without the mark others look more often; they come to the same.
    let _ending = state.mark_changing();
    let removed = state.remove(lock, matches!(outcome, Ok(Ended::Unexpectedly)));
    outcome?;
    Ok(removed?)
}

/// How a machine that was ready came to its end.
enum Ended {
    InOrder,
    Unexpectedly,
}

/// `starting` marks the machine as such; it is given up when the machine is ready.
fn run_machine(assignment: &Assignment, state: &StateDirectory, starting: Lock) -> Result<Ended, SupervisorError> {
    let Assignment { options, files } = assignment;
    let started = Instant::now();
    let token = random_token()?;
    state.write_token(&token)?;
    let log = File::create(state.log()).map_err(failed("create the machine's log"))?;
    let (events, happened) = channel();
    let mut children = Children::new(log, state.log(), events.clone());
    let (control, its_control) = UnixStream::pair().map_err(failed("create the control port"))?;
    let shared = qemu::shared_directories(options, state.path());
    for directory in &shared {
        children.start_virtiofsd(files, directory, options.host_files)?;
    }
    let relay_port = free_port().map_err(failed("find a free port"))?;
    let console = options.console.clone().unwrap_or_else(|| state.console());
    let qemu_pid = children.start_qemu(options, files, its_control, |control| Connections {
        control,
        relay_port,
        console,
        shared,
    })?;
    let config = BootConfig {
        token,
        modules: files.modules.clone(),
        shares: options.shares.clone(),
        data_disk: options.data_disk.is_some(),
    };
    (&control)
        .write_all(&encode_line(&config)?)
        .map_err(failed("write to the control port"))?;
    watch_control(control, events.clone());
    watch_starter(events);
    let announce_ready = move || {
        let record = Record {
            options: options.clone(),
            relay_port,
            supervisor_pid: std::process::id(),
            qemu_pid,
            ready_at: SystemTime::now(),
            boot_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        state.write_record(&record)?;
        drop(starting);
        announce(&Announcement::Ready(Box::new(record)));
        Ok(())
    };
    follow(&happened, started + options.boot_timeout, &mut children, announce_ready)
}

/// Acts on events until the machine is at its end.
fn follow(
    happened: &Receiver<Event>,
    boot_deadline: Instant,
    children: &mut Children,
    announce_ready: impl FnOnce() -> Result<(), SupervisorError>,
) -> Result<Ended, SupervisorError> {
    let mut phase = Phase::Booting;
    let mut deadline = Some(boot_deadline);
    let mut announce_ready = Some(announce_ready);
    loop {
        let (next, step) = phase::next(phase, receive(happened, deadline));
        phase = next;
        match step {
            Step::Nothing => {}
            Step::PassOn(name) => announce(&Announcement::Stage { name }),
            Step::AnnounceReady => {
                deadline = None;
                // The phases let it happen once.
                announce_ready
                    .take()
                    .map_or(Ok(()), |announce_ready| announce_ready())?;
            }
            Step::AllowTime(time) => deadline = Some(Instant::now() + time),
            Step::GiveUp(reason) => {
                children.end();
                return Err(SupervisorError::GaveUp(children.with_log(&reason)));
            }
            Step::Finish { in_order } => {
                children.end();
                return Ok(if in_order { Ended::InOrder } else { Ended::Unexpectedly });
            }
        }
    }
}

fn receive(happened: &Receiver<Event>, deadline: Option<Instant>) -> Event {
    let Some(deadline) = deadline else {
        // The sender in `children` lives as long as the receiver.
        return happened.recv().unwrap_or(Event::TimeIsUp);
    };
    match happened.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(event) => event,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Event::TimeIsUp,
    }
}

fn random_token() -> Result<Token, SupervisorError> {
    let mut token: Token = [0; TOKEN_LEN];
    // Up to 256 bytes come whole, see getrandom(2).
    rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| failed("get random bytes")(error.into()))?;
    Ok(token)
}

/// A port that is free now. QEMU takes it a moment later; that somebody else does in between is unlikely, and QEMU then says so.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Turns the lines of the control port into events.
fn watch_control(control: UnixStream, events: Sender<Event>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(control);
        let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX);
        loop {
            let mut line = Vec::new();
            match (&mut reader).take(limit).read_until(b'\n', &mut line) {
                // QEMU's end says more than the port's.
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let report = parse_report(&line).unwrap_or_else(|error| BootReport::Failed { message: chain(&error) });
            if events.send(Event::Reported(report)).is_err() {
                return;
            }
        }
    });
}

/// Turns what the starter says, and its end, into events.
fn watch_starter(events: Sender<Event>) {
    thread::spawn(move || {
        let mut line = String::new();
        let kept = io::stdin().read_line(&mut line).is_ok() && line.trim_end() == KEEP;
        // When the receiver has gone, so has the machine.
        let _ = events.send(if kept { Event::StarterKeeps } else { Event::StarterGone });
    });
}

/// How long QEMU gets to end when a virtiofsd has ended: usually both end together, in any order.
const QEMU_FOLLOWS: Duration = Duration::from_secs(5);
