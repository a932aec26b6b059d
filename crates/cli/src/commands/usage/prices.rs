//! A price sheet in the manner of Fargate's: so much for an hour of a vCPU, of a GiB of memory, and of a GiB of scratch disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use api::usage::Usage;
use serde::Deserialize;

const SECONDS_PER_HOUR: f64 = 3600.0;
const MIB_PER_GIB: f64 = 1024.0;

/// Prices, in one currency.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// What they are in.
    pub currency: String,
    /// A vCPU for an hour.
    #[serde(default)]
    vcpu_hour: f64,
    /// A GiB of memory for an hour.
    #[serde(default)]
    memory_gib_hour: f64,
    /// A GiB of scratch disk for an hour.
    #[serde(default)]
    scratch_gib_hour: f64,
    /// What of each task's scratch disk costs nothing, in GiB.
    #[serde(default)]
    pub scratch_free_gib: u64,
    /// A task that ran for less costs as much as if it had run for so many seconds.
    #[serde(default)]
    pub minimum_seconds: u64,
}

impl Prices {
    /// The sheet in the file at `path`.
    ///
    /// # Errors
    /// Where there is none, or it is no JSON document with these members.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read the prices in {}", path.display()))?;
        Self::parse(&text).with_context(|| {
            format!(
                "{} is no price sheet; write one like {{\"currency\": \"USD\", \"vcpu_hour\": 0.04, \"memory_gib_hour\": 0.0045}}",
                path.display()
            )
        })
    }

    /// The sheet in `text`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// What `usage` costs, which was asked for with this sheet's least time and free scratch disk.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53, and a price")]
    pub fn cost(&self, usage: &Usage) -> f64 {
        let vcpu_hours = usage.vcpu_milli_seconds as f64 / 1000.0 / SECONDS_PER_HOUR;
        let gib_hours = |mib_seconds: u64| mib_seconds as f64 / MIB_PER_GIB / SECONDS_PER_HOUR;
        vcpu_hours * self.vcpu_hour
            + gib_hours(usage.memory_mib_seconds) * self.memory_gib_hour
            + gib_hours(usage.scratch_mib_seconds) * self.scratch_gib_hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_was_reserved_has_its_price() {
        let sheet = r#"{"currency": "USD", "vcpu_hour": 4, "memory_gib_hour": 0.5, "scratch_gib_hour": 0.25, "scratch_free_gib": 20,
                        "minimum_seconds": 60}"#;
        let prices = Prices::parse(sheet).unwrap();
        assert_eq!((prices.scratch_free_gib, prices.minimum_seconds), (20, 60));
        let usage = Usage {
            vcpu_milli_seconds: 250 * 3600,
            memory_mib_seconds: 2048 * 3600,
            scratch_mib_seconds: 4096 * 3600,
            ..Usage::default()
        };
        assert!((prices.cost(&usage) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_sheet_that_is_none_is_refused_by_what_is_wrong() {
        let message = |text| Prices::parse(text).unwrap_err().to_string();
        assert!(message("{}").contains("currency"));
        assert!(message(r#"{"currency": "USD", "vcpu": 1}"#).contains("vcpu"));
    }
}
