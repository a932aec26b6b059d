//! What growing costs after the start: further vCPUs and further memory, and that a container's start does not wait for them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use api::attach::Frame;
use api::task::StopRequest;

use crate::clock::monotonic_ns;
use crate::host::{Host, Installation, NO_POOL, request};
use crate::plot::{Phase, Row, waterfall};
use crate::report::{Figure, Outcome};
use crate::sample::Sample;
use crate::unit::Unit;

/// A size, and whether the container's process waits for its vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    vcpus: u32,
    memory_mib: u32,
    waits: bool,
}

/// The size that all are compared with.
const SMALL: Size = size(1, 64, false);

/// The sizes.
const SIZES: [Size; 9] = [
    SMALL,
    size(2, 64, false),
    size(4, 64, false),
    size(16, 64, false),
    size(1, 256, false),
    size(1, 4096, false),
    size(16, 4096, false),
    size(2, 64, true),
    size(16, 64, true),
];

/// How much later a large container may start than a small one where it does not wait.
const LATER_MAX: f64 = 1.1;

/// Runs before the first that counts: caches fill.
const WARM_UP_RUNS: u32 = 2;

/// What is seen of one start, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    /// The container's process runs, counted from the acceptance of the request.
    Started,
    /// All vCPUs are online, counted from the first instruction of the clone.
    Vcpus,
    /// All memory is there, counted likewise.
    Memory,
}

const fn size(vcpus: u32, memory_mib: u32, waits: bool) -> Size {
    Size {
        vcpus,
        memory_mib,
        waits,
    }
}

impl Size {
    fn name(self) -> String {
        let waits = if self.waits { ", waits for vCPUs" } else { "" };
        format!("{} vCPU, {} MiB{waits}", self.vcpus, self.memory_mib)
    }

