//! podman with crun: containers on the same images, on a bridge of podman's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::bundle::{said, succeed};
use crate::host::Scratch;
use crate::warm;

/// What it is called in figures.
pub const NAME: &str = "podman and crun";

/// podman, with a storage of its own.
pub struct Podman {
    program: PathBuf,
    storage: Scratch,
}

impl Podman {
    /// podman, if it is installed.
    pub fn find() -> Result<Option<Self>> {
        let Some(program) = warm::find("podman") else {
            return Ok(None);
        };
        Ok(Some(Self {
            program,
            storage: Scratch::new("podman")?,
        }))
    }

    /// Starts a container of 1 CPU and so much memory, with further `options`, that runs `command`, or what the image says; its address.
    pub fn start(
        &self,
        name: &str,
        archive: &Path,
        memory_mib: u32,
        options: &[&str],
        command: &[&str],
    ) -> Result<String> {
        let from = format!("oci-archive:{}", archive.display());
        let image = said(self.command().args(["pull", "--quiet"]).arg(from))?;
        let memory = format!("{memory_mib}m");
        let mut run = self.command();
        run.args(["run", "--detach", "--name", name, "--network", "podman", "--cpus", "1"]);
        run.args(["--memory", &memory, "--memory-swap", &memory]).args(options);
        succeed(run.arg(image.trim()).args(command))?;
        let format = "{{.NetworkSettings.IPAddress}}";
        let address = said(self.command().args(["inspect", "--format", format, name]))?;
        Ok(address.trim().to_owned())
    }

    /// Ends a container and forgets it.
    pub fn remove(&self, name: &str) -> Result<()> {
        succeed(self.command().args(["rm", "--force", "--time", "0", name]))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.storage.path().join("root"));
        command.arg("--runroot").arg(self.storage.path().join("run"));
        command.args([
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
            "--runtime",
            "crun",
        ]);
        command
    }
}
