//! `cargo xtask test`, behind `make test`: every test and every check.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::build::build;
use crate::e2e::{E2e, Tally, e2e};
use crate::fuzz::{Fuzz, SECONDS, fuzz};
use crate::process::{cargo, run};

/// Runs everything; the last line counts all tests in the way of `N passed, N failed`.
pub fn test(root: &Path) -> Result<()> {
    run(cargo(root).args(["fmt", "--all", "--check"]))?;
    run(cargo(root).args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    // Some tests run programs of ours; nothing is compiled while tests are timed for hanging.
    build(root)?;
    let unit = unit_tests(root)?;
    let end_to_end = e2e(root, &E2e::all())?;
    // Last, since it finds what nobody looked for: what the others find comes first.
    fuzz(root, &Fuzz::all(fuzz_seconds()))?;
    println!(
        "{} passed, {} failed",
        unit.passed + end_to_end.passed,
        unit.failed + end_to_end.failed
    );
    Ok(())
}

/// How long each fuzz target runs: long enough to find something new in CI, elsewhere to try what was found before.
fn fuzz_seconds() -> u32 {
    if std::env::var_os("CI").is_some() { SECONDS } else { 2 }
}

/// The tests that need no machine.
fn unit_tests(root: &Path) -> Result<Tally> {
    let arguments = [
        "nextest",
        "run",
        "--locked",
        "--workspace",
        "--no-fail-fast",
        "-E",
        "not binary(e2e)",
    ];
    let output = cargo(root).args(arguments).stderr(std::process::Stdio::piped()).spawn();
    let mut child = output.context("cannot run cargo nextest")?;
    let mut tally = None;
    if let Some(stderr) = child.stderr.take() {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stderr)) {
            let line = line.context("cannot read the output of cargo nextest")?;
            eprintln!("{line}");
            tally = summary(&line).or(tally);
        }
    }
    let status = child.wait().context("cannot wait for cargo nextest")?;
    let tally = tally.context("cargo nextest did not come to its summary")?;
    if !status.success() {
        bail!("{} tests failed", tally.failed);
    }
    Ok(tally)
}

/// Reads nextest's last line: `Summary [ 1.2s] 7 tests run: 6 passed, 1 failed, 0 skipped`.
fn summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.trim_start().strip_prefix("Summary ")?.split_once("run: ")?;
    let count = |word: &str| {
        counts.split(", ").find_map(|part| {
            let (number, rest) = part.trim().split_once(' ')?;
            rest.starts_with(word).then(|| number.parse().ok())?
        })
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed").unwrap_or(0) + count("timed out").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_nextest_is_read() {
        let check = |line, passed, failed| assert_eq!(summary(line), Some(Tally { passed, failed }));
        check("     Summary [   0.033s] 7 tests run: 7 passed, 0 skipped", 7, 0);
        check(
            "     Summary [   0.033s] 7 tests run: 4 passed (1 slow), 2 failed, 1 timed out, 0 skipped",
            4,
            3,
        );
        assert_eq!(summary("    Starting 7 tests across 1 binary"), None);
    }
}
