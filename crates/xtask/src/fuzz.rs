//! `cargo xtask fuzz`: feeds each parser of hostile bytes with what libFuzzer finds, on the stable toolchain.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use crate::e2e::cores;
use crate::process::{cargo, command, output, run};

/// Coverage counters and traced comparisons, as libFuzzer reads them.
const FLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Seconds after which one input counts as a hang.
const HANG_SECONDS: u32 = 30;

/// How much of a failed target's log is shown.
const LAST_LINES: usize = 30;

/// Which target, and for how long.
#[derive(clap::Args)]
pub struct Fuzz {
    /// The target, as in fuzz/fuzz_targets; all of them where absent
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

/// How long a target runs in CI, and where nothing else is said.
pub const SECONDS: u32 = 60;

impl Fuzz {
    /// All targets, for so many seconds each.
    pub fn all(seconds: u32) -> Self {
        Self {
            target: None,
            seconds,
            json: false,
        }
    }
}

/// Builds and runs the targets, each on its seeds and on what it found before, as many at a time as the computer has cores for. Inputs that reach something
/// new stay in the cache, whatever is built anew; those that fail, and the logs, in cargo's target directory.
pub fn fuzz(root: &Path, fuzz: &Fuzz) -> Result<()> {
    let mut targets = targets(root)?;
    if let Some(wanted) = &fuzz.target {
        targets.retain(|target| target == wanted);
        if targets.is_empty() {
            bail!("there is no fuzz/fuzz_targets/{wanted}.rs");
        }
    }
    let folder = folder(root);
    let suite = Suite {
        root,
        binaries: build(root, &folder, fuzz.target.as_deref())?,
        failed: folder.join("failed"),
        found: cache().join("fuzz"),
        seconds: fuzz.seconds,
    };
    let ran = suite.run_all(targets)?;
    if fuzz.json {
        println!("{}", serde_json::to_string_pretty(&ran)?);
    } else {
        ran.iter().for_each(|ran| println!("{ran}"));
        println!("{}", total(&ran));
    }
    let failed: Vec<_> = ran.iter().filter(|ran| ran.failure.is_some()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|ran| ran.target.as_str()).collect();
    bail!("fuzz targets failed: {}", names.join(", "))
}

/// Where all that belongs to fuzzing is built and found: beside what cargo builds of the workspace.
fn folder(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root.join(target).join("fuzz")
}

/// What outlives builds, as the scripts have it.
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/mote");
    std::env::var_os("MOTE_CACHE").map_or_else(home, PathBuf::from)
}

/// The names of all targets, sorted.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths = entries
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path());
    let mut targets: Vec<_> = paths
        .filter(|path| path.extension() == Some("rs".as_ref()))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    Ok(targets)
}

/// Builds the targets, or one of them, in `folder`; answers the folder that they are in.
fn build(root: &Path, folder: &Path, target: Option<&str>) -> Result<PathBuf> {
    let host = output(command(root, "rustc").args(["--print", "host-tuple"]))?;
    let host = host.trim();
    let mut build = cargo(root);
    build.args(["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target of its own named, the flags are not for build scripts and macros, which libFuzzer is not linked to.
    build.args(["--target", host, "--target-dir"]).arg(folder);
    match target {
        Some(target) => build.args(["--bin", target]),
        None => build.arg("--bins"),
    };
    run(build.env("RUSTFLAGS", FLAGS))?;
    Ok(folder.join(host).join("release"))
}

/// What all targets have in common.
struct Suite<'a> {
    root: &'a Path,
    binaries: PathBuf,
    /// Has a folder for each target, of inputs that reach something new.
    found: PathBuf,
    /// Has a folder for each target, of inputs that fail, and its log.
    failed: PathBuf,
    seconds: u32,
}

impl Suite<'_> {
    /// Runs the targets; what came of each, in their order.
    fn run_all(&self, targets: Vec<String>) -> Result<Vec<Ran>> {
        let count = cores().min(targets.len());
        // Shared by the threads that run one target after the other each.
        let left = Mutex::new(targets.into_iter());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            std::iter::from_fn(next)
                .map(|target| self.run_target(target))
                .collect::<Vec<_>>()
        };
        let ran: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            let end = |thread: thread::ScopedJoinHandle<'_, Vec<Result<Ran>>>| {
                thread
                    .join()
                    .unwrap_or_else(|_| vec![Err(anyhow!("a thread of xtask panicked"))])
            };
            threads.into_iter().flat_map(end).collect()
        });
        let mut ran = ran.into_iter().collect::<Result<Vec<_>>>()?;
        ran.sort_by(|one, other| one.target.cmp(&other.target));
        Ok(ran)
    }

    fn run_target(&self, target: String) -> Result<Ran> {
        let (inputs, failures) = (self.found.join(&target), self.failed.join(&target));
        let log = failures.join("log");
        // libFuzzer ends the process without what Rust does at the end of one.
        let temporary = failures.join("tmp");
        for folder in [&inputs, &temporary] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let stderr = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let begin = Instant::now();
        let status = command(self.root, "env")
            // As a Rust program has it; libFuzzer's own `main` leaves it to end the process.
            .arg("--ignore-signal=PIPE")
            .arg(self.binaries.join(&target))
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-timeout={HANG_SECONDS}"))
            .arg(format!("-artifact_prefix={}/", failures.display()))
            // New inputs go to the first folder; the seeds are only read.
            .arg(inputs)
            .args(Some(self.root.join("fuzz/corpus").join(&target)).filter(|seeds| seeds.is_dir()))
            .env("TMPDIR", &temporary)
            .stderr(stderr)
            .status()
            .with_context(|| format!("cannot run the fuzz target {target}"))?;
        fs::remove_dir_all(&temporary).with_context(|| format!("cannot remove {}", temporary.display()))?;
        let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let done = text.lines().rev().find_map(summary).filter(|_| status.success());
        Ok(Ran {
            failure: done.is_none().then(|| failure(status, &text, &log)),
            summary: done.unwrap_or_default(),
            seconds: begin.elapsed().as_secs(),
            target,
        })
    }
}

