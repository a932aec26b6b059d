//! What is said of the starts: figures beside their peers and targets, and plots.

use super::microsandbox;
use super::subject::{Point, Series};
use crate::plot::{Axis, Curve, Curves, Phase, Row, cumulative, waterfall};
use crate::report::{Figure, Outcome};
use crate::sample::{PERCENTILES, Sample};
use crate::unit::Unit;

/// A clone that is made for the request.
pub const CLONE: &str = "mote clone";

/// A clone that is made for the request and has no network, as the containers and VMMs beside it.
pub const CLONE_ALONE: &str = "mote clone, no network";

/// A clone that waited in the pool.
pub const POOL: &str = "mote clone from the pool";

/// The same without a network.
pub const POOL_ALONE: &str = "mote clone from the pool, no network";

/// A full boot.
pub const BOOT: &str = "mote full boot";

/// The VMM alone, with a clone.
pub const VMM_CLONE: &str = "mote-vmm clone";

/// The VMM alone, with a full boot.
pub const VMM_BOOT: &str = "mote-vmm full boot";

/// No container.
pub const FLOOR: &str = "fork and exec";

/// The container that all are compared with.
pub const CRUN: &str = "crun run";

/// Another VMM's boot.
pub const FIRECRACKER_BOOT: &str = "Firecracker cold boot";

/// Another VMM's clone.
pub const FIRECRACKER_LOAD: &str = "Firecracker snapshot load";

/// A stretch of a start that a subject is judged by: from where (its beginning, where nothing is said) to where, and how many million
/// instructions it may take. Targets are for counted instructions alone.
struct Stretch {
    subject: &'static str,
    from: Option<Point>,
    to: Point,
    target: Option<f64>,
}

/// What is compared, in the order in which it is told.
const STRETCHES: &[Stretch] = &[
    stretch(VMM_CLONE, None, Point::GuestRuns, Some(1.0)),
    stretch(VMM_BOOT, None, Point::GuestRuns, Some(60.0)),
    stretch(CLONE, Some(Point::Accepted), Point::ProcessRuns, Some(8.0)),
    stretch(POOL, Some(Point::Accepted), Point::ProcessRuns, Some(5.0)),
    stretch(BOOT, Some(Point::Accepted), Point::ProcessRuns, None),
    stretch(CLONE, None, Point::ProcessRuns, None),
    stretch(POOL, None, Point::ProcessRuns, None),
    stretch(BOOT, None, Point::ProcessRuns, None),
    stretch(FLOOR, None, Point::ProcessRuns, None),
    stretch(CRUN, None, Point::ProcessRuns, None),
    stretch("runc run", None, Point::ProcessRuns, None),
    stretch("runsc run", None, Point::ProcessRuns, None),
    stretch(microsandbox::NAME, None, Point::ProcessRuns, None),
    stretch(FIRECRACKER_BOOT, None, Point::GuestRuns, None),
    stretch(FIRECRACKER_LOAD, None, Point::GuestRuns, None),
    stretch(CLONE_ALONE, Some(Point::Accepted), Point::ProcessRuns, Some(8.0)),
    stretch(POOL_ALONE, Some(Point::Accepted), Point::ProcessRuns, Some(5.0)),
];

/// The most that one stretch may be of another, both by their places in [`STRETCHES`]: a sixth, a fifth, a twelfth, never rounded up.
const RATIOS: &[(usize, usize, f64)] = &[
    (0, 14, 0.166),
    (2, 9, 0.2),
    (2, 13, 0.083),
    (15, 9, 0.2),
    (15, 13, 0.083),
    (3, 9, 0.2),
    (16, 9, 0.2),
];

/// The starts whose phases are drawn.
const DRAWN: [&str; 3] = [POOL, CLONE, BOOT];

const fn stretch(subject: &'static str, from: Option<Point>, to: Point, target: Option<f64>) -> Stretch {
    Stretch {
        subject,
        from,
        to,
        target,
    }
}

impl Stretch {
    fn name(&self) -> String {
        let from = self.from.map_or("exec", Point::name);
        format!("{}: {from} to {}", self.subject, self.to.name())
    }

    fn sample(&self, series: &[Series]) -> Option<Sample> {
        let series = series.iter().find(|series| series.name == self.subject)?;
        match self.from {
            Some(from) => series.between(from, self.to),
            None => series.until(self.to),
        }
    }
}

/// The figures and plots of all that was measured.
pub fn outcome(series: &[Series], unit: Unit, notes: Vec<String>) -> Outcome {
    let mut results = Vec::new();
    for stretch in STRETCHES {
        let Some(sample) = stretch.sample(series) else { continue };
        for (label, percent) in PERCENTILES {
            let figure = Figure::time(format!("{}, {label}", stretch.name()), unit, sample.percentile(percent));
            results.push(match stretch.target {
                Some(target) if label == "median" && unit == Unit::MegaInstructions => figure.at_most(target),
                _ => figure,
            });
        }
    }
    results.extend(RATIOS.iter().filter_map(|ratio| compared(ratio, series, unit)));
    results.extend(DRAWN.iter().flat_map(|name| points(name, series, unit)));
    let plots = vec![
        ("pathlength-distribution.svg".into(), distribution(series, unit)),
        ("pathlength-waterfall.svg".into(), phases(series, unit)),
    ];
    Outcome { results, notes, plots }
}

