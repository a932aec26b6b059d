//! `cargo xtask bench NAME`: a benchmark, in a machine.

use std::path::Path;

use anyhow::Result;

use crate::build::build;
use crate::e2e::{Machine, image_variables};
use crate::process::{output, run};

/// Which benchmark, and how.
#[derive(clap::Args)]
pub struct Bench {
    /// The benchmark: coldstart
    name: String,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
    /// Count instructions instead of time
    #[arg(long)]
    icount: bool,
    /// Number of runs
    #[arg(long, default_value_t = 10)]
    runs: u32,
}

/// Runs it and prints what it printed.
pub fn bench(root: &Path, bench: &Bench) -> Result<()> {
    let tree = build(root)?;
    let images = image_variables(root)?;
    let commit = output(
        std::process::Command::new("git")
            .args(["describe", "--always", "--dirty"])
            .current_dir(root),
    )?;
    let machine = Machine::start(root, &tree, "bench", bench.icount)?;
    let mut shell = machine.shell();
    for variable in images {
        shell.args(["--env".to_owned(), variable]);
    }
    shell.args(["--env", &format!("MOTE_PREFIX={}", tree.prefix.display())]);
    shell.arg("--").arg(tree.bin("mote-bench")).arg(&bench.name);
    shell.args(["--runs", &bench.runs.to_string(), "--commit", commit.trim()]);
    if bench.json {
        shell.arg("--json");
    }
    if bench.icount {
        shell.arg("--icount");
    }
    run(&mut shell)
}
