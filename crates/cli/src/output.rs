//! Everything that is printed, and nothing else prints.

#![expect(clippy::print_stderr, reason = "this is the module that prints")]

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use api::task::ClockPoints;
use comfy_table::{ContentArrangement, Table, TableStyle};
use serde::Serialize;

/// Whether standard error is a person's terminal.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// One line for people, beside the output proper.
pub fn note(text: &str) {
    eprintln!("mote: {text}");
}

/// A failure, with everything that caused it, as one sentence.
pub fn error(error: &anyhow::Error) {
    eprintln!("mote: {error:#}");
}

/// What the command line parser has to say: help goes to standard output, refusals to standard error.
pub fn clap(error: &clap::Error) {
    // Nothing is left to do where the terminal itself is gone.
    let _ = error.print();
}

/// One line of output.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// A list as JSON: one array.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// A list as a table in the manner of `docker ps`.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new())
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    for row in table.lines() {
        line(row.trim_end())?;
    }
    Ok(())
}

/// The clock points, as milliseconds since the first one that was reached.
pub fn timing(clock: &ClockPoints) {
    eprintln!("{}", timing_line(clock));
}

fn timing_line(clock: &ClockPoints) -> String {
    let points = clock.named();
    let start = points.iter().find_map(|(_, at)| *at).unwrap_or_default();
    let mut text = "timing:".to_owned();
    for (name, at) in points {
        let separator = if text.ends_with(':') { " " } else { ", " };
        // Writing to a String cannot fail.
        let _ = match at {
            Some(at) => {
                let tenths = at.saturating_sub(start) / 100_000;
                write!(text, "{separator}{name} {}.{} ms", tenths / 10, tenths % 10)
            }
            None => write!(text, "{separator}{name} -"),
        };
    }
    text
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut tenths = bytes.saturating_mul(10);
    let mut unit = "B";
    for larger in UNITS {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1000;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes}B")
    } else {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timing_line_counts_from_the_request() {
        let clock = ClockPoints {
            accepted_ns: Some(5_000_000),
            guest_booted_ns: Some(17_340_000),
            ..Default::default()
        };
        assert_eq!(
            timing_line(&clock),
            "timing: accepted 0.0 ms, vcpu-runnable -, guest-booted 12.3 ms, guest-answered -, process-started -, first-output -"
        );
    }

    #[test]
    fn sizes_have_one_decimal() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0kB"),
            (1_234_567, "1.2MB"),
            (5_000_000_000, "5.0GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
