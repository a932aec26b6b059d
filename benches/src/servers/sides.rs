//! Who runs a server: mote as a task, podman and crun as a container. Both give it an address on a bridge that the host reaches.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::load::Server;
use crate::bundle::succeed;
use crate::host::{Host, Installation, NO_POOL, Scratch};
use crate::warm;

/// The name of every server while it runs.
const NAME: &str = "server";

/// Runs servers, one at a time.
pub trait Side {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Starts a server; its address.
    fn start(&self, server: &Server) -> Result<String>;

    /// Ends the one that was started last.
    fn stop(&self) -> Result<()>;
}

/// mote.
pub struct Mote(Host);

/// podman, with crun.
pub struct Podman {
    program: PathBuf,
    storage: Scratch,
}

impl Mote {
    /// A host agent of its own.
    pub fn start(installation: &Installation) -> Result<Self> {
        let host = Host::start(installation, NO_POOL)?;
        host.prepare()?;
        Ok(Self(host))
    }
}

impl Podman {
    /// What it is called.
    pub const NAME: &'static str = "podman and crun";

    /// A storage of its own, if podman is installed.
    pub fn find() -> Result<Option<Self>> {
        let Some(program) = warm::find("podman") else {
            return Ok(None);
        };
        Ok(Some(Self {
            program,
            storage: Scratch::new("podman")?,
        }))
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

impl Side for Mote {
    fn name(&self) -> &'static str {
        "mote"
    }

    fn start(&self, server: &Server) -> Result<String> {
        self.0.mote(&["load", "--quiet", &archive(server)?.to_string_lossy()])?;
        let memory = server.memory_mib.to_string();
        self.0.mote(&[
            "run",
            "--detach",
            "--name",
            NAME,
            "--cpu",
            "1",
            "--memory",
            &memory,
            server.image,
        ])?;
        let task = self.0.wait(self.0.client().task(NAME)).context("the task is gone")?;
        let network = task.network.context("the task has no network")?;
        Ok(network.address.to_string())
    }

    fn stop(&self) -> Result<()> {
        self.0.mote(&["rm", "--force", NAME]).map(drop)
    }
}

impl Side for Podman {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn start(&self, server: &Server) -> Result<String> {
        let from = format!("oci-archive:{}", archive(server)?.display());
        let image = said(self.command().args(["pull", "--quiet"]).arg(from))?;
        let memory = format!("{}m", server.memory_mib);
        let options = ["run", "--detach", "--name", NAME, "--network", "podman", "--cpus", "1"];
        let mut run = self.command();
        run.args(options)
            .args(["--memory", &memory, "--memory-swap", &memory])
            .arg(image.trim());
        let _ = said(&mut run)?;
        let address = said(
            self.command()
                .args(["inspect", "--format", "{{.NetworkSettings.IPAddress}}", NAME]),
        )?;
        Ok(address.trim().to_owned())
    }

    fn stop(&self) -> Result<()> {
        succeed(self.command().args(["rm", "--force", "--time", "0", NAME]))
    }
}

/// The archive of a server's image, as `cargo xtask bench` tells it.
fn archive(server: &Server) -> Result<PathBuf> {
    let variable = format!("MOTE_IMAGE_{}", server.image.to_uppercase());
    let path =
        std::env::var_os(&variable).with_context(|| format!("{variable} is not set: use `cargo xtask bench`"))?;
    Ok(Path::new(&path).to_owned())
}

/// What a command that succeeds prints.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} prints something else than text"))
}
