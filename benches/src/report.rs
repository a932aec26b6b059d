//! What a benchmark prints: a table for people, one JSON document for programs.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Serialize;

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
}

/// One figure, and what it is compared with where there is something.
#[derive(Serialize)]
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

/// What a clock that counts nanoseconds counts.
#[derive(Clone, Copy)]
pub enum Unit {
    /// Time.
    Milliseconds,
    /// Instructions, one a nanosecond.
    MegaInstructions,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::MegaInstructions => "M instructions",
        }
    }
}

impl Figure {
    /// A figure that is compared with nothing. A million nanoseconds is a millisecond, or a million instructions.
    pub fn alone(name: String, unit: Unit, nanoseconds: u64) -> Self {
        let value = std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3;
        Self {
            name,
            unit: unit.name(),
            value,
            baseline: None,
            baseline_name: None,
            ratio: None,
            target: None,
            holds: None,
        }
    }

    /// The figure beside the peer's.
    pub fn against(self, peer: &str, nanoseconds: u64) -> Self {
        let baseline = std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3;
        let ratio = Some(self.value / baseline);
        Self {
            baseline: Some(baseline),
            baseline_name: Some(peer.to_owned()),
            ratio,
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
            if let (Some(ratio), Some(peer)) = (figure.ratio, &figure.baseline_name) {
                let _ = write!(text, "  {ratio:.2} x {peer}");
            }
            text.push('\n');
        }
        text
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
