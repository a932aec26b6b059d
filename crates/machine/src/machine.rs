//! Machines from the outside: start, find, use, stop.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::client::{Execution, Relay, RelayError};
use crate::disk::{self, DiskError};
use crate::name::MachineName;
use crate::options::Options;
use crate::parts::{self, PartsError, Programs};
use crate::state::{Record, StateDirectory, StateError};
use crate::supervisor::{Announcement, Assignment, KEEP};
use crate::wire::{ExecRequest, Token};

/// How long a machine may take to answer when it is asked to switch itself off. An emulated one on a busy host takes its time.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long it may take to do so before it is killed.
const SHUTDOWN_TIME: Duration = Duration::from_secs(20);

/// A machine that runs.
#[derive(Debug, Clone)]
pub struct Machine {
    record: Record,
    relay: Relay,
    state: StateDirectory,
}

/// What there is under a name.
#[derive(Debug, Clone)]
pub enum Status {
    /// A machine that runs.
    Running(Box<Machine>),
    /// A machine that is being started or stopped by somebody.
    Changing,
    /// None.
    Stopped {
        /// The log of one that ended by itself, until the next is started.
        log: Option<PathBuf>,
    },
}

/// How [`Machine::start`] came to its machine.
#[derive(Debug)]
pub enum Started {
    /// It was started.
    New(Machine),
    /// It ran already, with the options it was started with.
    Existing(Machine),
}

impl Started {
    /// The machine either way.
    pub fn machine(self) -> Machine {
        match self {
            Self::New(machine) | Self::Existing(machine) => machine,
        }
    }
}

/// What a start is busy with, for people who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// QEMU and kernel are being unpacked; the first time this takes half a minute and the network.
    PreparingParts,
    /// The machine boots.
    Booting,
    /// A step of the boot is done: `init`, `modules`, `root`, `system`.
    Stage(String),
}

/// A machine cannot be started, found or stopped.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// What it is made of cannot be had.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// Its state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// It does not answer.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Somebody else is starting or stopping it.
    #[error("the machine {name} is being started or stopped")]
    Changing {
        /// Its name.
        name: MachineName,
    },
    /// A share that the machine cannot have.
    #[error("cannot share {} with the machine: it is no directory with an absolute path", path.display())]
    Share {
        /// The path.
        path: PathBuf,
    },
    /// Its disk cannot be made.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The supervisor cannot be used.
    #[error("cannot {operation} the machine's supervisor")]
    Supervisor {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The machine did not come up.
    #[error("the machine did not start: {reason}")]
    Start {
        /// Why.
        reason: String,
    },
    /// The machine does not go.
    #[error("cannot wait for the machine's end")]
    Stop(#[source] io::Error),
}

fn supervisor(operation: &'static str) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::Supervisor { operation, source }
}

impl Machine {
    /// What there is under `name`.
    pub fn status(name: &MachineName) -> Result<Status, MachineError> {
        let state = StateDirectory::of(name);
        if !state.is_locked()? {
            return Ok(Status::Stopped { log: state.log_left() });
        }
        // Both are there while the machine runs, and are removed one after the other.
        match (state.read_record()?, state.read_token()?) {
            (Some(record), Some(token)) => Ok(Status::Running(Box::new(Self::new(record, token, state)))),
            (None, _) | (_, None) => Ok(Status::Changing),
        }
    }

    /// What there is under `name` when nobody is starting or stopping it any more.
    pub async fn settled(name: &MachineName) -> Result<Status, MachineError> {
        loop {
            match Self::status(name)? {
                Status::Changing => {
                    let state = StateDirectory::of(name);
                    let waited = tokio::task::spawn_blocking(move || state.wait_until_settled()).await;
                    waited.map_err(|error| supervisor("wait for")(error.into()))??;
                }
                settled => return Ok(settled),
            }
        }
    }

    /// The machine `name` if it runs.
    pub fn find(name: &MachineName) -> Result<Option<Self>, MachineError> {
        match Self::status(name)? {
            Status::Running(machine) => Ok(Some(*machine)),
            Status::Changing | Status::Stopped { .. } => Ok(None),
        }
    }

    /// Starts a machine and waits until it takes requests, unless one of its name runs.
    ///
    /// Until then, dropping the future or ending this process ends the machine; from then on it lives until it is stopped.
    pub async fn start(
        options: Options,
        programs: &Programs,
        mut progress: impl FnMut(Progress),
    ) -> Result<Started, MachineError> {
        if let Status::Running(machine) = Self::settled(&options.name).await? {
            return Ok(Started::Existing(*machine));
        }
        check_shares(&options)?;
        progress(Progress::PreparingParts);
        let (init, data_disk) = (programs.init.clone(), options.data_disk.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            data_disk.as_ref().map_or(Ok(()), disk::create)?;
            Ok::<_, MachineError>(parts::prepare(&init)?)
        });
        let files = prepared.await.map_err(|error| supervisor("prepare")(error.into()))??;
        progress(Progress::Booting);
        let name = options.name.clone();
        let mut starting = Starting::begin(programs, &Assignment { options, files }).await?;
        loop {
            match starting.hear().await? {
                Announcement::Stage { name } => progress(Progress::Stage(name)),
                Announcement::Ready(record) => {
                    starting.keep().await?;
                    return Self::started(name, *record);
                }
                // Between the look at the lock and the supervisor's, somebody else was quicker.
                Announcement::Exists {} => return Self::started_by_another(name).await,
                Announcement::Failed { reason } => return Err(MachineError::Start { reason }),
            }
        }
    }

    fn started(name: MachineName, record: Record) -> Result<Started, MachineError> {
        let state = StateDirectory::of(&name);
        match state.read_token()? {
            Some(token) => Ok(Started::New(Self::new(record, token, state))),
            // Whoever was quick enough to stop it already.
            None => Err(MachineError::Changing { name }),
        }
    }

    async fn started_by_another(name: MachineName) -> Result<Started, MachineError> {
        match Self::settled(&name).await? {
            Status::Running(machine) => Ok(Started::Existing(*machine)),
            Status::Changing | Status::Stopped { .. } => Err(MachineError::Changing { name }),
        }
    }

    fn new(record: Record, token: Token, state: StateDirectory) -> Self {
        let relay = Relay {
            port: record.relay_port,
            token,
        };
        Self { record, relay, state }
    }

    /// What is known of it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The file that its console's output goes to.
    pub fn console(&self) -> PathBuf {
        self.record
            .options
            .console
            .clone()
            .unwrap_or_else(|| self.state.console())
    }

    /// Starts a program in it, as root.
    pub async fn exec(&self, request: ExecRequest) -> Result<Execution, RelayError> {
        self.relay.exec(request).await
    }

    /// Connects to a unix socket in it; what comes back carries the socket's bytes.
    pub async fn connect(&self, path: &Path) -> Result<TcpStream, RelayError> {
        self.relay.connect(path).await
    }

    /// Switches it off, by force if it does not do so itself, and waits until nothing of it is left.
    pub async fn stop(self) -> Result<(), MachineError> {
        // A machine that does not answer is killed below.
        let asked = tokio::time::timeout(ANSWER_TIME, self.relay.shutdown()).await;
        let time = if matches!(asked, Ok(Ok(()))) {
            SHUTDOWN_TIME
        } else {
            Duration::ZERO
        };
        let waited = tokio::task::spawn_blocking(move || self.wait_or_kill(time)).await;
        waited.map_err(|error| MachineError::Stop(error.into()))?
    }

    fn wait_or_kill(&self, time: Duration) -> Result<(), MachineError> {
        // Opened while the supervisor holds the lock, so that the numbers are theirs; none is there any more if it has just let go.
        let processes = [self.record.supervisor_pid, self.record.qemu_pid].map(open_process);
        let locked = self.state.is_locked()?;
        let [Some(supervisor), qemu] = processes else {
            return Ok(());
        };
        if !locked || wait_process(&supervisor, Some(time)).map_err(MachineError::Stop)? {
            return Ok(());
        }
        // QEMU and the virtiofsds die with the supervisor.
        let _ = pidfd_send_signal(&supervisor, Signal::KILL);
        for process in std::iter::once(&supervisor).chain(&qemu) {
            wait_process(process, None).map_err(MachineError::Stop)?;
        }
        if let Some(lock) = self.state.lock()? {
            self.state.remove(lock, false)?;
        }
        Ok(())
    }
}

