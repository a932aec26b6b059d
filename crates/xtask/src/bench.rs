//! `cargo xtask bench NAME`: a benchmark, in a machine or, where it needs no KVM, without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::{Tree, build, target_directory};
use crate::e2e::{IMAGES, image_variables};
use crate::machine::Machine;
use crate::process::{cargo, command, output, run};

/// Where reports and plots are kept for readers, below the root of the checkout.
const KEPT_REPORT: &str = "docs/performance.md";

/// Where the plots of [`KEPT_REPORT`] are.
const KEPT_PLOTS: &str = "docs/plots";

/// The benchmark whose microVMs are fakes.
const WITH_FAKES: &str = "api-load";

/// The benchmark without microVMs.
const WITHOUT_MICROVMS: &str = "images";

/// The benchmarks whose clock counts instructions: what else the computer does then takes no CPU from a microVM.
const COUNTING: [&str; 2] = ["cpu-accuracy", "pathlength"];

/// The images of benchmarks that are not those of the tests.
const FURTHER_IMAGES: [(&str, &[&str]); 2] = [("net", &["tools"]), ("servers", &["redis", "postgres"])];

/// Which benchmark, and how.
#[derive(clap::Args)]
pub struct Bench {
    /// The benchmark: api-load, burst, coldstart, cpu-accuracy, density, grow, images, memory-exact, net, pathlength or servers
    name: String,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
    /// Count instructions instead of time; pathlength and cpu-accuracy always do
    #[arg(long)]
    icount: bool,
    /// Number of runs
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Measure what has this in its name alone: for cpu-accuracy, images and pathlength
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Clones that wait when a burst begins
    #[arg(long, default_value_t = 0)]
    pool: u32,
    /// Firecracker's program, to be measured beside mote by net and pathlength
    #[arg(long, value_name = "PATH")]
    firecracker: Option<PathBuf>,
    /// Put the figures into docs/performance.md and the plots beside it
    #[arg(long)]
    keep: bool,
}

/// Runs it and prints what it printed.
pub fn bench(root: &Path, bench: &Bench) -> Result<()> {
    let directory = root.join("target/bench");
    fs::create_dir_all(&directory).context("cannot make target/bench")?;
    match bench.name.as_str() {
        WITH_FAKES => run(&mut beside_fakes(root, bench, &directory)?)?,
        WITHOUT_MICROVMS => run(&mut without_microvms(root, bench, &directory)?)?,
        _ => in_machine(root, bench, &directory)?,
    }
    if bench.keep {
        keep(root, &bench.name, &directory)?;
    }
    Ok(())
}

fn in_machine(root: &Path, bench: &Bench, directory: &Path) -> Result<()> {
    let tree = build(root)?;
    let mut images = image_variables(root, &IMAGES)?;
    let further = FURTHER_IMAGES.iter().find(|(name, _)| *name == bench.name);
    images.extend(image_variables(root, further.map_or(&[], |(_, images)| images))?);
    let icount = bench.icount || COUNTING.contains(&bench.name.as_str());
    let machine = Machine::start(root, &tree, "bench", icount, Some(directory))?;
    let mut shell = machine.shell();
    for variable in images {
        shell.args(["--env".to_owned(), variable]);
    }
    shell.args(["--env", &format!("MOTE_PREFIX={}", tree.prefix.display())]);
    shell.arg("--").arg(tree.bin("mote-bench"));
    add_options(root, bench, directory, &mut shell)?;
    shell.args(["--runs", &bench.runs.to_string(), "--pool", &bench.pool.to_string()]);
    if icount {
        shell.arg("--icount");
    }
    if let Some(program) = &bench.firecracker {
        add_firecracker(root, &tree, program, directory, &mut shell)?;
    }
    if bench.name == "pathlength" {
        add_microsandbox(root, &mut shell)?;
    }
    run(&mut shell)
}

/// The benchmark with a host agent that has fake microVMs: built, and ready to be run here.
fn beside_fakes(root: &Path, bench: &Bench, directory: &Path) -> Result<Command> {
    let programs = [("agent", "fake-host"), ("agent", "fake-vmm"), ("benches", "mote-bench")];
    let selected = programs
        .iter()
        .flat_map(|(package, binary)| ["--package", package, "--bin", binary]);
    run(cargo(root).args(["build", "--release", "--locked"]).args(selected))?;
    let programs = target_directory(root)?.join("release");
    let mut command = command(root, programs.join("mote-bench"));
    command.env("MOTE_FAKE_HOST", programs.join("fake-host"));
    add_options(root, bench, directory, &mut command)?;
    Ok(command)
}

