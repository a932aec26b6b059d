//! Phases that follow each other, each where its predecessor ended.

use super::drawing::{Anchor, Drawing};
use super::scale::{Growth, Scale, shown};

const WIDTH: f64 = 860.0;
const TOP: f64 = 44.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 770.0;
const ROW: f64 = 20.0;
const BAR: f64 = 12.0;
const GAP: f64 = 14.0;

/// A start and its phases.
pub struct Row {
    /// Which start.
    pub name: String,
    /// Its phases, in order.
    pub phases: Vec<Phase>,
}

/// A phase.
pub struct Phase {
    /// What happens in it.
    pub name: String,
    /// How long it takes.
    pub length: f64,
}

/// The file: one group of bars per row, in `unit`.
pub fn waterfall(title: &str, unit: &str, rows: &[Row]) -> String {
    let lines: usize = rows.iter().map(|row| row.phases.len() + 1).sum();
    let bottom = TOP + ROW * count(lines) + GAP * count(rows.len());
    let mut drawing = Drawing::new(WIDTH, bottom + 44.0, title);
    let ends = rows.iter().map(|row| row.phases.iter().map(|phase| phase.length).sum());
    let across = Scale::over(ends, Growth::Linear, (LEFT, RIGHT));
    for tick in across.ticks() {
        let x = across.place(tick);
        drawing.line((x, TOP), (x, bottom), "grid");
        drawing.text((x, bottom + 16.0), Anchor::Middle, "", &shown(tick));
    }
    drawing.text(((LEFT + RIGHT) / 2.0, bottom + 34.0), Anchor::Middle, "", unit);
    let mut y = TOP;
    for (series, row) in rows.iter().enumerate() {
        y += GAP;
        let total: f64 = row.phases.iter().map(|phase| phase.length).sum();
        let heading = format!("{}: {} {unit}", row.name, shown(total));
        drawing.text((16.0, y + BAR), Anchor::Start, "name", &heading);
        let mut begin = 0.0;
        for phase in &row.phases {
            y += ROW;
            let (from, to) = (across.place(begin), across.place(begin + phase.length));
            drawing.text((LEFT - 10.0, y + BAR - 2.0), Anchor::End, "", &phase.name);
            let what = format!("{}: {} {unit}", phase.name, shown(phase.length));
            drawing.bar((from, y), to - from, BAR, series, &what);
            drawing.text(
                (to + 6.0, y + BAR - 2.0),
                Anchor::Start,
                "",
                &format!("{:.2}", phase.length),
            );
            begin += phase.length;
        }
        y += ROW;
    }
    drawing.finish()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_begins_where_its_predecessor_ends() {
        let phase = |name: &str, length| Phase {
            name: name.into(),
            length,
        };
        let rows = [Row {
            name: "clone".into(),
            phases: vec![phase("spawn", 1.0), phase("mount", 2.0)],
        }];
        let svg = waterfall("t", "M", &rows);
        let bars: Vec<(f64, f64)> = svg
            .lines()
            .filter_map(|line| line.strip_prefix("<rect x=\""))
            .map(|bar| {
                let values: Vec<&str> = bar.split('"').collect();
                (values[0].parse().unwrap(), values[4].parse().unwrap())
            })
            .collect();
        assert!((bars[0].0 + bars[0].1 - bars[1].0).abs() < 0.2, "{bars:?}");
        assert!(svg.contains("clone: 3 M"), "{svg}");
    }
}
