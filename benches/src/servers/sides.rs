//! Who runs a server: mote as a task, podman and crun as a container. Both give it an address on a bridge that the host reaches.

use anyhow::Result;

use super::load::Server;
use crate::host::{Host, Installation, NO_POOL, image_archive};
use crate::podman::{self, Podman};

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

impl Mote {
    /// A host agent of its own.
    pub fn start(installation: &Installation) -> Result<Self> {
        let host = Host::start(installation, NO_POOL)?;
        host.prepare()?;
        Ok(Self(host))
    }
}

impl Side for Mote {
    fn name(&self) -> &'static str {
        "mote"
    }

    fn start(&self, server: &Server) -> Result<String> {
        self.0.load(&image_archive(server.image)?)?;
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
        self.0.address(NAME)
    }

    fn stop(&self) -> Result<()> {
        self.0.mote(&["rm", "--force", NAME]).map(drop)
    }
}

impl Side for Podman {
    fn name(&self) -> &'static str {
        podman::NAME
    }

    fn start(&self, server: &Server) -> Result<String> {
        Podman::start(self, NAME, &image_archive(server.image)?, server.memory_mib, &[], &[])
    }

    fn stop(&self) -> Result<()> {
        self.remove(NAME)
    }
}