    /// A shell's loop that says when there is what was asked for. It looks without forking, and sleeps between looks, since what it waits for needs
    /// the same vCPU.
    fn script(self) -> String {
        let online = match self.vcpus {
            1 => "0".to_owned(),
            vcpus => format!("0-{}", vcpus - 1),
        };
        let kib = self.memory_mib * 1024;
        format!(
            "c= m=; while [ -z \"$c$m\" ] || [ -z \"$c\" ] || [ -z \"$m\" ]; do
             read online </sys/devices/system/cpu/online; read name kib unit </proc/meminfo
             if [ -z \"$c\" ] && [ \"$online\" = {online} ]; then c=1; echo vcpus; fi
             if [ -z \"$m\" ] && [ \"$kib\" -ge {kib} ]; then m=1; echo memory; fi
             sleep 0.002; done; exec sleep 100000"
        )
    }
}

/// Measures every size, `runs` times.
pub fn measure(runs: u32, unit: Unit) -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let host = Host::start(&installation, NO_POOL)?;
    host.prepare()?;
    let mut samples: BTreeMap<(Size, Point), Vec<u64>> = BTreeMap::new();
    for run in 0..WARM_UP_RUNS + runs {
        for size in SIZES {
            let points = once(&host, size, run).with_context(|| format!("a start of {} failed", size.name()))?;
            if run >= WARM_UP_RUNS {
                for (point, since) in points {
                    samples.entry((size, point)).or_default().push(since);
                }
            }
        }
    }
    let samples = samples
        .into_iter()
        .filter_map(|(key, values)| Some((key, Sample::new(values)?)));
    Ok(outcome(&samples.collect(), unit))
}

/// Starts a container of that size, waits until it has grown, and stops it.
fn once(host: &Host, size: Size, run: u32) -> Result<Vec<(Point, u64)>> {
    let name = format!("grow-{}-{}-{}-{run}", size.vcpus, size.memory_mib, size.waits);
    let script = size.script();
    let mut request = request(&name, size.vcpus * 1000, size.memory_mib, &["sh", "-c", &script])?;
    request.waits_for_vcpus = size.waits;
    let client = host.client();
    host.wait(async {
        let (id, attached) = client.run(&request).await.context("the task was refused")?;
        let (mut reader, _writer) = attached.split();
        let mut said = String::new();
        let mut grown = Vec::new();
        while grown.len() < 2 {
            match reader.next().await.context("the task's stream failed")? {
                Some(Frame::Stdout(bytes)) => said.push_str(&String::from_utf8_lossy(&bytes)),
                Some(Frame::Ended(task)) => bail!("the task stopped: {}", task.stopped_reason.unwrap_or_default()),
                other => bail!("the task said {other:?}"),
            }
            let now = monotonic_ns();
            for (word, point) in [("vcpus\n", Point::Vcpus), ("memory\n", Point::Memory)] {
                if said.contains(word) && grown.iter().all(|(seen, _)| *seen != point) {
                    grown.push((point, now));
                }
            }
        }
        let clock = client.task(&id).await.context("the task is gone")?.clock;
        client
            .stop_task(
                &id,
                StopRequest {
                    timeout_seconds: Some(0),
                },
            )
            .await
            .context("the task does not stop")?;
        client.remove_task(&id).await.context("the task is not forgotten")?;
        let at = |point: Option<u64>| point.context("the task did not pass all clock points");
        let (accepted, resumed, started) = (
            at(clock.accepted_ns)?,
            at(clock.guest_booted_ns)?,
            at(clock.process_started_ns)?,
        );
        let since = grown.into_iter().map(|(point, at)| (point, at.saturating_sub(resumed)));
        Ok(since
            .chain([(Point::Started, started.saturating_sub(accepted))])
            .collect())
    })
}

fn outcome(samples: &BTreeMap<(Size, Point), Sample>, unit: Unit) -> Outcome {
    let mut results = Vec::new();
    let median = |size: Size, point: Point| Some(unit.of(samples.get(&(size, point))?.median()));
    let small = median(SMALL, Point::Started);
    for size in SIZES {
        let figure = |point: Point, what: &str| {
            let value = median(size, point)?;
            Some(Figure::new(
                format!("{}: {what}, median", size.name()),
                unit.name(),
                value,
            ))
        };
        let started = figure(Point::Started, "request accepted to container's first instruction");
        results.extend(started.map(|figure| match small {
            Some(small) if size != SMALL => figure.against(&SMALL.name(), small),
            _ => figure,
        }));
        if size.vcpus > 1 {
            results.extend(figure(Point::Vcpus, "first guest instruction to all vCPUs online"));
        }
        if size.memory_mib > SMALL.memory_mib {
            results.extend(figure(Point::Memory, "first guest instruction to all memory there"));
        }
    }
    let large = size(16, 4096, false);
    if let (Some(large), Some(small)) = (median(large, Point::Started), small) {
        let figure = Figure::new(
            "start of 16 vCPU, 4096 MiB by start of 1 vCPU, 64 MiB",
            "ratio",
            large / small,
        );
        results.push(figure.at_most(LATER_MAX));
    }
    Outcome {
        results,
        notes: vec!["growth is seen by a shell in the container, which looks every 2 ms".into()],
        plots: vec![("grow.svg".into(), plot(samples, unit))],
    }
}

/// For each size: its container's start, and how much later it had all that it was to have.
fn plot(samples: &BTreeMap<(Size, Point), Sample>, unit: Unit) -> String {
    let median = |size: Size, point: Point| Some(unit.of(samples.get(&(size, point))?.median()));
    let row = |size: &Size| {
        let phase = |name: &str, length| Phase {
            name: name.to_owned(),
            length,
        };
        let started = median(*size, Point::Started)?;
        let grown = [Point::Vcpus, Point::Memory]
            .into_iter()
            .filter_map(|point| median(*size, point));
        let grown = grown.fold(0.0, f64::max);
        Some(Row {
            name: size.name(),
            phases: vec![
                phase("container started", started),
                phase("grown", (grown - started).max(0.0)),
            ],
        })
    };
    let rows: Vec<Row> = SIZES.iter().filter_map(row).collect();
    waterfall("Starts of containers, and their growth", unit.name(), &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_container_may_not_start_later() {
        let sample = |value| Sample::new(vec![value]).unwrap();
        let check = |large: u64| {
            let samples = BTreeMap::from([
                ((SMALL, Point::Started), sample(8_000_000)),
                ((size(16, 4096, false), Point::Started), sample(large)),
            ]);
            outcome(&samples, Unit::MegaInstructions).results.last().unwrap().holds
        };
        assert_eq!(check(8_500_000), Some(true));
        assert_eq!(check(9_500_000), Some(false));
    }

    #[test]
    fn the_script_waits_for_what_was_asked() {
        let script = size(4, 256, false).script();
        assert!(
            script.contains("= 0-3 ]") && script.contains("-ge 262144 ]"),
            "{script}"
        );
    }
}
