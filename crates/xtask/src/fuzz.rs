//! `cargo xtask fuzz`: feeds each parser of hostile bytes with what libFuzzer finds, on the stable toolchain.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, command, output, run};

/// Coverage counters and traced comparisons, as libFuzzer reads them.
const FLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Seconds after which one input counts as a hang.
const HANG_SECONDS: u32 = 30;

/// Which target, and for how long.
#[derive(clap::Args)]
pub struct Fuzz {
    /// The target, as in fuzz/fuzz_targets; all of them where absent
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Builds and runs the targets, each on its seeds and on what it found before. What is found stays in `fuzz/target`.
pub fn fuzz(root: &Path, fuzz: &Fuzz) -> Result<()> {
    let mut targets = targets(root)?;
    if let Some(wanted) = &fuzz.target {
        targets.retain(|target| target == wanted);
        if targets.is_empty() {
            bail!("there is no fuzz/fuzz_targets/{wanted}.rs");
        }
    }
    let binaries = build(root, fuzz.target.as_deref())?;
    let mut failed = Vec::new();
    for target in targets {
        if !run_target(root, &binaries, &target, fuzz.seconds)? {
            failed.push(target);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("fuzz targets failed: {}", failed.join(", "))
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

/// Builds the targets, or one of them; answers the folder that they are in.
fn build(root: &Path, target: Option<&str>) -> Result<PathBuf> {
    let host = output(command(root, "rustc").args(["--print", "host-tuple"]))?;
    let (host, folder) = (host.trim(), root.join("fuzz/target"));
    let mut build = cargo(root);
    build.args(["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target of its own named, the flags are not for build scripts and macros, which libFuzzer is not linked to.
    build.args(["--target", host, "--target-dir"]).arg(&folder);
    match target {
        Some(target) => build.args(["--bin", target]),
        None => build.arg("--bins"),
    };
    run(build.env("RUSTFLAGS", FLAGS))?;
    Ok(folder.join(host).join("release"))
}

/// Runs one target and prints a line; answers whether nothing bad was found.
fn run_target(root: &Path, binaries: &Path, target: &str, seconds: u32) -> Result<bool> {
    let made = root.join("fuzz/target/found").join(target);
    let (inputs, failures, log) = (made.join("inputs"), made.join("failures"), made.join("log"));
    for folder in [&inputs, &failures] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let stderr = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let status = command(root, binaries.join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", failures.display()))
        // New inputs go to the first folder; the seeds are only read.
        .args([inputs, root.join("fuzz/corpus").join(target)])
        .stderr(stderr)
        .status()
        .with_context(|| format!("cannot run the fuzz target {target}"))?;
    let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    match text.lines().rev().find_map(summary).filter(|_| status.success()) {
        Some(Summary { runs, edges }) => println!("{target}: {runs} runs, {edges} edges, no failure"),
        None => {
            let input = text.lines().find_map(failing_input).unwrap_or("none");
            println!("{target}: FAILED, input {input}, log {}", log.display());
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
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

/// Reads where libFuzzer has put an input that made the target fail.
fn failing_input(line: &str) -> Option<&str> {
    Some(line.split_once("Test unit written to ")?.1)
}

#[cfg(test)]
mod tests {
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
    fn the_failing_input_is_named() {
        let line = "artifact_prefix='/f/'; Test unit written to /f/crash-da39";
        assert_eq!(failing_input(line), Some("/f/crash-da39"));
    }
}
