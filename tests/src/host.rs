//! A host agent of the test's own, with a store and a socket of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::{Ran, ran};

/// After so many seconds a container hangs, and its test fails by its exit code.
pub const HUNG_SECONDS: &str = "600";

/// A running host agent; it is ended in good order when dropped.
pub struct Host {
    // Goes first: what it has mounted lies in the directory.
    agent: Option<Process>,
    directory: Directory,
}

/// Where a host agent has everything.
enum Directory {
    /// It goes with the host agent.
    Own(TempDir),
    /// It is another process's.
    Shared(PathBuf),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Shared(path) => path,
        }
    }
}

/// A process that gets a termination signal when dropped.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.0.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("mote-agent has no process id")?;
        kill_process(pid, signal).context("cannot signal mote-agent")
    }

    fn wait(&mut self) -> Result<Option<i32>> {
        Ok(self.0.wait().context("cannot wait for mote-agent")?.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended where a test ended it; one that failed must not leave it behind.
        if self.0.try_wait().is_ok_and(|status| status.is_none()) && self.signal(Signal::TERM).is_ok() {
            let _ = self.wait();
        }
    }
}

/// Where the installation under test is.
///
/// # Errors
/// Where the tests do not run by `cargo xtask e2e`.
pub fn prefix() -> Result<PathBuf> {
    std::env::var_os("MOTE_PREFIX")
        .map(PathBuf::from)
        .context("MOTE_PREFIX is not set: run `cargo xtask e2e`")
}

/// The archive of one of the test images: `busybox`, `python`, `nginx`.
///
/// # Errors
/// Where the tests do not run by `cargo xtask e2e`.
pub fn image_archive(name: &str) -> Result<PathBuf> {
    let variable = format!("MOTE_IMAGE_{}", name.to_uppercase());
    std::env::var_os(&variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set: run `cargo xtask e2e`"))
}

impl Host {
    /// Starts a host agent with further `options`.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(options: &[&str]) -> Result<Self> {
        Self::start_by(Command::new(prefix()?.join("bin/mote-agent")), options)
    }

    /// Starts a host agent by `command`, which executes what its arguments after the options' place are.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_by(command: Command, options: &[&str]) -> Result<Self> {
        let directory = TempDir::new().context("cannot make a directory for the host agent")?;
        Self::start_in(directory, command, options)
    }

    /// Starts a host agent in the directory of an earlier one, by `command`.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_in(directory: TempDir, mut command: Command, options: &[&str]) -> Result<Self> {
        let at = |name: &str| directory.path().join(name);
        command
            .arg("--socket")
            .arg(at("mote.sock"))
            .arg("--state")
            .arg(at("state"))
            .arg("--runtime")
            .arg(at("run"))
            // The machine is small.
            .args(["--memory-overcommit", "100", "--cpu-overcommit", "1000"]);
        if !options.contains(&"--on-exit") {
            // A test leaves nothing behind.
            command.args(["--on-exit", "stop"]);
        }
        let agent = command
            .args(options)
            .env("MOTE_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run mote-agent")?;
        let mut agent = Process(agent);
        let mut line = String::new();
        if let Some(stdout) = agent.0.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .context("cannot read from mote-agent")?;
        }
        if line.trim() != "ready" {
            bail!("mote-agent did not come up: {:?}", agent.wait()?);
        }
        Ok(Self {
            agent: Some(agent),
            directory: Directory::Own(directory),
        })
    }

    /// The host agent of all test processes in this machine, of which the file `told` tells: the first process starts it by `start`, and it runs on when
    /// that process has ended.
    ///
    /// # Errors
    /// Where `start` fails, or nothing can be told.
    pub fn shared(told: &Path, start: impl FnOnce() -> Result<Self>) -> Result<Self> {
        if let Ok(path) = fs::read_to_string(told) {
            return Ok(Self {
                agent: None,
                directory: Directory::Shared(path.into()),
            });
        }
        let host = start()?;
        // Whole or not at all: the path has a few bytes.
        fs::write(told, host.directory.path().as_os_str().as_encoded_bytes())
            .with_context(|| format!("cannot write {}", told.display()))?;
        Ok(host)
    }

    /// Its process and its directory, where they are this process's own.
    fn into_own(self) -> Result<(Process, TempDir)> {
        match (self.agent, self.directory) {
            (Some(agent), Directory::Own(directory)) => Ok((agent, directory)),
            _ => bail!("the host agent is everybody's"),
        }
    }

    /// The directory of the host agent's image store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("state/images")
    }

    /// The directory of what runs.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// The directory of its templates.
    #[must_use]
    pub fn templates(&self) -> PathBuf {
        self.runtime().join("templates")
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("mote.sock")
    }

    /// `mote` with these arguments, as a client of this host agent.
    ///
    /// # Panics
    /// Where the tests do not run by `cargo xtask e2e`.
    #[must_use]
    pub fn mote(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(prefix().unwrap().join("bin/mote"));
        command
            .env("MOTE_HOST", format!("unix://{}", self.socket().display()))
            .args(arguments);
        command
    }

    /// Runs `mote` to its end.
    ///
    /// # Panics
    /// Where it cannot be run.
    #[must_use]
    #[track_caller]
    pub fn ran(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.mote(arguments), b"").unwrap()
    }

    /// Runs a container of `image` with the options and the command that are given.
    ///
    /// # Panics
    /// Where `mote` cannot be run.
    #[must_use]
    #[track_caller]
    pub fn run(&self, options: &[&str], image: &str, command: &[&str]) -> Ran {
        self.ran(&[&["run", "--rm", "--timeout", HUNG_SECONDS], options, &[image], command].concat())
    }

    /// Loads one of the test images.
    ///
    /// # Errors
    /// Where there is none of that name or it cannot be loaded.
    pub fn load(&self, name: &str) -> Result<()> {
        let archive = image_archive(name)?;
        let loaded = ran(self.mote(&["load", "--quiet"]).arg(&archive), b"")?;
        if loaded.code != 0 {
            bail!("cannot load {}: {loaded}", archive.display());
        }
        Ok(())
    }

    /// Ends the host agent in good order; its exit code.
    ///
    /// # Errors
    /// Where it cannot be told or waited for.
    pub fn stop(self) -> Result<Option<i32>> {
        let (mut agent, _directory) = self.into_own()?;
        agent.signal(Signal::TERM)?;
        agent.wait()
    }

    /// Ends the host agent in good order; its directory, with all that it left to the next one.
    ///
    /// # Errors
    /// Where it cannot be told or waited for, or ends otherwise.
    pub fn leave(self) -> Result<TempDir> {
        let (mut agent, directory) = self.into_own()?;
        agent.signal(Signal::TERM)?;
        match agent.wait()? {
            Some(0) => Ok(directory),
            code => bail!("mote-agent did not end in good order: {code:?}"),
        }
    }

    /// Kills the host agent; its directory, with all that it left behind.
    ///
    /// # Errors
    /// Where it cannot be killed or waited for.
    pub fn kill(self) -> Result<TempDir> {
        let (mut agent, directory) = self.into_own()?;
        agent.signal(Signal::KILL)?;
        agent.wait()?;
        Ok(directory)
    }
}

/// Every file below `directory` with its size, sorted: what a store holds.
///
/// # Errors
/// Where it cannot be listed.
pub fn listing(directory: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry.context("cannot list a directory")?;
            let metadata = entry.metadata().context("cannot look at a file")?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                files.push((entry.path(), metadata.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}