/// What came of a target.
#[derive(Serialize)]
struct Ran {
    target: String,
    #[serde(flatten)]
    summary: Summary,
    seconds: u64,
    /// How it ended, where to look for what was found, and the log's last lines; absent where it did not fail.
    failure: Option<String>,
}

impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { runs, edges } = self.summary;
        let result = self
            .failure
            .as_ref()
            .map_or("ok".to_owned(), |at| format!("FAILED: {at}"));
        let (target, seconds) = (&self.target, self.seconds);
        write!(
            formatter,
            "{target:<20} {runs:>12} runs {edges:>6} edges {seconds:>5} s  {result}"
        )
    }
}

/// The last line of the table.
fn total(ran: &[Ran]) -> String {
    let runs: u64 = ran.iter().map(|ran| ran.summary.runs).sum();
    let seconds: u64 = ran.iter().map(|ran| ran.seconds).sum();
    let failed = ran.iter().filter(|ran| ran.failure.is_some()).count();
    format!("{} targets, {runs} runs in {seconds} s, {failed} failed", ran.len())
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    /// How many inputs were tried.
    runs: u64,
    /// How many edges between pieces of code they reached.
    edges: u64,
}

/// Reads libFuzzer's last status: `#8714 DONE   cov: 172 ft: 468 corp: 91/2087b lim: 122 exec/s: 4357 rss: 45Mb`.
fn summary(line: &str) -> Option<Summary> {
    let mut words = line.split_whitespace();
    let runs = words.next()?.strip_prefix('#')?.parse().ok()?;
    if words.next()? != "DONE" {
        return None;
    }
    let edges = words.skip_while(|word| *word != "cov:").nth(1)?.parse().ok()?;
    Some(Summary { runs, edges })
}

/// How a target ended that has failed, with all that is left of it where its log is not kept.
fn failure(status: ExitStatus, text: &str, log: &Path) -> String {
    let input = text.lines().find_map(failing_input).unwrap_or("none");
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n    ");
    format!("{status}, input {input}, log {}:\n    {last}", log.display())
}

/// Reads where libFuzzer has put an input that made the target fail.
fn failing_input(line: &str) -> Option<&str> {
    Some(line.split_once("Test unit written to ")?.1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_last_status_is_read() {
        let line = "#8714\tDONE   cov: 172 ft: 468 corp: 91/2087b lim: 122 exec/s: 4357 rss: 45Mb";
        let expected = Summary { runs: 8714, edges: 172 };
        assert_eq!(summary(line), Some(expected));
        assert_eq!(summary("#8192\tpulse  cov: 172 ft: 468"), None);
        assert_eq!(summary("Done 8714 runs in 2 second(s)"), None);
    }

    #[test]
    fn a_failure_shows_the_end_of_the_log() {
        let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let failure = failure(ExitStatus::from_raw(13), &text, Path::new("/f/log"));
        assert!(
            failure.starts_with("signal: 13 (SIGPIPE), input none, log /f/log:\n    line 70\n"),
            "{failure}"
        );
        assert!(failure.ends_with("    line 99"), "{failure}");
    }

    #[test]
    fn the_failing_input_is_named() {
        let line = "artifact_prefix='/f/'; Test unit written to /f/crash-da39";
        assert_eq!(failing_input(line), Some("/f/crash-da39"));
    }
}