/// The benchmark of images: built, and ready to be run here.
fn without_microvms(root: &Path, bench: &Bench, directory: &Path) -> Result<Command> {
    let programs = ["mote-bench", "mote-bench-convert"];
    let selected = programs.iter().flat_map(|binary| ["--bin", binary]);
    run(cargo(root)
        .args(["build", "--release", "--locked", "--package", "benches"])
        .args(selected))?;
    let program = target_directory(root)?.join("release/mote-bench");
    let mut command = command(root, program);
    for variable in image_variables(root, &["python", "postgres"])? {
        let (name, value) = variable.split_once('=').context("an image variable has no value")?;
        command.env(name, value);
    }
    add_options(root, bench, directory, &mut command)?;
    Ok(command)
}

/// What every benchmark is told.
fn add_options(root: &Path, bench: &Bench, directory: &Path, to: &mut Command) -> Result<()> {
    let commit = output(command(root, "git").args(["describe", "--always", "--dirty"]))?;
    to.arg(&bench.name).args(["--commit", commit.trim()]);
    to.arg("--output").arg(directory);
    if bench.json {
        to.arg("--json");
    }
    if let Some(part) = &bench.only {
        to.arg("--only").arg(part);
    }
    Ok(())
}

/// Firecracker, and what it boots where only its start counts.
fn add_firecracker(root: &Path, tree: &Tree, program: &Path, directory: &Path, shell: &mut Command) -> Result<()> {
    let program = fs::canonicalize(program).with_context(|| format!("cannot find {}", program.display()))?;
    // The machine has a /tmp of its own.
    let (copy, initramfs) = (directory.join("firecracker"), directory.join("firecracker.cpio"));
    fs::copy(&program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
    let marker = tree.bin("mote-bench-marker");
    run(command(root, "rootfs/build-initramfs.sh").arg(marker).arg(&initramfs))?;
    shell.arg("--firecracker").arg(copy);
    shell.arg("--firecracker-initramfs").arg(initramfs);
    Ok(())
}

/// microsandbox, which is a Python package.
fn add_microsandbox(root: &Path, shell: &mut Command) -> Result<()> {
    let microsandbox = output(&mut command(root, "scripts/microsandbox.sh"));
    match microsandbox {
        Ok(files) => {
            shell.arg("--microsandbox").arg(files.trim());
        }
        // Whoever has no package index can still run the others; the report says what it lacks.
        Err(error) => eprintln!("xtask: {error:#}"),
    }
    Ok(())
}

/// Puts the report between its marks in [`KEPT_REPORT`], and its plots beside that.
fn keep(root: &Path, name: &str, directory: &Path) -> Result<()> {
    let path = root.join(KEPT_REPORT);
    let page = fs::read_to_string(&path).context("cannot read docs/performance.md")?;
    let report = directory.join(format!("{name}.md"));
    let report = fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
    let date = output(Command::new("date").arg("+%Y-%m-%d"))?;
    let page = spliced(&page, name, &format!("{}. {report}", date.trim()))?;
    fs::write(&path, page).context("cannot write docs/performance.md")?;
    let plots = root.join(KEPT_PLOTS);
    fs::create_dir_all(&plots).context("cannot make docs/plots")?;
    for entry in fs::read_dir(directory).context("cannot list target/bench")? {
        let entry = entry.context("cannot list target/bench")?;
        let file = entry.file_name();
        let is_plot = file
            .to_str()
            .is_some_and(|file| file.starts_with(name) && file.ends_with(".svg"));
        if is_plot {
            fs::copy(entry.path(), plots.join(&file))
                .with_context(|| format!("cannot keep {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// `page` with `report` between the marks of the benchmark `name`.
fn spliced(page: &str, name: &str, report: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- bench {name} -->\n"),
        format!("<!-- end of bench {name} -->\n"),
    );
    let missing = || format!("{KEPT_REPORT} has no marks for the benchmark {name}");
    let (before, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{report}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_the_place_of_its_predecessor_alone() {
        let page = "a\n<!-- bench grow -->\nold\n<!-- end of bench grow -->\nb\n<!-- bench burst -->\nkept\n<!-- end of bench burst -->\n";
        let page = spliced(page, "grow", "new").unwrap();
        assert!(
            page.contains("\nnew\n") && !page.contains("old") && page.contains("kept"),
            "{page}"
        );
        assert!(spliced(&page, "density", "new").is_err());
    }
}
