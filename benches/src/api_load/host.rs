//! A host agent whose microVMs are processes that only say that they run: what is measured is the host agent and nothing else.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::calls::Calls;

/// Where `cargo xtask bench` tells of the program.
const VARIABLE: &str = "MOTE_FAKE_HOST";

/// How long to wait between looks at what nobody tells. Nothing that is measured to the millisecond waits so.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How often to look before it is an error.
const LOOKS_MAX: u32 = 30_000;

/// A directory in which one host agent after the other runs, each with what the one before has stored.
pub struct Place {
    program: PathBuf,
    directory: PathBuf,
}

impl Place {
    /// An empty one, in `directory`.
    pub fn new(directory: &Path) -> Result<Self> {
        let program = std::env::var_os(VARIABLE).map(PathBuf::from);
        let program = program.with_context(|| format!("{VARIABLE} is not set: use `cargo xtask bench`"))?;
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for (name, content) in [("vmlinux", "kernel"), ("part", ""), ("script", &script())] {
            std::fs::write(directory.join(name), content).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(Self {
            program,
            directory: directory.to_owned(),
        })
    }

    /// One with a definition to run tasks of, and `count` tasks that ran and stopped.
    pub fn with_stopped(directory: &Path, count: u32) -> Result<Self> {
        let place = Self::new(directory)?;
        let host = place.start(None)?;
        let mut calls = host.calls()?;
        calls.register()?;
        let task = calls.run_one()?;
        host.wait_for(|| Ok(calls.status(&task)? == "RUNNING"))?;
        calls.call("StopTask", &json!({"task": task}))?;
        host.wait_for(|| Ok(calls.status(&task)? == "STOPPED"))?;
        drop(host);
        let copies = count.saturating_sub(1).to_string();
        crate::bundle::succeed(
            Command::new(&place.program)
                .arg(&place.directory)
                .args(["copy", &copies]),
        )?;
        Ok(place)
    }

    /// Starts a host agent that gives so much memory to tasks, or as much as they ask for.
    pub fn start(&self, room_mib: Option<u32>) -> Result<FakeHost> {
        let mut process = Command::new(&self.program)
            .arg(&self.directory)
            .arg("stop")
            .args(room_mib.map(|mib| mib.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let mut line = String::new();
        let stdout = process.stdout.take().context("the host agent has no standard output")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("the host agent is silent")?;
        if line.trim() != "ready" {
            bail!(
                "the host agent did not come up: {}",
                process.wait().context("cannot wait for it")?
            );
        }
        Ok(FakeHost {
            process,
            socket: self.directory.join("mote.sock"),
        })
    }
}

/// A host agent with its microVMs, ended when dropped.
pub struct FakeHost {
    process: Child,
    socket: PathBuf,
}

impl FakeHost {
    /// Its process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A client of it.
    pub fn calls(&self) -> Result<Calls> {
        Calls::open(&self.socket)
    }

    /// Looks until `is_so`.
    #[expect(clippy::unused_self, reason = "what is looked at is of a host agent that runs")]
    pub fn wait_for(&self, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        for _ in 0..LOOKS_MAX {
            if is_so()? {
                return Ok(());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        bail!("what was waited for did not come")
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        let process = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        // It stops its tasks first: nothing is left over. What it stored is there whatever the outcome.
        if let Some(process) = process {
            let _ = kill_process(process, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// What the fake VMM does, step by step: its container runs until it gets a signal, and ends well.
fn script() -> String {
    let steps = [
        json!("runnable"),
        json!("booted"),
        json!({"hello": protocol::guest::VERSION}),
        json!("expect_start"),
        json!({"prepared": 0}),
        json!({"expect_release": 0}),
        json!({"started": 0}),
        json!({"expect_signal": 15}),
        json!("close"),
        json!({"exited": {"code": 0}}),
        json!("expect_shutdown"),
        json!({"exit": 0}),
    ];
    steps.map(|step| step.to_string()).join("\n")
}
