//! How long a task takes from the request to each clock point and to its end, one task at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::peer::{self, Peer};
use crate::report::{Figure, Unit};
use crate::sample::Sample;

/// The clock points after the first, which is the zero of the others, as `mote inspect` names them.
const POINTS: [&str; 5] = [
    "vcpu_runnable_ns",
    "guest_booted_ns",
    "guest_answered_ns",
    "process_started_ns",
    "first_output_ns",
];

/// The whole command, from its start to its end.
const ENDED: &str = "command_ended";

/// What is said of each sample.
const PERCENTILES: [(&str, usize); 3] = [("min", 0), ("median", 50), ("p99", 99)];

/// Runs before the first that counts: the host's caches fill.
const WARM_UP_RUNS: u32 = 3;

/// A host agent of the benchmark's own, killed when dropped.
struct Host {
    directory: PathBuf,
    mote: PathBuf,
    agent: Child,
}

impl Host {
    fn start(prefix: &Path) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("mote-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).context("cannot make a directory")?;
        let mut agent = Command::new(prefix.join("bin/mote-agent"))
            .args(["--socket".as_ref(), directory.join("mote.sock").as_os_str()])
            .args(["--state".as_ref(), directory.join("state").as_os_str()])
            .args(["--runtime".as_ref(), directory.join("run").as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run mote-agent")?;
        let mut line = String::new();
        let stdout = agent.stdout.take().context("mote-agent has no standard output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).context("mote-agent is silent")?;
        Ok(Self {
            directory,
            mote: prefix.join("bin/mote"),
            agent,
        })
    }

    fn mote(&self, arguments: &[&str]) -> Result<String> {
        let host = format!("unix://{}", self.directory.join("mote.sock").display());
        let output = Command::new(&self.mote)
            .args(arguments)
            .env("MOTE_HOST", host)
            .stderr(Stdio::inherit())
            .output();
        let output = output.context("cannot run mote")?;
        if !output.status.success() {
            bail!("mote {} failed: {}", arguments.join(" "), output.status);
        }
        String::from_utf8(output.stdout).context("mote printed something else than text")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The machine around the benchmark goes as well; nothing depends on the outcome.
        let _ = Command::new("kill").arg(self.agent.id().to_string()).status();
        let _ = self.agent.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs `runs` tasks, one after the other.
pub fn measure(runs: u32, unit: Unit) -> Result<Vec<Figure>> {
    let variable = |name| std::env::var_os(name).with_context(|| format!("{name} is not set: use `cargo xtask bench`"));
    let prefix = PathBuf::from(variable("MOTE_PREFIX")?);
    let archive = variable("MOTE_IMAGE_BUSYBOX")?;
    let host = Host::start(&prefix)?;
    host.mote(&["load", "--quiet", &archive.to_string_lossy()])?;

    let peer = Peer::prepare(Path::new(&archive), &host.directory)?;
    let mut samples: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for run in 0..WARM_UP_RUNS + runs {
        let name = format!("coldstart-{run}");
        let begun = Instant::now();
        host.mote(&[
            "run", "--name", &name, "--cpu", "1", "--memory", "64", "busybox", "echo", "hello",
        ])?;
        let elapsed = u64::try_from(begun.elapsed().as_nanos()).context("a run took centuries")?;
        let peers = peer.run(&name)?;
        if run < WARM_UP_RUNS {
            continue;
        }
        for (point, since) in clock_points(&host.mote(&["inspect", &name])?)? {
            samples.entry(point).or_default().push(since);
        }
        samples.entry(ENDED).or_default().push(elapsed);
        samples.entry(peer::NAME).or_default().push(peers);
    }
    let peers = samples
        .remove(peer::NAME)
        .and_then(Sample::new)
        .context("no run counted")?;
    let points = POINTS.into_iter().chain([ENDED]);
    Ok(points
        .flat_map(|point| figures(point, &mut samples, &peers, unit))
        .collect())
}

/// The figures of one point; the command's end has the peer's beside it.
fn figures(point: &str, samples: &mut BTreeMap<&str, Vec<u64>>, peers: &Sample, unit: Unit) -> Vec<Figure> {
    let Some(sample) = samples.remove(point).and_then(Sample::new) else {
        return Vec::new();
    };
    let figure = |(label, percent)| {
        let name = format!("{} {label}", point.trim_end_matches("_ns"));
        let figure = Figure::alone(name, unit, sample.percentile(percent));
        if point == ENDED {
            figure.against(peer::NAME, peers.percentile(percent))
        } else {
            figure
        }
    };
    PERCENTILES.map(figure).into()
}

/// Nanoseconds from the acceptance of the request to each later point.
fn clock_points(inspected: &str) -> Result<Vec<(&'static str, u64)>> {
    let tasks: serde_json::Value = serde_json::from_str(inspected).context("mote inspect printed no JSON")?;
    let clock = &tasks[0]["clock"];
    let at = |point: &str| {
        clock[point]
            .as_u64()
            .with_context(|| format!("the task did not pass {point}"))
    };
    let accepted = at("accepted_ns")?;
    POINTS
        .iter()
        .map(|point| Ok((*point, at(point)?.saturating_sub(accepted))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_count_from_the_acceptance() {
        let text = r#"[{"clock": {"accepted_ns": 100, "vcpu_runnable_ns": 110, "guest_booted_ns": 120,
            "guest_answered_ns": 130, "process_started_ns": 140, "first_output_ns": 150}}]"#;
        let points = clock_points(text).unwrap();
        assert_eq!(
            points.iter().map(|(_, since)| *since).collect::<Vec<_>>(),
            [10, 20, 30, 40, 50]
        );
        assert!(clock_points("[{\"clock\": {}}]").is_err());
    }
}
