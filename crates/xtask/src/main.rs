//! `cargo xtask`: builds, checks, tests and measures the project. No product code.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal of a developer"
)]

mod bench;
mod build;
mod demo;
mod e2e;
mod fuzz;
mod machine;
mod process;
mod reproduce;
mod sbom;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, checks, tests and measures mote")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the kernel, the initramfs and the binaries, and assemble them under target/mote
    Build,
    /// Build, make the busybox image and run a container of it
    Demo,
    /// Check the rules of the house
    Tidy,
    /// Run every test
    Test,
    /// Run the end-to-end tests in machines, all or those whose name holds NAME
    E2e(e2e::E2e),
    /// Run a benchmark in a machine
    Bench(bench::Bench),
    /// Feed the parsers of hostile bytes with what libFuzzer finds
    Fuzz(fuzz::Fuzz),
    /// Build the commit twice, in two places, and compare what would be installed
    Reproduce(reproduce::Reproduce),
    /// Write down what the programs are made of
    Sbom,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let root = root();
    match task {
        Task::Build => build::build(&root).map(drop),
        Task::Demo => demo::demo(&root),
        Task::Tidy => tidy::tidy(&root),
        Task::Test => test::test(&root),
        Task::E2e(e2e) => e2e::e2e(&root, &e2e).map(drop),
        Task::Bench(bench) => bench::bench(&root, &bench),
        Task::Fuzz(fuzz) => fuzz::fuzz(&root, &fuzz),
        Task::Reproduce(reproduce) => reproduce::reproduce(&root, &reproduce),
        Task::Sbom => sbom::sbom(&root),
    }
}

/// The root of the checkout, as cargo says when it starts this program: the program may have been built for another checkout that has the same
/// target directory.
fn root() -> PathBuf {
    let krate = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let krate = Path::new(&krate);
    krate.ancestors().nth(2).unwrap_or(krate).to_owned()
}
