//! Lines over two axes.

use super::drawing::{Anchor, Drawing, Point};
use super::scale::{Growth, Scale, shown};

const WIDTH: f64 = 860.0;
const TOP: f64 = 52.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 600.0;
const BOTTOM: f64 = 356.0;
const HEIGHT: f64 = 404.0;
const LEGEND_STEP: f64 = 22.0;

/// An axis.
pub struct Axis {
    /// What is counted, and in what.
    pub name: String,
    /// How it grows.
    pub logarithmic: bool,
}

/// One line.
pub struct Curve {
    /// What it shows.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<Point>,
    /// Whether the value stays the same up to the next point.
    pub steps: bool,
}

/// Lines over two axes.
pub struct Curves<'a> {
    /// What the reader sees.
    pub title: &'a str,
    /// From left to right.
    pub across: Axis,
    /// From the bottom up.
    pub up: Axis,
    /// The lines, in the order in which they are named.
    pub curves: Vec<Curve>,
    /// A value of the axis that goes up which should not be exceeded, and its name.
    pub target: Option<(f64, String)>,
}

impl Curves<'_> {
    /// The file.
    pub fn svg(&self) -> String {
        let mut drawing = Drawing::new(WIDTH, HEIGHT, self.title);
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let across = Scale::over(points().map(|point| point.0), growth(&self.across), (LEFT, RIGHT));
        let highest = points()
            .map(|point| point.1)
            .chain(self.target.as_ref().map(|target| target.0));
        let up = Scale::over(highest, growth(&self.up), (BOTTOM, TOP));
        self.axes(&mut drawing, &across, &up);
        if let Some((value, name)) = &self.target {
            let y = up.place(*value);
            drawing.line((LEFT, y), (RIGHT, y), "target");
            drawing.text((RIGHT - 4.0, y - 5.0), Anchor::End, "name", name);
        }
        for (series, curve) in self.curves.iter().enumerate() {
            let placed: Vec<Point> = curve
                .points
                .iter()
                .map(|(x, y)| (across.place(*x), up.place(*y)))
                .collect();
            drawing.path(&if curve.steps { stepped(&placed) } else { placed.clone() }, series);
            let marked = placed.iter().zip(&curve.points).filter(|_| !curve.steps);
            for (at, (x, y)) in marked {
                drawing.mark(*at, series, &format!("{}: {} at {}", curve.name, shown(*y), shown(*x)));
            }
            let place = TOP + 10.0 + LEGEND_STEP * f64::from(u32::try_from(series).unwrap_or(u32::MAX));
            drawing.path(&[(RIGHT + 20.0, place), (RIGHT + 44.0, place)], series);
            drawing.text((RIGHT + 52.0, place + 4.0), Anchor::Start, "name", &curve.name);
        }
        drawing.finish()
    }

    fn axes(&self, drawing: &mut Drawing, across: &Scale, up: &Scale) {
        for tick in up.ticks() {
            let y = up.place(tick);
            drawing.line((LEFT, y), (RIGHT, y), "grid");
            drawing.text((LEFT - 8.0, y + 4.0), Anchor::End, "", &shown(tick));
        }
        for tick in across.ticks() {
            let x = across.place(tick);
            drawing.line((x, BOTTOM), (x, BOTTOM + 5.0), "axis");
            drawing.text((x, BOTTOM + 18.0), Anchor::Middle, "", &shown(tick));
        }
        drawing.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
        drawing.text(
            ((LEFT + RIGHT) / 2.0, BOTTOM + 38.0),
            Anchor::Middle,
            "",
            &self.across.name,
        );
        drawing.text((16.0, TOP - 10.0), Anchor::Start, "", &self.up.name);
    }
}

const fn growth(axis: &Axis) -> Growth {
    if axis.logarithmic {
        Growth::Logarithmic
    } else {
        Growth::Linear
    }
}

/// The points of a cumulative distribution: at each value the share of values up to it, in per cent.
pub fn cumulative(values: impl ExactSizeIterator<Item = f64>) -> Vec<Point> {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let mut points = Vec::new();
    for (rank, value) in (1_u32..).zip(values) {
        if rank == 1 {
            points.push((value, 0.0));
        }
        points.push((value, 100.0 * f64::from(rank) / count));
    }
    points
}

fn stepped(points: &[Point]) -> Vec<Point> {
    let mut stepped = Vec::with_capacity(points.len() * 2);
    for point in points {
        if let Some((_, y)) = stepped.last().copied() {
            stepped.push((point.0, y));
        }
        stepped.push(*point);
    }
    stepped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_climbs_to_a_hundred() {
        let points = cumulative([1.0, 2.0, 2.0, 9.0].into_iter());
        assert_eq!(
            points,
            [(1.0, 0.0), (1.0, 25.0), (2.0, 50.0), (2.0, 75.0), (9.0, 100.0)]
        );
        assert_eq!(stepped(&points[1..3]), [(1.0, 25.0), (2.0, 25.0), (2.0, 50.0)]);
    }

    #[test]
    fn every_curve_is_drawn_and_named() {
        let curve = |name: &str| Curve {
            name: name.into(),
            points: vec![(1.0, 3.0), (200.0, 4.0)],
            steps: false,
        };
        let axis = |name: &str| Axis {
            name: name.into(),
            logarithmic: true,
        };
        let svg = Curves {
            title: "t",
            across: axis("containers"),
            up: axis("MiB"),
            curves: vec![curve("all"), curve("outside the guest")],
            target: Some((12.0, "at most".into())),
        }
        .svg();
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(
            svg.contains(">outside the guest</text>") && svg.contains("class=\"target\""),
            "{svg}"
        );
    }
}
