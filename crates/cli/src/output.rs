//! Everything that is printed, and nothing else prints.

#![expect(clippy::print_stderr, reason = "this is the module that prints")]

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use api::task::ClockPoints;
use comfy_table::{ContentArrangement, Table, TableStyle};
use serde::Serialize;

use crate::args::QuietListing;
use crate::value::Format;

/// Whether standard error is a person's terminal.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// Whether standard output is a person's terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
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

/// Text that is complete as it is.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    io::stdout().write_all(bytes)
}

/// A question on standard error, which the answer follows on its line.
pub fn question(text: &str) -> io::Result<()> {
    write!(io::stderr(), "{text}")
}

/// Names with values, a line each.
pub fn pairs(pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 2;
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(&format!("{name:<width$}{value}\n"));
    }
    io::stdout().write_all(text.as_bytes())
}

/// Things in the way that is asked for: a table with a row each, one JSON array, or a line each.
pub fn list<T: Serialize>(
    format: &Format,
    items: &[T],
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    match format {
        Format::Table => table(header, items.iter().map(row))?,
        Format::Json => json(&items)?,
        Format::Template(template) => {
            for item in items {
                line(&template.fill(&serde_json::to_value(item)?))?;
            }
        }
    }
    Ok(())
}

/// As [`list`], or, where nothing else is wanted, the `name` of each on a line.
pub fn quiet_list<T: Serialize>(
    listing: &QuietListing,
    items: &[T],
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
    name: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    if !listing.quiet {
        return list(&listing.listing.format, items, header, row);
    }
    for item in items {
        line(&name(item))?;
    }
    Ok(())
}

/// One thing, by a template or as JSON.
pub fn document(format: &Format, item: &impl Serialize) -> anyhow::Result<()> {
    match format {
        Format::Template(template) => line(&template.fill(&serde_json::to_value(item)?))?,
        Format::Json | Format::Table => json(item)?,
    }
    Ok(())
}

/// One thing of many that come one after the other: a line for each.
pub fn streamed(format: &Format, item: &impl Serialize) -> anyhow::Result<()> {
    match format {
        Format::Template(template) => line(&template.fill(&serde_json::to_value(item)?))?,
        Format::Json | Format::Table => line(&serde_json::to_string(item)?)?,
    }
    Ok(())
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
    let mut text = String::new();
    for line in table_lines(header, rows) {
        text.push_str(&line);
        text.push('\n');
    }
    io::stdout().write_all(text.as_bytes())
}

/// A table in place of what the terminal shows, without a flicker: each line overwrites the one before it, then the rest is cleared (ECMA-48).
pub fn screen(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
    const HOME: &str = "\x1b[H";
    const END_OF_LINE: &str = "\x1b[K\r\n";
    const CLEAR_BELOW: &str = "\x1b[J";
    let mut text = HOME.to_owned();
    for line in table_lines(header, rows) {
        text.push_str(&line);
        text.push_str(END_OF_LINE);
    }
    text.push_str(CLEAR_BELOW);
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn table_lines(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
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
    table.lines().map(|line| line.trim_end().to_owned()).collect()
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

/// Memory as people read it: in the units that `--memory` takes.
pub fn memory(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for larger in UNITS {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// A time that has passed, in its largest unit.
pub fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (unit_seconds, unit) = UNITS
        .into_iter()
        .find(|(unit_seconds, _)| seconds >= *unit_seconds)
        .unwrap_or((1, "second"));
    let count = seconds / unit_seconds;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
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

    #[test]
    fn memory_has_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (11_953_767, "11.4 MiB"),
            (64 << 30, "64.0 GiB"),
        ] {
            assert_eq!(memory(bytes), text);
        }
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "1 minute"),
            (7_200, "2 hours"),
            (864_000, "10 days"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
