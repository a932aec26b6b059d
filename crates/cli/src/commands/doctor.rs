//! `mote doctor`.

use anyhow::Result;
use machine::doctor::Check;

use crate::args::{Format, Listing};
use crate::output;

/// Tries what this host offers. Exits with 1 where something that mote cannot do without is missing.
pub fn doctor(listing: &Listing) -> Result<u8> {
    let report = machine::doctor::doctor();
    match listing.format {
        Format::Json => output::json(&report)?,
        Format::Table => output::table(
            &["CHECK", "STATUS", "FINDING", "WHAT TO DO"],
            report.checks.iter().map(row),
        )?,
    }
    Ok(u8::from(!report.is_usable()))
}

fn row(check: &Check) -> Vec<String> {
    let status = format!("{:?}", check.status).to_lowercase();
    vec![
        check.name.to_owned(),
        status,
        check.finding.clone(),
        check.advice.clone().unwrap_or_default(),
    ]
}
