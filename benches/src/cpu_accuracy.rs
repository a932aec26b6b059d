//! Whether a container gets the CPU that was asked for: no more, no less, whatever it does and whoever runs beside it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::plot::{Axis, Curve, Curves};
use crate::report::{Figure, Outcome};
use crate::worker::{Worker, Workshop};

/// What is asked for, in thousandths of a vCPU, and for how many seconds it is looked at: many periods of `cpu.max` each.
const BUSY: [(u32, u64); 11] = [
    (1, 120),
    (2, 120),
    (5, 120),
    (10, 120),
    (20, 60),
    (50, 40),
    (100, 20),
    (250, 8),
    (500, 6),
    (1000, 4),
    (2000, 4),
];

/// The same of containers that read and write. With a whole vCPU they would wait for the disk and not for their share.
const IO: [(u32, u64); 5] = [(10, 100), (50, 30), (100, 20), (250, 8), (500, 4)];

/// The size from which on the share has to be right, in thousandths of a vCPU, and by how much it may be wrong, in per cent.
const JUDGED_FROM: u32 = 10;
const ERROR_PERCENT_MAX: f64 = 2.0;

/// The small container that has a neighbour, its window in seconds, and by how much it may change, in per cent.
const NEIGHBOURED: u32 = 50;
const NEIGHBOURED_SECONDS: u64 = 20;
const CHANGE_PERCENT_MAX: f64 = 3.0;

/// The names of what is no size.
const NEIGHBOUR: &str = "0.05 vCPU beside a busy vCPU";
const IDLE: &str = "idle container";

/// How long an idle container is looked at.
const IDLE_WINDOW: Duration = Duration::from_secs(60);

/// How long a container has had its size when it is looked at: the program is in memory, and the first period is over.
const SETTLE: Duration = Duration::from_secs(2);

/// What the worker goes on for after the window, in seconds.
const MARGIN_SECONDS: u64 = 4;

/// The memory of each, in MiB.
const MEMORY_MIB: u32 = 32;

/// What one size got.
struct Got {
    vcpu_milli: u32,
    cpus: f64,
    longest_ms: f64,
}

impl Got {
    fn asked(&self) -> f64 {
        f64::from(self.vcpu_milli) / 1000.0
    }

    /// By how much it is off, in per cent of what was asked for.
    fn error_percent(&self) -> f64 {
        100.0 * (self.cpus / self.asked() - 1.0)
    }
}

/// Measures every size that this host has the CPUs for, what a neighbour changes, and what an idle container costs; or those of these whose names hold `only`.
pub fn measure(only: Option<&str>) -> Result<Outcome> {
    let is_wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let cpus = std::thread::available_parallelism()
        .context("cannot count the CPUs")?
        .get();
    let workshop = Workshop::open()?;
    let mut outcome = Outcome::default();
    let mut curves = Vec::new();
    let mut stalls = Vec::new();
    for (work, sizes) in [("burn", BUSY.as_slice()), ("io", &IO)] {
        let mut all = Vec::new();
        for (vcpu_milli, seconds) in sizes {
            if !is_wanted(&named_size(*vcpu_milli, work)) {
                continue;
            }
            let threads = vcpu_milli.div_ceil(1000);
            if usize::try_from(threads).unwrap_or(usize::MAX) > cpus {
                outcome
                    .notes
                    .push(format!("{threads} vCPU were not measured: this host has {cpus} CPU"));
                continue;
            }
            let got = one(&workshop, work, *vcpu_milli, *seconds)?;
            outcome.results.extend(figures(work, &got));
            all.push(got);
        }
        let of = |value: fn(&Got) -> f64| all.iter().map(|got| (got.asked(), value(got))).collect();
        curves.push(curve(named(work), of(|got| got.cpus)));
        stalls.push(curve(named(work), of(|got| got.longest_ms)));
        if work == "burn" {
            curves.insert(0, curve("asked for", of(Got::asked)));
        }
    }
    if is_wanted(NEIGHBOUR) {
        outcome.results.push(neighboured(&workshop)?);
    }
    if is_wanted(IDLE) {
        outcome.results.push(idle(&workshop)?);
    }
    outcome.notes.extend([
        "got: cpu.stat of the control group that holds every thread of the VMM, by the time that passed".into(),
        "longest stall: the longest time in which the program itself saw nothing done".into(),
    ]);
    if only.is_some() {
        return Ok(outcome);
    }
    outcome.plots = vec![
        (
            "cpu-accuracy.svg".into(),
            plot("CPU that was asked for, and CPU that was had", "CPUs", curves),
        ),
        (
            "cpu-accuracy-stall.svg".into(),
            plot("The longest stall of a busy container", "ms", stalls),
        ),
    ];
    Ok(outcome)
}

fn named(work: &str) -> &'static str {
    if work == "io" { "reads and writes" } else { "computes" }
}

