//! A program that ran to its end.

use std::fmt;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How it ended and what it said.
pub struct Ran {
    /// Its exit code; 128 and the signal where a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself, where it ended with `code`.
    ///
    /// # Panics
    /// Where it did not: a test fails with all that was said.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// The one sentence that a failure of mote's own says, where it is one: exit code 125 and a single line on standard error.
    ///
    /// # Panics
    /// Where it is not.
    #[must_use]
    #[track_caller]
    pub fn refusal(self) -> String {
        assert_eq!(self.code, 125, "{self}");
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| !line.contains("is not in the store: pulling it"))
            .collect();
        assert_eq!(lines.len(), 1, "not one sentence: {self}");
        lines[0].to_owned()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(4096)]);
        write!(
            formatter,
            "exit code {}\nstdout: {stdout}\nstderr: {}",
            self.code, self.stderr
        )
    }
}

/// Runs `command` to its end with `input` as its standard input.
///
/// # Errors
/// Where it cannot be run at all.
pub fn ran(command: &mut Command, input: &[u8]) -> Result<Ran> {
    use std::os::unix::process::ExitStatusExt;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let output = std::thread::scope(|scope| {
        // A program may end without reading: what it leaves unread is none of the test's business.
        scope.spawn(move || drop(stdin.write_all(input)));
        child
            .wait_with_output()
            .with_context(|| format!("cannot wait for {command:?}"))
    })?;
    let code = output
        .status
        .code()
        .or_else(|| output.status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1);
    Ok(Ran {
        code,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
