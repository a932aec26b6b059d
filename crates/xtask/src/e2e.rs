//! `cargo xtask e2e`: the end-to-end tests, in a machine that is booted once for all of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build::{Tree, build};
use crate::process::{cargo, command, output, run, tee};

/// The name of the machine in which tests run.
const MACHINE: &str = "e2e";

/// The images that the tests use, by the names of their recipes.
const IMAGES: [&str; 3] = ["busybox", "python", "nginx"];

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
}

/// A machine that is stopped when it is no longer needed.
pub struct Machine<'a> {
    root: &'a Path,
    tree: &'a Tree,
    name: &'static str,
}

impl<'a> Machine<'a> {
    /// Starts a fresh machine of that name, in which the directory `output` is writable.
    pub fn start(
        root: &'a Path,
        tree: &'a Tree,
        name: &'static str,
        icount: bool,
        output: Option<&Path>,
    ) -> Result<Self> {
        let machine = Self { root, tree, name };
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
    pub fn shell(&self) -> std::process::Command {
        let mut shell = command(self.root, self.tree.bin("mote"));
        shell.args(["machine", "shell", "--machine", self.name]);
        shell
    }

    fn stop(&self) -> Result<()> {
        run(command(self.root, self.tree.bin("mote")).args(["machine", "stop", "--machine", self.name]))
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("xtask: {error:#}");
        }
    }
}

/// Runs the tests whose names hold `name`.
pub fn e2e(root: &Path, name: Option<&str>, icount: bool) -> Result<Tally> {
    let tree = build(root)?;
    let binary = test_binary(root)?;
    let mut variables = image_variables(root)?;
    // The machine has no way to where they come from.
    let clients = output(&mut command(root, "scripts/clients.sh"))?;
    variables.push(format!("MOTE_CLIENTS={}", clients.trim()));
    let machine = Machine::start(root, &tree, MACHINE, icount, None)?;
    let mut test = machine.shell();
    test.args(["--env".to_owned(), format!("MOTE_PREFIX={}", tree.prefix.display())]);
    for variable in variables {
        test.args(["--env".to_owned(), variable]);
    }
    test.arg("--").arg(binary).arg("--test-threads=1").args(name);
    let mut tally = None;
    let status = tee(&mut test, |line| tally = summary(line).or(tally))?;
    let tally = tally.context("the end-to-end tests did not come to their summary")?;
    if !status.success() || tally.failed > 0 {
        bail!("{} end-to-end tests failed", tally.failed);
    }
    Ok(tally)
}

/// The images' archives, made where they are missing, as the variables by which tests find them.
pub fn image_variables(root: &Path) -> Result<Vec<String>> {
    let variable = |name: &&str| {
        let path = output(&mut command(root, format!("rootfs/images/{name}.sh")))?;
        Ok(format!("MOTE_IMAGE_{}={}", name.to_uppercase(), path.trim()))
    };
    IMAGES.iter().map(variable).collect()
}

/// Builds the tests; the path of their executable.
fn test_binary(root: &Path) -> Result<PathBuf> {
    let arguments = [
        "test",
        "--locked",
        "--package",
        "tests",
        "--test",
        "e2e",
        "--no-run",
        "--message-format",
        "json",
    ];
    let messages = output(cargo(root).args(arguments))?;
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "e2e").then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.context("cargo named no executable for the end-to-end tests")
}

/// Reads libtest's last line: `test result: ok. 3 passed; 0 failed; …`.
fn summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        counts
            .split("; ")
            .find_map(|part| part.strip_suffix(word).and_then(|number| number.trim().parse().ok()))
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_libtest_is_read() {
        let line = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.10s";
        assert_eq!(summary(line), Some(Tally { passed: 3, failed: 1 }));
        assert_eq!(summary("running 4 tests"), None);
    }
}
