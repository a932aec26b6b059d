//! microsandbox, as its package brings it: a microVM for each container, with a kernel that boots.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::subject::{Point, Subject};
use crate::bundle::succeed;
use crate::clock::monotonic_ns;
use crate::host::IMAGE;
use crate::warm;

/// Its name in figures.
pub const NAME: &str = "microsandbox run";

/// An installation of it with the image in its store.
pub struct Microsandbox {
    program: PathBuf,
    home: PathBuf,
}

impl Microsandbox {
    /// Puts the image in `archive` into a store below `directory`; `files` has the program and its libraries.
    pub fn prepare(files: &Path, archive: &Path, directory: &Path) -> Result<Self> {
        let program = files.join("bin/msb");
        let libraries = std::fs::read_dir(files.join("lib")).context("cannot list its libraries")?;
        let libraries: Vec<PathBuf> = libraries.flatten().map(|entry| entry.path()).collect();
        let every = libraries.iter().map(PathBuf::as_path);
        warm::keep_in_memory(every.chain([program.as_path()]))?;
        let sandbox = Self {
            program,
            home: directory.join("microsandbox"),
        };
        std::fs::create_dir_all(&sandbox.home).context("cannot make its home")?;
        // It takes archives of Docker's kind.
        let tar = directory.join("image.tar");
        let from = format!("oci-archive:{}", archive.display());
        let to = format!("docker-archive:{}:{IMAGE}:latest", tar.display());
        succeed(Command::new("skopeo").args(["copy", "--quiet", &from, &to]))?;
        succeed(sandbox.command().args(["load", "--quiet", "--input"]).arg(&tar))?;
        Ok(sandbox)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("HOME", &self.home).env("MSB_HOME", self.home.join("msb"));
        command
    }
}

impl Subject for Microsandbox {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, _: u32) -> Result<Vec<(Point, u64)>> {
        let mut command = self.command();
        command.args([
            "run", "--quiet", "--no-net", "--pull", "never", "--cpus", "1", "--memory", "64M",
        ]);
        command
            .args([IMAGE, "--", "echo", "hello"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let begun = monotonic_ns();
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut stdout = child.stdout.take().context("there is no standard output")?;
        let mut byte = [0];
        let read = stdout.read(&mut byte).context("cannot read its output")?;
        let output = monotonic_ns();
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).context("cannot read its output")?;
        let status = child.wait().context("cannot wait for it")?;
        let ended = monotonic_ns();
        if !status.success() || read == 0 {
            bail!("{command:?} failed: {status}");
        }
        // The guest's clock is another one: what was read first is the nearest to its first instruction that is seen.
        Ok(vec![
            (Point::ProcessRuns, output - begun),
            (Point::FirstOutput, output - begun),
            (Point::Ended, ended - begun),
        ])
    }
}
