//! `mote doctor`.

use anyhow::Result;
use machine::doctor::Check;

use crate::args::Listing;
use crate::output;
use crate::value::Format;

/// Tries what this host offers. Exits with 1 where something that mote cannot do without is missing.
pub fn doctor(listing: &Listing) -> Result<u8> {
    let report = machine::doctor::doctor();
    let header = ["CHECK", "STATUS", "FINDING", "WHAT TO DO"];
    match &listing.format {
        Format::Json => output::json(&report)?,
        other => output::list(other, &report.checks, &header, row)?,
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
