//! `mote-bench NAME`: measures mote on the host that it runs on. `cargo xtask bench` brings it into a machine.
//!
//! A benchmark is a function that gives an [`report::Outcome`]: [`coldstart`], [`pathlength`], [`burst`], [`density`], [`grow`], [`cpu_accuracy`],
//! [`memory_exact`], [`net`], [`servers`], which drive a [`host::Host`], and [`api_load`] and [`images`], which need no KVM. What they measured becomes a
//! [`report::Report`] and [`plot`]s.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal of a developer"
)]

mod api_load;
mod burst;
mod coldstart;
mod cpu_accuracy;
mod density;
mod grow;
mod images;
mod memory_exact;
mod net;
mod pathlength;
mod servers;

mod bundle;
mod clock;
mod host;
mod http;
mod marked;
mod memory;
mod patience;
mod plot;
mod podman;
mod report;
mod sample;
mod unit;
mod warm;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use report::{Outcome, Report};
use unit::Unit;

/// What to measure, and how.
#[derive(Parser)]
struct Arguments {
    /// The benchmark: api-load, burst, coldstart, cpu-accuracy, density, grow, images, memory-exact, net, pathlength or servers
    name: String,
    /// Number of runs that count
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Measure what has this in its name alone: for cpu-accuracy, images and pathlength
    #[arg(long)]
    only: Option<String>,
    /// Clones that wait when a burst begins
    #[arg(long, default_value_t = 0)]
    pool: u32,
    /// The commit that is measured
    #[arg(long)]
    commit: String,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// The clock counts instructions, one a nanosecond
    #[arg(long)]
    icount: bool,
    /// Firecracker's program
    #[arg(long)]
    firecracker: Option<PathBuf>,
    /// The initramfs for Firecracker's guest
    #[arg(long)]
    firecracker_initramfs: Option<PathBuf>,
    /// The directory of microsandbox's program and libraries
    #[arg(long)]
    microsandbox: Option<PathBuf>,
    /// A directory for the report and the plots
    #[arg(long)]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mote-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let unit = Unit::of_clock(arguments.icount);
    let outcome = match arguments.name.as_str() {
        "api-load" => api_load::measure()?,
        "burst" => burst::measure(unit, arguments.pool)?,
        "coldstart" => coldstart::measure(arguments.runs, unit)?,
        "cpu-accuracy" => cpu_accuracy::measure(arguments.only.as_deref())?,
        "density" => density::measure()?,
        "images" => images::measure(arguments.only.as_deref())?,
        "memory-exact" => memory_exact::measure()?,
        "net" => net::measure(arguments.firecracker.as_deref(), unit)?,
        "servers" => servers::measure()?,
        "grow" => grow::measure(arguments.runs, unit)?,
        "pathlength" => {
            let options = pathlength::Options {
                runs: arguments.runs,
                only: arguments.only,
                firecracker: arguments.firecracker,
                firecracker_initramfs: arguments.firecracker_initramfs,
                microsandbox: arguments.microsandbox,
            };
            pathlength::measure(&options, unit)?
        }
        other => {
            bail!(
                "there is no benchmark {other}; there are: api-load, burst, coldstart, cpu-accuracy, density, grow, images, memory-exact, net, pathlength, servers"
            )
        }
    };
    let Outcome { results, notes, plots } = outcome;
    let report = Report {
        bench: arguments.name,
        commit: arguments.commit,
        host: report::host(arguments.icount),
        results,
        notes,
    };
    if let Some(directory) = &arguments.output {
        write(directory, &report, &plots)?;
    }
    println!("{}", if arguments.json { report.json()? } else { report.table() });
    Ok(())
}

/// Writes the report, as JSON and as Markdown, and the plots.
fn write(directory: &Path, report: &Report, plots: &[(String, String)]) -> Result<()> {
    let name = &report.bench;
    let files = [
        (format!("{name}.json"), report.json()?),
        (format!("{name}.md"), report.markdown(plots)),
    ];
    for (file, text) in files.iter().chain(plots) {
        let path = directory.join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
