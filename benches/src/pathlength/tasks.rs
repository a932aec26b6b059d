//! mote as its users see it: `mote run`, from the client's start to its end.

use anyhow::{Context, Result, bail};
use api::task::{ClockPoints, Origin};

use super::subject::{Point, Subject};
use crate::clock::monotonic_ns;
use crate::host::{Host, IMAGE};

/// Tasks of one host agent.
pub struct Tasks<'a> {
    name: &'static str,
    host: &'a Host,
    origin: Origin,
    network: &'static str,
}

impl<'a> Tasks<'a> {
    /// Tasks of `host`, all of which come from `origin` and are in a network.
    pub const fn new(name: &'static str, host: &'a Host, origin: Origin) -> Self {
        Self {
            name,
            host,
            origin,
            network: "default",
        }
    }

    /// The same without a network, as the peers have none.
    pub const fn without_network(self, name: &'static str) -> Self {
        Self {
            name,
            network: "none",
            ..self
        }
    }
}

impl Subject for Tasks<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>> {
        if self.origin == Origin::Pool {
            self.host.prepare()?;
        }
        let name = format!("{}-{run}", self.network);
        let begun = monotonic_ns();
        self.host.mote(&[
            "run",
            "--name",
            &name,
            "--network",
            self.network,
            "--cpu",
            "1",
            "--memory",
            "64",
            IMAGE,
            "echo",
            "hello",
        ])?;
        let ended = monotonic_ns();
        let task = self
            .host
            .wait(self.host.client().task(&name))
            .context("the task is gone")?;
        if task.origin != Some(self.origin) {
            let origin = task.origin.map_or("nowhere", Origin::name);
            bail!("the microVM came from: {origin}; wanted was: {}", self.origin.name());
        }
        let mut points = clock_points(&task.clock, begun)?;
        points.push((Point::Ended, ended - begun));
        Ok(points)
    }
}

/// Nanoseconds from `begun` to each clock point.
fn clock_points(clock: &ClockPoints, begun: u64) -> Result<Vec<(Point, u64)>> {
    let points = [
        (Point::Accepted, clock.accepted_ns),
        (Point::VcpuRunnable, clock.vcpu_runnable_ns),
        (Point::GuestRuns, clock.guest_booted_ns),
        (Point::GuestAnswered, clock.guest_answered_ns),
        (Point::ProcessRuns, clock.process_started_ns),
        (Point::FirstOutput, clock.first_output_ns),
    ];
    let since = |(point, at): (Point, Option<u64>)| {
        let at = at.with_context(|| format!("the task did not come to: {}", point.name()))?;
        Ok((point, at.saturating_sub(begun)))
    };
    points.into_iter().map(since).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_count_from_the_clients_start() {
        let clock = ClockPoints {
            accepted_ns: Some(100),
            vcpu_runnable_ns: Some(110),
            guest_booted_ns: Some(120),
            guest_answered_ns: Some(130),
            process_started_ns: Some(140),
            first_output_ns: Some(150),
        };
        let points = clock_points(&clock, 90).unwrap();
        let since: Vec<u64> = points.iter().map(|(_, since)| *since).collect();
        assert_eq!(since, [10, 20, 30, 40, 50, 60]);
        assert!(clock_points(&ClockPoints::default(), 90).is_err());
    }
}