/// The name of a size at work: `0.05 vCPU, computes`.
fn named_size(vcpu_milli: u32, work: &str) -> String {
    format!("{} vCPU, {}", f64::from(vcpu_milli) / 1000.0, named(work))
}

/// One container of this size, at work all the time.
fn one(workshop: &Workshop, work: &str, vcpu_milli: u32, seconds: u64) -> Result<Got> {
    let mut worker = start(workshop, work, vcpu_milli, seconds)?;
    let cpus = worker.cpus_over(Duration::from_secs(seconds))?;
    let (limit, longest_us) = (worker.limit()?, longest(&mut worker)?);
    worker.stop()?;
    let got = Got {
        vcpu_milli,
        cpus,
        longest_ms: f64::from(longest_us) / 1e3,
    };
    eprintln!(
        "mote-bench: {} (cpu.max {limit}): {cpus:.5}, longest {:.1} ms",
        named_size(vcpu_milli, work),
        got.longest_ms
    );
    Ok(got)
}

/// Starts a worker that goes on for longer than `seconds`, and waits until it has settled.
fn start<'a>(workshop: &'a Workshop, work: &str, vcpu_milli: u32, seconds: u64) -> Result<Worker<'a>> {
    let (threads, lasts) = (vcpu_milli.div_ceil(1000), seconds + SETTLE.as_secs() + MARGIN_SECONDS);
    let work = [work, &threads.to_string(), &lasts.to_string()];
    let mut worker = workshop.start(&format!("{}-{vcpu_milli}", work[0]), vcpu_milli, MEMORY_MIB, &work)?;
    worker.hear("begun")?;
    std::thread::sleep(SETTLE);
    Ok(worker)
}

/// The longest stall that the worker saw, in microseconds.
fn longest(worker: &mut Worker<'_>) -> Result<u32> {
    let told = worker.hear("longest")?;
    let nanoseconds: u64 = told.parse().with_context(|| format!("the worker said {told:?}"))?;
    Ok(u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX))
}

fn figures(work: &str, got: &Got) -> [Figure; 3] {
    let name = named_size(got.vcpu_milli, work);
    let error = Figure::new(format!("{name}: error"), "%", got.error_percent().abs());
    let is_judged = got.vcpu_milli >= JUDGED_FROM;
    [
        Figure::new(format!("{name}: got"), "mCPU", got.cpus * 1000.0),
        if is_judged {
            error.at_most(ERROR_PERCENT_MAX)
        } else {
            error
        },
        Figure::new(format!("{name}: longest stall"), "ms", got.longest_ms),
    ]
}

/// What a busy vCPU beside it changes for a small container.
fn neighboured(workshop: &Workshop) -> Result<Figure> {
    let window = Duration::from_secs(NEIGHBOURED_SECONDS);
    let small = start(
        workshop,
        "burn",
        NEIGHBOURED,
        2 * NEIGHBOURED_SECONDS + SETTLE.as_secs(),
    )?;
    let alone = small.cpus_over(window)?;
    let busy = start(workshop, "burn", 1000, NEIGHBOURED_SECONDS)?;
    let beside = small.cpus_over(window)?;
    eprintln!("mote-bench: alone {alone:.5}, beside a busy one {beside:.5}");
    busy.stop()?;
    small.stop()?;
    let change = 100.0 * (beside / alone - 1.0).abs();
    Ok(Figure::new(format!("{NEIGHBOUR}: change"), "%", change).at_most(CHANGE_PERCENT_MAX))
}

/// What a container costs that does nothing.
fn idle(workshop: &Workshop) -> Result<Figure> {
    let worker = workshop.run("idle", 250, MEMORY_MIB, &["sleep", "100000"])?;
    std::thread::sleep(SETTLE);
    let cpus = worker.cpus_over(IDLE_WINDOW)?;
    worker.stop()?;
    Ok(Figure::new(IDLE, "mCPU", cpus * 1000.0))
}

fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve {
        name: name.to_owned(),
        points,
        steps: false,
    }
}

fn plot(title: &str, up: &str, curves: Vec<Curve>) -> String {
    let axis = |name: &str| Axis {
        name: name.to_owned(),
        logarithmic: true,
    };
    Curves {
        title,
        across: axis("vCPU asked for"),
        up: axis(up),
        curves,
        target: None,
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(work: &str, vcpu_milli: u32, cpus: f64) -> Option<bool> {
        let got = Got {
            vcpu_milli,
            cpus,
            longest_ms: 1.0,
        };
        figures(work, &got)[1].holds
    }

    #[test]
    fn a_share_may_be_off_by_a_little_either_way() {
        assert_eq!(check("burn", 50, 0.0505), Some(true));
        assert_eq!(check("burn", 50, 0.0485), Some(false));
        assert_eq!(check("burn", 50, 0.0515), Some(false));
    }

    #[test]
    fn the_smallest_sizes_are_told_and_not_judged() {
        assert_eq!(check("burn", 1, 0.0012), None);
        assert_eq!(check("io", 500, 0.5), Some(true));
    }
}
