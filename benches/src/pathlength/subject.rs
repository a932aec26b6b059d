//! What can be started, and what is seen of a start.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::sample::Sample;

/// Something on the way of a start, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The request was accepted.
    Accepted,
    /// The vCPU was about to run.
    VcpuRunnable,
    /// The guest agent, or the guest's first process, executed an instruction of this start.
    GuestRuns,
    /// The guest agent answered.
    GuestAnswered,
    /// The container's process runs.
    ProcessRuns,
    /// The first byte of output was read.
    FirstOutput,
    /// The command came to its end.
    Ended,
}

impl Point {
    /// As figures name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "request accepted",
            Self::VcpuRunnable => "vCPU runnable",
            Self::GuestRuns => "first guest instruction",
            Self::GuestAnswered => "guest agent answered",
            Self::ProcessRuns => "container's first instruction",
            Self::FirstOutput => "first output",
            Self::Ended => "command ended",
        }
    }
}

/// Something that starts.
pub trait Subject {
    /// What it is, as figures name it.
    fn name(&self) -> &'static str;

    /// Starts it once, and ends it: nanoseconds from the start to each point that was seen.
    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>>;
}

/// What was seen of many starts of one subject.
pub struct Series {
    /// The subject's name.
    pub name: &'static str,
    values: BTreeMap<Point, Vec<u64>>,
}

impl Series {
    /// Nothing was seen so far.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            values: BTreeMap::new(),
        }
    }

    /// One more start.
    pub fn add(&mut self, points: &[(Point, u64)]) {
        for (point, since) in points {
            self.values.entry(*point).or_default().push(*since);
        }
    }

    /// From the start to a point.
    pub fn until(&self, point: Point) -> Option<Sample> {
        Sample::new(self.values.get(&point)?.clone())
    }

    /// From one point to another, in each start on its own.
    pub fn between(&self, from: Point, to: Point) -> Option<Sample> {
        let (from, to) = (self.values.get(&from)?, self.values.get(&to)?);
        let differences = from.iter().zip(to).map(|(from, to)| to.saturating_sub(*from));
        Sample::new(differences.collect())
    }

    /// The points that were seen, in order.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        self.values.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_taken_in_each_start() {
        let mut series = Series::new("clone");
        series.add(&[(Point::Accepted, 5), (Point::ProcessRuns, 10)]);
        series.add(&[(Point::Accepted, 1), (Point::ProcessRuns, 10)]);
        let sample = series.between(Point::Accepted, Point::ProcessRuns).unwrap();
        assert_eq!(sample.values(), [5, 9]);
        assert!(series.until(Point::Ended).is_none());
    }
}
