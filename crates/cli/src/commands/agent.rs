//! `mote agent`: the host agent, by its own executable beside this one.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::args::Agent;
use crate::host;

/// Becomes the host agent, or starts one in the background.
pub fn agent(arguments: Agent) -> Result<u8> {
    let executable = host::agent_executable()?;
    if arguments.detach {
        host::start_agent(&executable, &arguments.options)?;
        return Ok(0);
    }
    let error = Command::new(&executable).args(&arguments.options).exec();
    Err(error).with_context(|| format!("cannot execute {}", executable.display()))
}