fn open_process(number: u32) -> Option<std::os::fd::OwnedFd> {
    let number = i32::try_from(number).ok()?;
    pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()
}

/// Waits for a process's end; says whether it has come within the time.
fn wait_process(process: &std::os::fd::OwnedFd, time: Option<Duration>) -> io::Result<bool> {
    let timeout = time
        .map(|time| Timespec::try_from(time).map_err(io::Error::other))
        .transpose()?;
    Ok(poll(&mut [PollFd::new(process, PollFlags::IN)], timeout.as_ref())? > 0)
}

/// A supervisor that has not made a machine yet; dropping it ends it, since its standard input closes.
struct Starting {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Starting {
    async fn begin(programs: &Programs, assignment: &Assignment) -> Result<Self, MachineError> {
        let mut child = Command::new(&programs.supervisor)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It outlives this process and whoever reads this process's errors.
            .stderr(Stdio::null())
            .spawn()
            .map_err(supervisor("start"))?;
        let broken = || supervisor("reach")(io::ErrorKind::BrokenPipe.into());
        let (mut input, output) = (
            child.stdin.take().ok_or_else(broken)?,
            child.stdout.take().ok_or_else(broken)?,
        );
        let mut line = serde_json::to_vec(assignment).map_err(|error| supervisor("instruct")(error.into()))?;
        line.push(b'\n');
        input.write_all(&line).await.map_err(supervisor("instruct"))?;
        Ok(Self {
            input,
            output: BufReader::new(output).lines(),
        })
    }

    async fn hear(&mut self) -> Result<Announcement, MachineError> {
        let line = self.output.next_line().await.map_err(supervisor("hear from"))?;
        let line = line.ok_or_else(|| supervisor("hear from")(io::ErrorKind::UnexpectedEof.into()))?;
        serde_json::from_str(&line).map_err(|error| supervisor("understand")(error.into()))
    }

    async fn keep(mut self) -> Result<(), MachineError> {
        self.input
            .write_all(format!("{KEEP}\n").as_bytes())
            .await
            .map_err(supervisor("instruct"))
    }
}

fn check_shares(options: &Options) -> Result<(), MachineError> {
    match options
        .shares
        .iter()
        .find(|share| !share.is_absolute() || !share.is_dir())
    {
        Some(share) => Err(MachineError::Share { path: share.clone() }),
        None => Ok(()),
    }
}
