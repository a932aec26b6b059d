//! `mote doctor`.

use anyhow::Result;
use machine::doctor::{Check, Outcome};

use crate::args::{Format, Listing};
use crate::output;

/// Tries what this host offers. Exits with 1 where something that mote cannot do without is missing.
pub fn doctor(listing: &Listing) -> Result<u8> {
    let checks = machine::doctor::doctor();
    match listing.format {
        Format::Json => output::json(&checks)?,
        Format::Table => output::table(&["CHECK", "STATUS", "FINDING", "WHAT TO DO"], checks.iter().map(row))?,
    }
    Ok(u8::from(checks.iter().any(|check| check.outcome == Outcome::Fail)))
}

fn row(check: &Check) -> Vec<String> {
    let outcome = format!("{:?}", check.outcome).to_lowercase();
    vec![
        check.name.to_string(),
        outcome,
        check.finding.clone(),
        check.advice.clone().unwrap_or_default(),
    ]
}
