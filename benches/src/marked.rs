//! A program that tells when it is executed: the marker does, in its place, and becomes it.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};

/// The longest line of the marker, in bytes: twenty digits and the line's end.
const LINE_LEN_MAX: usize = 21;

/// A program that runs, killed when dropped.
pub struct Marked {
    /// Its process.
    pub child: Child,
    /// What it prints, from its own first byte on.
    pub stdout: ChildStdout,
    /// When it was executed, on `CLOCK_MONOTONIC` in nanoseconds: without the fork before.
    pub begun: u64,
}

impl Marked {
    /// Starts `program` by way of the program `marker`. What it complains about is nobody's business.
    pub fn start(marker: &Path, program: &Path, arguments: &[&OsStr]) -> Result<Self> {
        Self::follow(Command::new(marker).arg(program).args(arguments))
    }

    /// The same for one that is born under the list of system calls in the file `list`.
    pub fn start_listed(marker: &Path, list: &Path, program: &Path, arguments: &[&OsStr]) -> Result<Self> {
        let mut command = Command::new(marker);
        Self::follow(command.arg("--list").arg(list).arg(program).args(arguments))
    }

    fn follow(command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut stdout = child.stdout.take().context("there is no standard output")?;
        // One write of the marker's, so one read: looking at each byte would be counted.
        let mut line = [0; LINE_LEN_MAX];
        let len = stdout.read(&mut line).context("the marker cannot be heard")?;
        let text = String::from_utf8_lossy(&line[..len]);
        let begun = text
            .trim()
            .parse()
            .with_context(|| format!("the marker said {text:?}"))?;
        Ok(Self { child, stdout, begun })
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
