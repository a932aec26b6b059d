//! What a benchmark says: a table for people, one JSON document for programs, and plots.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::unit::Unit;

/// The result of one benchmark.
#[derive(Serialize)]
pub struct Report {
    /// Its name.
    pub bench: String,
    /// What was measured.
    pub commit: String,
    /// Where.
    pub host: String,
    /// The figures.
    pub results: Vec<Figure>,
    /// What a reader of the figures must know: what was left out, and why.
    pub notes: Vec<String>,
}

/// What a benchmark measured.
#[derive(Default)]
pub struct Outcome {
    /// The figures.
    pub results: Vec<Figure>,
    /// What a reader of them must know.
    pub notes: Vec<String>,
    /// The plots, each with the name of its file.
    pub plots: Vec<(String, String)>,
}

/// One figure, and what it is compared with where there is something.
#[derive(Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// In what it is counted.
    pub unit: &'static str,
    /// The figure.
    pub value: f64,
    /// The peer's figure, of the same run.
    pub baseline: Option<f64>,
    /// The peer.
    pub baseline_name: Option<String>,
    /// Ours by the peer's.
    pub ratio: Option<f64>,
    /// The most it may be.
    pub target: Option<f64>,
    /// Whether it is at most that.
    pub holds: Option<bool>,
}

impl Figure {
    /// A figure that is compared with nothing.
    pub fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            baseline: None,
            baseline_name: None,
            ratio: None,
            target: None,
            holds: None,
        }
    }

    /// A time, or a path length.
    pub fn time(name: impl Into<String>, unit: Unit, nanoseconds: u64) -> Self {
        Self::new(name, unit.name(), unit.of(nanoseconds))
    }

    /// The figure beside the peer's, which is in the same unit.
    pub fn against(self, peer: &str, baseline: f64) -> Self {
        let ratio = Some(self.value / baseline);
        Self {
            baseline: Some(baseline),
            baseline_name: Some(peer.to_owned()),
            ratio,
            ..self
        }
    }

    /// The figure beside the most that it may be.
    pub fn at_most(self, target: f64) -> Self {
        let holds = Some(self.value <= target);
        Self {
            target: Some(target),
            holds,
            ..self
        }
    }
}

impl Report {
    /// One JSON document.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).context("cannot write the report as JSON")
    }

    /// A table.
    pub fn table(&self) -> String {
        let width = self.results.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        let mut text = format!("{} of {} on {}\n", self.bench, self.commit, self.host);
        for figure in &self.results {
            // Writing to a String cannot fail.
            let _ = write!(text, "{:width$}  {:>10.2} {}", figure.name, figure.value, figure.unit);
            if let Some((ratio, peer)) = figure.compared() {
                let _ = write!(text, "  {ratio:.3} x {peer}");
            }
            if let Some((target, verdict)) = figure.judged() {
                let _ = write!(text, "  {verdict} (at most {target})");
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    /// The table in Markdown, and after it the plots, which lie in `plots/`.
    pub fn markdown(&self, plots: &[(String, String)]) -> String {
        let mut text = format!("Commit {}, {}.\n\n", self.commit, self.host);
        text.push_str("| figure | value | compared | target |\n|---|---|---|---|\n");
        for figure in &self.results {
            let compared = figure.compared().map_or_else(String::new, |(ratio, peer)| {
                format!("{ratio:.3} × {peer} ({:.2})", figure.baseline.unwrap_or_default())
            });
            let judged = figure
                .judged()
                .map_or_else(String::new, |(target, verdict)| format!("≤ {target}: {verdict}"));
            let _ = writeln!(
                text,
                "| {} | {:.2} {} | {compared} | {judged} |",
                figure.name, figure.value, figure.unit
            );
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        for (file, _) in plots {
            let _ = write!(text, "\n![{}](plots/{file})\n", file.trim_end_matches(".svg"));
        }
        text
    }
}

impl Figure {
    fn compared(&self) -> Option<(f64, &str)> {
        Some((self.ratio?, self.baseline_name.as_deref()?))
    }

    fn judged(&self) -> Option<(f64, &'static str)> {
        Some((self.target?, if self.holds? { "holds" } else { "misses" }))
    }
}

/// The host's CPU and kernel, and how its clock runs.
pub fn host(icount: bool) -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown CPU");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let clock = if icount { ", clock counts instructions" } else { "" };
    format!(
        "{}, Linux {}{clock}",
        model.trim_start_matches([' ', '\t', ':']).trim(),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_holds_up_to_its_target() {
        let figure = |value| Figure::new("start", "ms", value).at_most(8.0);
        assert_eq!(figure(8.0).holds, Some(true));
        assert_eq!(figure(8.1).holds, Some(false));
    }

    #[test]
    fn the_table_says_what_misses_and_what_was_left_out() {
        let report = Report {
            bench: "pathlength".into(),
            commit: "abc".into(),
            host: "here".into(),
            results: vec![Figure::new("start", "ms", 5.0).against("crun run", 20.0).at_most(4.0)],
            notes: vec!["runsc is not installed".into()],
        };
        let table = report.table();
        assert!(
            table.contains("5.00 ms  0.250 x crun run  misses (at most 4)"),
            "{table}"
        );
        assert!(table.contains("note: runsc is not installed"), "{table}");
        let markdown = report.markdown(&[("a.svg".into(), String::new())]);
        assert!(
            markdown.contains("| start | 5.00 ms | 0.250 × crun run (20.00) | ≤ 4: misses |"),
            "{markdown}"
        );
        assert!(markdown.ends_with("![a](plots/a.svg)\n"), "{markdown}");
    }
}
