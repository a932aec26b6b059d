//! `mote-bench NAME`: measures mote on the host that it runs on. `cargo xtask bench` brings it into a machine.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal of a developer"
)]

mod coldstart;
mod peer;
mod report;
mod sample;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;

/// What to measure, and how.
#[derive(Parser)]
struct Arguments {
    /// The benchmark: coldstart
    name: String,
    /// Number of runs that count
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// The commit that is measured
    #[arg(long)]
    commit: String,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// The clock counts instructions, one a nanosecond
    #[arg(long)]
    icount: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mote-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let unit = if arguments.icount {
        report::Unit::MegaInstructions
    } else {
        report::Unit::Milliseconds
    };
    let results = match arguments.name.as_str() {
        "coldstart" => coldstart::measure(arguments.runs, unit)?,
        other => bail!("there is no benchmark {other}; there is: coldstart"),
    };
    let report = report::Report {
        bench: arguments.name.clone(),
        commit: arguments.commit.clone(),
        host: report::host(arguments.icount),
        results,
    };
    println!("{}", if arguments.json { report.json()? } else { report.table() });
    Ok(())
}
