//! Containers without a microVM: crun, runc and gVisor's runsc on the same image; and, as the floor, no container at all.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::judge;
use super::subject::{Point, Subject};
use crate::bundle::Bundle;
use crate::clock::monotonic_ns;
use crate::host::Installation;
use crate::warm;

/// Programs that run a bundle: the name in figures, the program, its options before `run`, and whether the container sees the host's clock.
const RUNTIMES: &[(&str, &str, &[&str], bool)] = &[
    (judge::CRUN, "crun", &[], true),
    ("runc run", "runc", &[], true),
    ("runsc run", "runsc", &["--network=none"], false),
];

/// Something that runs the marker, and by that tells when its first instruction was.
struct Marked {
    name: &'static str,
    command: Box<dyn Fn(u32) -> Command>,
    has_hosts_clock: bool,
}

/// What the subjects are called.
pub fn names() -> impl Iterator<Item = &'static str> {
    let runtimes = RUNTIMES.iter().map(|(name, ..)| *name);
    std::iter::once(judge::FLOOR).chain(runtimes)
}

/// The floor, and every runtime that is installed; `notes` say which are not.
pub fn subjects(
    installation: &Installation,
    directory: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<Box<dyn Subject>>> {
    let marker = installation.program("mote-bench-marker");
    let bundle = Bundle::prepare(&installation.archive, directory, &["/mote-bench-marker"])?;
    bundle.add(&marker)?;
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Marked {
        name: judge::FLOOR,
        command: Box::new(move |_| Command::new(&marker)),
        has_hosts_clock: true,
    })];
    for &(name, program, options, has_hosts_clock) in RUNTIMES {
        let Some(program) = warm::find(program) else {
            notes.push(format!("{name} is left out: {program} is not installed"));
            continue;
        };
        warm::keep_in_memory([program.as_path()])?;
        let bundle = bundle.path().to_owned();
        subjects.push(Box::new(Marked {
            name,
            command: Box::new(move |run| {
                let mut command = Command::new(&program);
                command.args(options).args(["run", "--bundle"]).arg(&bundle);
                command.arg(format!("{}-{run}", name.replace(' ', "-")));
                command
            }),
            has_hosts_clock,
        }));
    }
    Ok(subjects)
}

impl Subject for Marked {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>> {
        let mut command = (self.command)(run);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let begun = monotonic_ns();
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("there is no standard output")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("cannot read its output")?;
        let output = monotonic_ns();
        let status = child.wait().context("cannot wait for it")?;
        let ended = monotonic_ns();
        if !status.success() {
            bail!("{command:?} failed: {status}");
        }
        let marked: u64 = line
            .trim()
            .parse()
            .with_context(|| format!("the marker said {line:?}"))?;
        let first = if self.has_hosts_clock { marked } else { output };
        let since = |at: u64| at.saturating_sub(begun);
        Ok(vec![
            (Point::ProcessRuns, since(first)),
            (Point::FirstOutput, since(output)),
            (Point::Ended, since(ended)),
        ])
    }
}
