//! `mote stats`: what running tasks use, in the manner of `docker stats`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use api::client::{Client, ClientError};
use api::error::ErrorCode;
use api::stats::TaskStats;
use tokio::time::{MissedTickBehavior, interval};

use super::task_name::short_id;
use crate::args::Stats;
use crate::value::Format;
use crate::{host, output};

/// How often a terminal gets a new reading.
const REFRESH: Duration = Duration::from_secs(1);

const HEADER: [&str; 11] = [
    "ID",
    "NAME",
    "CPU %",
    "OF SIZE",
    "MEMORY / LIMIT",
    "PRIVATE",
    "SHARED",
    "GUEST",
    "VMM",
    "KERNEL",
    "SCRATCH",
];

/// `mote stats`.
pub async fn stats(host: Option<String>, arguments: Stats) -> Result<u8> {
    let client = host::connect(host).await?;
    let stats = read(&client, &arguments.tasks).await?;
    let format = &arguments.listing.format;
    if *format != Format::Table || arguments.no_stream || !output::is_terminal() {
        output::list(format, &stats, &HEADER, |stats| row(stats, None))?;
    } else {
        follow(&client, &arguments.tasks, stats).await?;
    }
    Ok(0)
}

/// Shows readings until the tasks that were named have ended; without names until somebody interrupts.
async fn follow(client: &Client, names: &[String], mut stats: Vec<TaskStats>) -> Result<()> {
    let mut names = names.to_vec();
    let is_named = !names.is_empty();
    let mut before = HashMap::new();
    let mut refresh = interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.tick().await;
    loop {
        output::screen(&HEADER, rows(&stats, &before))?;
        before = stats.into_iter().map(|stats| (stats.id.clone(), stats)).collect();
        refresh.tick().await;
        if !is_named {
            stats = client.stats().await?;
            continue;
        }
        stats = Vec::new();
        let mut running = Vec::new();
        for name in names {
            match client.task_stats(&name).await {
                Ok(reading) => {
                    stats.push(reading);
                    running.push(name);
                }
                Err(error) if has_ended(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        names = running;
    }
}

/// Whether a task that was there before is not any more, or has no microVM any more.
fn has_ended(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::Conflict | ErrorCode::TaskNotFound))
}

/// One reading of the tasks that are named, or of all.
async fn read(client: &Client, names: &[String]) -> Result<Vec<TaskStats>> {
    if names.is_empty() {
        return Ok(client.stats().await?);
    }
    let mut stats = Vec::with_capacity(names.len());
    for name in names {
        stats.push(client.task_stats(name).await?);
    }
    Ok(stats)
}

fn rows(stats: &[TaskStats], before: &HashMap<String, TaskStats>) -> Vec<Vec<String>> {
    stats.iter().map(|stats| row(stats, before.get(&stats.id))).collect()
}

fn row(stats: &TaskStats, before: Option<&TaskStats>) -> Vec<String> {
    let memory = &stats.memory;
    let limit = memory.limit_bytes.map_or_else(|| "-".to_owned(), output::memory);
    let used = cpu_basis_points(stats, before);
    let of_size = used * 1000 / u64::from(stats.vcpu_milli).max(1);
    vec![
        short_id(&stats.id),
        stats.name.clone(),
        percent(used),
        percent(of_size),
        format!("{} / {limit}", output::memory(memory.total.proportional_bytes)),
        output::memory(memory.total.private_bytes),
        output::memory(memory.total.shared_bytes),
        output::memory(memory.guest.proportional_bytes),
        output::memory(memory.vmm.proportional_bytes),
        memory.kernel_bytes.map_or_else(|| "-".to_owned(), output::memory),
        output::size(stats.scratch_bytes),
    ]
}

/// CPU time in hundredths of a percent of one vCPU: since the reading `before`, or else since the task was accepted.
fn cpu_basis_points(stats: &TaskStats, before: Option<&TaskStats>) -> u64 {
    let (used_before_us, since_ns) =
        before.map_or((0, stats.accepted_ns), |before| (before.cpu.used_us, before.sampled_ns));
    let used_ns = u128::from(stats.cpu.used_us.saturating_sub(used_before_us)) * 1000;
    let elapsed_ns = u128::from(stats.sampled_ns.saturating_sub(since_ns)).max(1);
    u64::try_from(used_ns * 10_000 / elapsed_ns).unwrap_or(u64::MAX)
}

fn percent(basis_points: u64) -> String {
    format!("{}.{:02}%", basis_points / 100, basis_points % 100)
}

#[cfg(test)]
mod tests {
    use api::stats::{CpuStats, MemoryStats};

    use super::*;

    fn reading(sampled_ns: u64, used_us: u64) -> TaskStats {
        TaskStats {
            id: "0".repeat(32),
            name: "job".into(),
            sampled_ns,
            accepted_ns: 1_000_000_000,
            vcpu_milli: 250,
            memory_mib: 64,
            cpu: CpuStats {
                used_us,
                ..CpuStats::default()
            },
            memory: MemoryStats::default(),
            scratch_bytes: 0,
        }
    }

    #[test]
    fn the_first_reading_is_the_average_since_the_start() {
        let row = row(&reading(5_000_000_000, 500_000), None);
        assert_eq!((row[2].as_str(), row[3].as_str()), ("12.50%", "50.00%"));
    }

    #[test]
    fn a_later_reading_counts_from_the_one_before() {
        let (before, now) = (reading(5_000_000_000, 500_000), reading(6_000_000_000, 750_000));
        let row = row(&now, Some(&before));
        assert_eq!((row[2].as_str(), row[3].as_str()), ("25.00%", "100.00%"));
    }

    #[test]
    fn two_readings_at_once_are_no_failure() {
        assert_eq!(cpu_basis_points(&reading(5, 7), Some(&reading(5, 7))), 0);
        assert!(cpu_basis_points(&reading(0, u64::MAX), None) > 0);
    }

    #[test]
    fn every_column_has_a_heading() {
        assert_eq!(row(&reading(1, 1), None).len(), HEADER.len());
    }
}
