//! Many tasks at once: how long until all run, how many start in a second, and what the last one waits.

use std::time::Duration;

use anyhow::{Context, Result};
use api::attach::Frame;
use api::client::{AttachedReader, AttachedWriter, Client};
use api::task::{StopRequest, Task};
use tokio::task::JoinSet;

use crate::clock::monotonic_ns;
use crate::host::{Host, Installation, request};
use crate::plot::{Axis, Curve, Curves, cumulative};
use crate::report::{Figure, Outcome};
use crate::sample::Sample;
use crate::unit::Unit;

/// How many at once.
const COUNTS: [u32; 5] = [1, 10, 50, 100, 200];

/// The counts whose time per task is compared: the first may not be much cheaper than the second.
const COMPARED: (u32, u32) = (10, 200);

/// How much more a task may take among many than among few: wall-clock time on a busy machine repeats to about as much.
const RATIO_MAX: f64 = 1.25;

/// What the containers do: say that they run, and nothing more until they are stopped.
const COMMAND: [&str; 3] = ["sh", "-c", "echo running; exec sleep 100000"];

/// The size of each.
const VCPU_MILLI: u32 = 250;

/// The memory of each, in MiB.
const MEMORY_MIB: u32 = 64;

/// A task that has not started after so long has failed.
const START_TIMEOUT: Duration = Duration::from_secs(1200);

/// One burst.
struct Burst {
    count: u32,
    /// From the first request to the last start.
    all_ns: u64,
    /// From the first request to each start.
    since_first: Option<Sample>,
    /// From each request's acceptance to its start.
    each: Option<Sample>,
    /// Why tasks did not start, or not stop.
    failures: Vec<String>,
}

/// Measures every count, one after the other, on one host agent.
pub fn measure(unit: Unit, pool: u32) -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let host = Host::start(&installation, &["--pool", &pool.to_string()])?;
    host.prepare()?;
    // Caches fill.
    burst(&host, 2).context("the first tasks failed")?;
    let mut bursts = Vec::new();
    for count in COUNTS {
        host.prepare()?;
        let burst = burst(&host, count)?;
        eprintln!("mote-bench: {count} at once: {} failed", burst.failures.len());
        bursts.push(burst);
    }
    Ok(outcome(&bursts, unit, pool))
}

/// Starts `count` tasks at once, waits until all run, and stops them.
fn burst(host: &Host, count: u32) -> Result<Burst> {
    let client = host.client();
    let (begun, started) = host.wait(async {
        let mut starting = JoinSet::new();
        let begun = monotonic_ns();
        for index in 0..count {
            starting.spawn(tokio::time::timeout(
                START_TIMEOUT,
                start(client.clone(), format!("burst-{count}-{index}")),
            ));
        }
        (begun, starting.join_all().await)
    });
    let mut failures = Vec::new();
    // The streams are kept: they end with the tasks.
    let mut streams = Vec::new();
    for result in started {
        match result {
            Ok(Ok(stream)) => streams.push(stream),
            Ok(Err(error)) => failures.push(format!("{error:#}")),
            Err(_) => failures.push("it did not start in time".to_owned()),
        }
    }
    let tasks = host.wait(client.tasks()).context("the tasks cannot be listed")?;
    let clocks: Vec<(u64, u64)> = tasks.iter().filter_map(started_at).collect();
    failures.extend(host.wait(stop_all(&client, &tasks)));
    drop(streams);
    let since_first: Vec<u64> = clocks
        .iter()
        .map(|(_, started)| started.saturating_sub(begun))
        .collect();
    Ok(Burst {
        count,
        all_ns: since_first.iter().copied().max().context("no task started")?,
        since_first: Sample::new(since_first),
        each: Sample::new(
            clocks
                .iter()
                .map(|(accepted, started)| started.saturating_sub(*accepted))
                .collect(),
        ),
        failures,
    })
}

/// Starts one task and waits for what it says.
async fn start(client: Client, name: String) -> Result<(AttachedReader, AttachedWriter)> {
    let request = request(&name, VCPU_MILLI, MEMORY_MIB, &COMMAND)?;
    let (_, attached) = client.run(&request).await.context("the task was refused")?;
    let (mut reader, writer) = attached.split();
    match reader.next().await.context("the task's stream failed")? {
        Some(Frame::Stdout(_)) => Ok((reader, writer)),
        Some(Frame::Ended(task)) => anyhow::bail!("the task stopped: {}", task.stopped_reason.unwrap_or_default()),
        _ => anyhow::bail!("the task said something else than that it runs"),
    }
}

fn started_at(task: &Task) -> Option<(u64, u64)> {
    Some((task.clock.accepted_ns?, task.clock.process_started_ns?))
}

