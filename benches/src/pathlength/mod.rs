//! How many instructions lie between "run this" and the container's first instruction: mote's ways to start, and peers beside them.
//!
//! [`subject`] says what a start is; [`tasks`] and [`vmm`] are mote's, [`containers`], [`firecracker`] and [`microsandbox`] the peers'. [`judge`]
//! compares them.

mod containers;
mod firecracker;
mod judge;
mod microsandbox;
mod subject;
mod tasks;
mod vmm;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use api::task::Origin;

use crate::host::{Host, Installation, NO_TEMPLATE, Scratch};
use crate::report::Outcome;
use crate::unit::Unit;
use crate::warm;
use subject::{Point, Series, Subject};

/// What the benchmark takes from outside.
pub struct Options {
    /// Runs that count.
    pub runs: u32,
    /// Part of the names of the subjects that are measured; all where absent.
    pub only: Option<String>,
    /// Firecracker's program, where there is one.
    pub firecracker: Option<PathBuf>,
    /// The initramfs for Firecracker's guest.
    pub firecracker_initramfs: Option<PathBuf>,
    /// The directory of microsandbox's files, where there is one.
    pub microsandbox: Option<PathBuf>,
}

/// The pool of the host agent that has one.
const POOL: &[&str] = &["--pool", "2"];

/// Runs before the first that counts: caches fill.
const WARM_UP_RUNS: u32 = 3;

/// Before each run: what the kernel takes down behind the one before is none of its business.
const SETTLING: Duration = Duration::from_millis(300);

/// Measures everything that there is.
pub fn measure(options: &Options, unit: Unit) -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let programs = ["mote", "mote-agent", "mote-vmm", "mote-bench-marker"].map(|name| installation.program(name));
    let files = ["vmlinux", "initramfs.cpio"].map(|name| installation.share(name));
    warm::keep_in_memory(programs.iter().chain(&files).map(PathBuf::as_path))?;

    let mut series = Vec::new();
    let templates = vmm::Templates::new()?;
    let agents: [(&str, &[&str], Origin); 3] = [
        (
            judge::CLONE,
            &["--pool", "0", "--templates", templates.path()],
            Origin::Clone,
        ),
        (judge::POOL, POOL, Origin::Pool),
        (judge::BOOT, NO_TEMPLATE, Origin::Boot),
    ];
    for (name, agent, origin) in agents {
        let measures_vmm =
            origin == Origin::Clone && (options.wants(judge::VMM_CLONE) || options.wants(judge::VMM_BOOT));
        let alone = match origin {
            Origin::Clone => Some(judge::CLONE_ALONE),
            Origin::Pool => Some(judge::POOL_ALONE),
            _ => None,
        };
        let alone = alone.filter(|alone| options.wants(alone));
        if !options.wants(name) && !measures_vmm && alone.is_none() {
            continue;
        }
        let host = Host::start(&installation, agent)?;
        if origin != Origin::Boot {
            host.prepare()?;
        }
        // In any case: the first clones of a template teach what the next ones do better.
        let tasks = runs(&mut tasks::Tasks::new(name, &host, origin), options.runs)?;
        series.extend(options.wants(name).then_some(tasks));
        if let Some(alone) = alone {
            let mut tasks = tasks::Tasks::new(name, &host, origin).without_network(alone);
            series.push(runs(&mut tasks, options.runs)?);
        }
        if measures_vmm {
            for mut vmm in vmm::subjects(&installation, &templates)? {
                series.push(runs(&mut vmm, options.runs)?);
            }
        }
    }
    let scratch = Scratch::new("peers")?;
    let mut notes = Vec::new();
    let mut peers = peers(options, &installation, scratch.path(), &mut notes)?;
    for peer in peers.iter_mut().filter(|peer| options.wants(peer.name())) {
        series.push(runs(peer.as_mut(), options.runs)?);
    }
    Ok(judge::outcome(&series, unit, notes))
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}

/// Every peer that is there, ready to be run; `notes` say which are not.
fn peers(
    options: &Options,
    installation: &Installation,
    directory: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<Box<dyn Subject>>> {
    let mut peers: Vec<Box<dyn Subject>> = Vec::new();
    if containers::names().any(|name| options.wants(name)) {
        peers.extend(containers::subjects(installation, directory, notes)?);
    }
    match &options.microsandbox {
        Some(_) if !options.wants(microsandbox::NAME) => {}
        Some(files) => peers.push(Box::new(microsandbox::Microsandbox::prepare(
            files,
            &installation.archive,
            directory,
        )?)),
        None => notes.push("microsandbox is left out: its files are not there".into()),
    }
    match (&options.firecracker, &options.firecracker_initramfs) {
        (Some(_), _) if !options.wants(judge::FIRECRACKER_BOOT) && !options.wants(judge::FIRECRACKER_LOAD) => {}
        (Some(program), Some(initramfs)) => {
            let programs = firecracker::Programs {
                firecracker: program.clone(),
                marker: installation.program("mote-bench-marker"),
            };
            let guest = firecracker::Guest::prepare(programs, &installation.share("vmlinux"), initramfs, directory)?;
            peers.extend(guest.subjects()?);
        }
        _ => notes.push("Firecracker is left out: --firecracker PATH names it".into()),
    }
    Ok(peers)
}

/// Runs a subject so often, after some runs that do not count.
fn runs(subject: &mut dyn Subject, runs: u32) -> Result<Series> {
    let mut series = Series::new(subject.name());
    for run in 0..WARM_UP_RUNS + runs {
        sleep(SETTLING);
        let points: Vec<(Point, u64)> = subject
            .run(run)
            .with_context(|| format!("run {run} of {} failed", subject.name()))?;
        if run >= WARM_UP_RUNS {
            series.add(&points);
        }
    }
    Ok(series)
}
