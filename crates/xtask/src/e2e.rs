//! `cargo xtask e2e`: the end-to-end tests, in as many machines at a time as the computer has cores for.
//!
//! A machine has one CPU (decision 8), so one alone leaves all other cores idle. The machines take tests from one queue, several at a time, and
//! fewer the fewer are left: then all of them come to their end at about the same time, however long each test takes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::build::{Tree, build};
use crate::machine::Machine;
use crate::process::{cargo, command, output, tee};

/// The images that the tests use, by the names of their recipes.
pub const IMAGES: [&str; 3] = ["busybox", "python", "nginx"];

/// The most machines at a time: each has 6 GiB of memory, of which the tests use half.
const MACHINES_MAX: usize = 4;

/// What a machine takes at a time is its share of the tests that are left, divided by this.
const SHARE_DIVISOR: usize = 4;

/// Which tests, and how.
#[derive(clap::Args)]
pub struct E2e {
    /// Part of the names
    name: Option<String>,
    /// Let the machines' clocks count instructions
    #[arg(long)]
    icount: bool,
    /// Number of machines; one for each core of this computer unless it is given
    #[arg(long, value_name = "N")]
    machines: Option<usize>,
}

impl E2e {
    /// All of them.
    pub fn all() -> Self {
        Self {
            name: None,
            icount: false,
            machines: None,
        }
    }
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
}

/// The tests that no machine has taken yet.
struct Queue {
    // Shared by the threads that have a machine each.
    left: Mutex<Vec<String>>,
    machines: usize,
}

impl Queue {
    /// The next tests for a machine; none where all are taken.
    fn take(&self) -> Vec<String> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let count = left.len().div_ceil(self.machines * SHARE_DIVISOR);
        left.drain(..count).collect()
    }
}

/// What all machines have in common.
struct Suite<'a> {
    root: &'a Path,
    tree: Tree,
    binary: PathBuf,
    variables: Vec<String>,
    icount: bool,
}

/// Runs the tests.
pub fn e2e(root: &Path, e2e: &E2e) -> Result<Tally> {
    let tree = build(root)?;
    let binary = test_binary(root)?;
    let suite = Suite {
        root,
        binary,
        variables: variables(root, &tree)?,
        tree,
        icount: e2e.icount,
    };
    let begin = Instant::now();
    let tests = tests(root, &suite.binary, e2e.name.as_deref())?;
    let machines = e2e.machines.unwrap_or_else(cores).clamp(1, MACHINES_MAX);
    // One test is no work for two.
    let machines = machines.min(tests.len().div_ceil(2));
    let queue = Queue {
        left: Mutex::new(tests),
        machines,
    };
    let ran: Vec<Result<Tally>> = thread::scope(|scope| {
        let work = |number| {
            let (suite, queue) = (&suite, &queue);
            scope.spawn(move || suite.work(number, queue))
        };
        let threads: Vec<_> = (1..=machines).map(work).collect();
        let end = |thread: thread::ScopedJoinHandle<'_, Result<Tally>>| {
            thread.join().unwrap_or_else(|_| bail!("a thread of xtask panicked"))
        };
        threads.into_iter().map(end).collect()
    });
    let mut all = Tally::default();
    for tally in ran {
        let tally = tally?;
        all.passed += tally.passed;
        all.failed += tally.failed;
    }
    let seconds = begin.elapsed().as_secs();
    println!(
        "end to end, on {machines} machines, in {seconds} s: {} passed, {} failed",
        all.passed, all.failed
    );
    if all.failed > 0 {
        bail!("{} end-to-end tests failed", all.failed);
    }
    Ok(all)
}

impl Suite<'_> {
    /// Runs tests in a machine until none is left.
    fn work(&self, number: usize, queue: &Queue) -> Result<Tally> {
        let name = format!("e2e-{number}");
        let machine = Machine::start(self.root, &self.tree, &name, self.icount, None)?;
        let mut all = Tally::default();
        loop {
            let tests = queue.take();
            if tests.is_empty() {
                return Ok(all);
            }
            let mut shell = machine.shell();
            for variable in &self.variables {
                shell.args(["--env", variable]);
            }
            shell.arg("--").arg(&self.binary);
            shell.args(["--exact", "--test-threads=1"]).args(&tests);
            let mut tally = None;
            tee(&mut shell, |line| tally = summary(line).or(tally))?;
            let tally = tally.with_context(|| format!("tests did not come to their summary: {}", tests.join(" ")))?;
            all.passed += tally.passed;
            all.failed += tally.failed;
        }
    }
}

/// The cores of this computer.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How the tests find what they use.
fn variables(root: &Path, tree: &Tree) -> Result<Vec<String>> {
    let mut variables = image_variables(root, &IMAGES)?;
    // The machine has no way to where they come from.
    let clients = output(&mut command(root, "scripts/clients.sh"))?;
    variables.push(format!("MOTE_CLIENTS={}", clients.trim()));
    variables.push(format!("MOTE_PREFIX={}", tree.prefix.display()));
    variables.extend(std::env::var(CYCLES).map(|count| format!("{CYCLES}={count}")));
    Ok(variables)
}

/// How many tasks come and go in the test that counts what is left of them.
const CYCLES: &str = "MOTE_CYCLES";

/// The images' archives, made where they are missing, as the variables by which tests find them.
pub fn image_variables(root: &Path, images: &[&str]) -> Result<Vec<String>> {
    let variable = |name: &&str| {
        let path = output(&mut command(root, format!("rootfs/images/{name}.sh")))?;
        Ok(format!("MOTE_IMAGE_{}={}", name.to_uppercase(), path.trim()))
    };
    images.iter().map(variable).collect()
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

/// The names of the tests that hold `name`.
fn tests(root: &Path, binary: &Path, name: Option<&str>) -> Result<Vec<String>> {
    let list = output(command(root, binary).args(["--list", "--format", "terse"]).args(name))?;
    let names: Vec<String> = list.lines().filter_map(listed).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("no end-to-end test has {} in its name", name.unwrap_or_default());
    }
    Ok(names)
}

/// Reads a line of libtest's list: `streams::input_is_empty_unless_asked_for: test`.
fn listed(line: &str) -> Option<&str> {
    line.strip_suffix(": test")
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

    #[test]
    fn the_list_of_libtest_is_read() {
        assert_eq!(listed("exit::success_is_zero: test"), Some("exit::success_is_zero"));
        assert_eq!(listed("3 tests, 0 benchmarks"), None);
    }

    #[test]
    fn every_test_is_taken_once_and_the_last_ones_one_by_one() {
        let names: Vec<String> = (0..132).map(|number| number.to_string()).collect();
        let queue = Queue {
            left: Mutex::new(names.clone()),
            machines: 2,
        };
        let taken: Vec<Vec<String>> = std::iter::repeat_with(|| queue.take())
            .take_while(|tests| !tests.is_empty())
            .collect();
        assert_eq!(taken.concat(), names);
        assert_eq!(taken[0].len(), 17);
        assert!(taken.iter().rev().take(8).all(|tests| tests.len() == 1));
    }
}