/// Stops every task and forgets it; what failed.
async fn stop_all(client: &Client, tasks: &[Task]) -> Vec<String> {
    let mut stopping = JoinSet::new();
    for task in tasks {
        let (client, id) = (client.clone(), task.id.clone());
        stopping.spawn(async move {
            let request = StopRequest {
                timeout_seconds: Some(0),
            };
            client.stop_task(&id, request).await?;
            client.remove_task(&id).await
        });
    }
    let results = stopping.join_all().await;
    results
        .into_iter()
        .filter_map(|result| Some(format!("{:#}", anyhow::Error::from(result.err()?))))
        .collect()
}

fn outcome(bursts: &[Burst], unit: Unit, pool: u32) -> Outcome {
    let mut results = Vec::new();
    let mut notes = vec![format!("the pool holds {pool} clones when a burst begins")];
    for burst in bursts {
        let count = burst.count;
        let name = |what: &str| format!("{count} at once: {what}");
        results.push(Figure::time(name("all run"), unit, burst.all_ns));
        results.push(Figure::new(name("starts per second"), "1/s", per_second(burst)));
        if let Some(each) = &burst.each {
            results.push(Figure::time(name("start, median"), unit, each.median()));
            results.push(Figure::time(name("start, worst"), unit, each.largest()));
        }
        let failed = u32::try_from(burst.failures.len()).unwrap_or(u32::MAX);
        results.push(Figure::new(name("failed"), "tasks", failed.into()).at_most(0.0));
        notes.extend(
            burst
                .failures
                .first()
                .map(|first| format!("{count} at once: {failed} failed, one of them: {first}")),
        );
    }
    results.extend(compared(bursts, unit));
    let plots = vec![
        ("burst-rate.svg".into(), rate(bursts)),
        ("burst-distribution.svg".into(), distribution(bursts, unit)),
    ];
    Outcome { results, notes, plots }
}

fn per_second(burst: &Burst) -> f64 {
    f64::from(burst.count) / Duration::from_nanos(burst.all_ns).as_secs_f64()
}

/// The time per task among many by that among few.
fn compared(bursts: &[Burst], unit: Unit) -> Option<Figure> {
    let per_task = |count: u32| {
        let burst = bursts.iter().find(|burst| burst.count == count)?;
        Some(unit.of(burst.all_ns) / f64::from(count))
    };
    let (few, many) = (per_task(COMPARED.0)?, per_task(COMPARED.1)?);
    let name = format!("time per task, {} at once by {} at once", COMPARED.1, COMPARED.0);
    Some(Figure::new(name, "ratio", many / few).at_most(RATIO_MAX))
}

fn rate(bursts: &[Burst]) -> String {
    let points = bursts.iter().map(|burst| (f64::from(burst.count), per_second(burst)));
    Curves {
        title: "Starts per second, from the first request to the last start",
        across: Axis {
            name: "tasks at once".into(),
            logarithmic: true,
        },
        up: Axis {
            name: "starts per second".into(),
            logarithmic: false,
        },
        curves: vec![Curve {
            name: "mote".into(),
            points: points.collect(),
            steps: false,
        }],
        target: None,
    }
    .svg()
}

fn distribution(bursts: &[Burst], unit: Unit) -> String {
    let curve = |burst: &Burst| {
        let sample = burst.since_first.as_ref()?;
        Some(Curve {
            name: format!("{} at once", burst.count),
            points: cumulative(sample.values().iter().map(|value| unit.of(*value))),
            steps: true,
        })
    };
    Curves {
        title: "From the first request to each start",
        across: Axis {
            name: unit.name().into(),
            logarithmic: true,
        },
        up: Axis {
            name: "% of tasks".into(),
            logarithmic: false,
        },
        curves: bursts.iter().filter_map(curve).collect(),
        target: None,
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(count: u32, all_ns: u64) -> Burst {
        Burst {
            count,
            all_ns,
            since_first: Sample::new(vec![all_ns]),
            each: Sample::new(vec![all_ns]),
            failures: Vec::new(),
        }
    }

    #[test]
    fn time_that_grows_with_the_count_alone_holds() {
        let figure = |all_ns| compared(&[burst(10, 1_000_000), burst(200, all_ns)], Unit::Milliseconds).unwrap();
        assert_eq!(figure(20_000_000).holds, Some(true));
        assert_eq!(figure(40_000_000).holds, Some(false));
    }

    #[test]
    fn a_failure_is_counted_and_told() {
        let mut failed = burst(10, 2_000_000_000);
        failed.failures.push("no memory".into());
        let outcome = outcome(&[failed], Unit::Milliseconds, 0);
        let figure = outcome
            .results
            .iter()
            .find(|figure| figure.name == "10 at once: failed")
            .unwrap();
        assert_eq!((figure.value, figure.holds), (1.0, Some(false)));
        assert!(
            outcome.notes.iter().any(|note| note.ends_with("no memory")),
            "{:?}",
            outcome.notes
        );
        assert!((outcome.results[1].value - 5.0).abs() < 1e-9);
    }
}
