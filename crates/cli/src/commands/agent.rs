//! `mote agent`: the host agent, by its own executable beside this one.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use super::install;
use crate::args::{Agent, AgentVerb};
use crate::host;

/// Becomes the host agent, starts one in the background, or has systemd do so.
pub fn agent(arguments: Agent) -> Result<u8> {
    if let Some(AgentVerb::Install(arguments)) = arguments.verb {
        return install::install(&arguments);
    }
    let executable = host::agent_executable()?;
    if arguments.detach {
        host::start_agent(&executable, &arguments.options)?;
        return Ok(0);
    }
    let error = Command::new(&executable).args(&arguments.options).exec();
    Err(error).with_context(|| format!("cannot execute {}", executable.display()))
}
