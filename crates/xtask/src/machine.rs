//! Machines that end-to-end tests and benchmarks run in.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build::Tree;
use crate::process::{command, run};

/// A machine that is stopped when it is no longer needed.
pub struct Machine<'a> {
    root: &'a Path,
    tree: &'a Tree,
    name: String,
}

impl<'a> Machine<'a> {
    /// Starts a fresh machine of that name, in which the directory `output` is writable.
    pub fn start(root: &'a Path, tree: &'a Tree, name: &str, icount: bool, output: Option<&Path>) -> Result<Self> {
        let machine = Self {
            root,
            tree,
            name: name.to_owned(),
        };
        machine.stop()?;
        let mut start = command(root, tree.bin("mote"));
        start.args(["machine", "start", "--machine", name, "--ephemeral", "--memory", "6g"]);
        // A machine has a /tmp of its own.
        let shared = if root.starts_with("/tmp") { Some(root) } else { output };
        if let Some(shared) = shared {
            start.arg("--share").arg(shared);
        }
        if icount {
            start.arg("--icount");
        }
        run(&mut start)?;
        Ok(machine)
    }

    /// A command in the machine.
    pub fn shell(&self) -> Command {
        let mut shell = command(self.root, self.tree.bin("mote"));
        shell.args(["machine", "shell", "--machine", &self.name]);
        shell
    }

    fn stop(&self) -> Result<()> {
        run(command(self.root, self.tree.bin("mote")).args(["machine", "stop", "--machine", &self.name]))
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("xtask: {error:#}");
        }
    }
}
