//! `mote doctor`.

use anyhow::Result;
use machine::doctor::{Check, CheckStatus};

use crate::args::Doctor;
use crate::output;
use crate::value::Format;

/// Tries what this host offers. Exits with 1 where something that mote cannot do without is missing.
pub fn doctor(arguments: &Doctor) -> Result<u8> {
    let header = ["CHECK", "STATUS", "FINDING", "WHAT TO DO"];
    let format = &arguments.listing.format;
    if arguments.security {
        let checks = machine::doctor::security();
        output::list(format, &checks, &header, row)?;
        return Ok(u8::from(checks.iter().any(|check| check.status == CheckStatus::Fail)));
    }
    let report = machine::doctor::doctor();
    match format {
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
