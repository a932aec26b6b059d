//! How long a task takes from the request to each clock point and to its end, one task at a time.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::bundle::Bundle;
use crate::clock::monotonic_ns;
use crate::host::{Host, IMAGE, Installation, Scratch};
use crate::plot::{Axis, Curve, Curves, cumulative};
use crate::report::{Figure, Outcome};
use crate::sample::{PERCENTILES, Sample};
use crate::unit::Unit;

/// The whole command, from its start to its end.
const ENDED: &str = "command-ended";

/// The peer, whole as well.
const PEER: &str = "crun run";

/// Runs before the first that counts: the host's caches fill.
const WARM_UP_RUNS: u32 = 3;

/// Runs `runs` tasks, one after the other.
pub fn measure(runs: u32, unit: Unit) -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let scratch = Scratch::new("coldstart")?;
    let bundle = Bundle::prepare(&installation.archive, scratch.path(), &["echo", "hello"])?;
    let host = Host::start(&installation, &[])?;
    let mut samples: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for run in 0..WARM_UP_RUNS + runs {
        let name = format!("coldstart-{run}");
        let begun = monotonic_ns();
        host.mote(&[
            "run", "--name", &name, "--cpu", "1", "--memory", "64", IMAGE, "echo", "hello",
        ])?;
        let ended = monotonic_ns() - begun;
        let peer = run_peer(&bundle, &name)?;
        if run < WARM_UP_RUNS {
            continue;
        }
        let task = host.wait(host.client().task(&name)).context("the task is gone")?;
        let accepted = task.clock.accepted_ns.context("the task was not accepted")?;
        for (point, at) in task.clock.named().into_iter().skip(1) {
            let at = at.with_context(|| format!("the task did not come to {point}"))?;
            samples.entry(point).or_default().push(at.saturating_sub(accepted));
        }
        samples.entry(ENDED).or_default().push(ended);
        samples.entry(PEER).or_default().push(peer);
    }
    let samples = samples
        .into_iter()
        .filter_map(|(name, values)| Some((name, Sample::new(values)?)));
    Ok(outcome(&samples.collect(), unit))
}

fn outcome(samples: &BTreeMap<&str, Sample>, unit: Unit) -> Outcome {
    let mut results = Vec::new();
    for (point, sample) in samples.iter().filter(|(point, _)| **point != PEER) {
        for (label, percent) in PERCENTILES {
            let figure = Figure::time(format!("{point} {label}"), unit, sample.percentile(percent));
            let peer = samples.get(PEER).filter(|_| *point == ENDED);
            results.push(match peer {
                Some(peer) => figure.against(PEER, unit.of(peer.percentile(percent))),
                None => figure,
            });
        }
    }
    results.sort_by(|one, other| one.value.total_cmp(&other.value));
    Outcome {
        results,
        notes: Vec::new(),
        plots: vec![("coldstart-distribution.svg".into(), distribution(samples, unit))],
    }
}

fn distribution(samples: &BTreeMap<&str, Sample>, unit: Unit) -> String {
    let curve = |(name, sample): (&&str, &Sample)| Curve {
        name: (*name).to_owned(),
        points: cumulative(sample.values().iter().map(|value| unit.of(*value))),
        steps: true,
    };
    let axis = |name: String, logarithmic| Axis { name, logarithmic };
    Curves {
        title: "From the request to each clock point, and whole commands",
        across: axis(unit.name().into(), true),
        up: axis("% of tasks".into(), false),
        curves: samples.iter().map(curve).collect(),
        target: None,
    }
    .svg()
}

/// Runs one container to its end; nanoseconds from the command's start.
fn run_peer(bundle: &Bundle, name: &str) -> Result<u64> {
    let begun = monotonic_ns();
    let mut command = Command::new("crun");
    command.args(["run", "--bundle"]).arg(bundle.path()).arg(name);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context("cannot run crun")?;
    if !status.success() {
        bail!("crun failed: {status}");
    }
    Ok(monotonic_ns() - begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_command_is_compared() {
        let sample = |value| Sample::new(vec![value]).unwrap();
        let samples = BTreeMap::from([
            (ENDED, sample(30_000_000)),
            (PEER, sample(10_000_000)),
            ("guest-booted", sample(5_000_000)),
        ]);
        let outcome = outcome(&samples, Unit::Milliseconds);
        let compared: Vec<_> = outcome
            .results
            .iter()
            .map(|figure| (figure.name.as_str(), figure.ratio))
            .collect();
        assert_eq!(compared[0], ("guest-booted min", None));
        assert_eq!(compared[3], ("command-ended min", Some(3.0)));
    }
}