/// The median of one stretch by the median of another, whose figure stands for itself.
fn compared(&(ours, theirs, target): &(usize, usize, f64), series: &[Series], unit: Unit) -> Option<Figure> {
    let (ours, theirs) = (&STRETCHES[ours], &STRETCHES[theirs]);
    let median = |stretch: &Stretch| Some(unit.of(stretch.sample(series)?.median()));
    let (value, baseline) = (median(ours)?, median(theirs)?);
    let name = format!("{}, by {}", ours.name(), theirs.subject);
    Some(Figure::new(name, "ratio", value / baseline).at_most(target))
}

/// The median of each clock point, from the acceptance of the request.
fn points(name: &str, series: &[Series], unit: Unit) -> Vec<Figure> {
    let Some(series) = series.iter().find(|series| series.name == name) else {
        return Vec::new();
    };
    let figure = |point: Point| {
        let sample = series.between(Point::Accepted, point)?;
        let name = format!("{name}, clock point: {}, median", point.name());
        Some(Figure::time(name, unit, sample.median()))
    };
    series
        .points()
        .filter(|point| *point != Point::Accepted)
        .filter_map(figure)
        .collect()
}

/// How often a start took how long.
fn distribution(series: &[Series], unit: Unit) -> String {
    // From the programs' beginnings, which all subjects have; the VMM on its own is no start of a container.
    let whole = STRETCHES
        .iter()
        .filter(|stretch| stretch.from.is_none() && !stretch.subject.starts_with("mote-vmm"));
    let curve = |stretch: &Stretch| {
        let sample = stretch.sample(series)?;
        Some(Curve {
            name: stretch.subject.to_owned(),
            points: cumulative(sample.values().iter().map(|value| unit.of(*value))),
            steps: true,
        })
    };
    Curves {
        title: "From the command's start to the first instruction",
        across: Axis {
            name: format!("{} (each step of the axis multiplies)", unit.name()),
            logarithmic: true,
        },
        up: Axis {
            name: "% of starts".into(),
            logarithmic: false,
        },
        curves: whole.filter_map(curve).collect(),
        target: None,
    }
    .svg()
}

/// Where a start's time goes, by medians.
fn phases(series: &[Series], unit: Unit) -> String {
    let row = |name: &&'static str| {
        let series = series.iter().find(|series| series.name == *name)?;
        let points: Vec<Point> = series.points().filter(|point| *point != Point::Ended).collect();
        let phase = |pair: &[Point]| {
            Some(Phase {
                name: format!("to {}", pair[1].name()),
                length: unit.of(series.between(pair[0], pair[1])?.median()),
            })
        };
        Some(Row {
            name: (*name).to_owned(),
            phases: points.windows(2).filter_map(phase).collect(),
        })
    };
    let rows: Vec<Row> = DRAWN.iter().filter_map(row).collect();
    waterfall("From the accepted request to the first output", unit.name(), &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &'static str, points: &[(Point, u64)]) -> Series {
        let mut series = Series::new(name);
        series.add(points);
        series
    }

    #[test]
    fn ratios_compare_what_they_name() {
        let subject = |index: usize| STRETCHES[index].subject;
        let named: Vec<_> = RATIOS
            .iter()
            .map(|(ours, theirs, _)| (subject(*ours), subject(*theirs)))
            .collect();
        let expected = [
            (VMM_CLONE, FIRECRACKER_LOAD),
            (CLONE, CRUN),
            (CLONE, FIRECRACKER_BOOT),
            (CLONE_ALONE, CRUN),
            (CLONE_ALONE, FIRECRACKER_BOOT),
            (POOL, CRUN),
            (POOL_ALONE, CRUN),
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_start_is_judged_from_its_request_and_by_its_peer() {
        let measured = [
            series(CLONE, &[(Point::Accepted, 1_000_000), (Point::ProcessRuns, 8_000_000)]),
            series(CRUN, &[(Point::ProcessRuns, 28_000_000)]),
        ];
        let outcome = outcome(&measured, Unit::MegaInstructions, Vec::new());
        let find = |name: &str| outcome.results.iter().find(|figure| figure.name == name).unwrap();
        let ours = find("mote clone: request accepted to container's first instruction, median");
        assert_eq!((ours.value, ours.holds), (7.0, Some(true)));
        let name = "mote clone: request accepted to container's first instruction, by crun run";
        assert_eq!((find(name).value, find(name).holds), (0.25, Some(false)));
    }

    #[test]
    fn time_is_not_judged_by_instructions() {
        let measured = [series(VMM_CLONE, &[(Point::GuestRuns, 5_000_000)])];
        let outcome = outcome(&measured, Unit::Milliseconds, Vec::new());
        assert!(outcome.results.iter().all(|figure| figure.holds.is_none()));
    }
}
