//! `mote usage`: what tasks have reserved and used, and what that costs.

mod prices;

use anyhow::Result;
use api::usage::{Usage, UsageBy, UsageQuery};
use serde::Serialize;

use super::task_name::short_id;
use crate::args::{self, UsageFormat};
use crate::{host, output};
use prices::Prices;

/// `mote usage`.
pub async fn usage(host: Option<String>, arguments: args::Usage) -> Result<u8> {
    let prices = arguments.prices.as_deref().map(Prices::read).transpose()?;
    let client = host::connect(host).await?;
    let query = UsageQuery {
        since_ms: arguments.since.map(|moment| moment.unix_ms),
        until_ms: arguments.until.map(|moment| moment.unix_ms),
        by: arguments.by.by,
        tag: arguments.by.tag,
        minimum_seconds: prices.as_ref().map_or(0, |prices| prices.minimum_seconds),
        scratch_free_mib: prices.as_ref().map_or(0, |prices| prices.scratch_free_gib << 10),
    };
    let usage = client.usage(&query).await?;
    let lines: Vec<Line> = usage
        .into_iter()
        .map(|usage| Line::of(usage, prices.as_ref()))
        .collect();
    let mut header = HEADER.to_vec();
    header[0] = title(query.by);
    if prices.is_some() {
        header.push("COST");
    }
    match &arguments.format {
        UsageFormat::Csv => csv(&lines)?,
        UsageFormat::Other(format) => output::list(format, &lines, &header, |line| row(line, query.by))?,
    }
    Ok(0)
}

/// What some tasks have used, and its price.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    usage: Usage,
    /// In the currency of the prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
}

impl Line {
    fn of(usage: Usage, prices: Option<&Prices>) -> Self {
        Self {
            cost: prices.map(|prices| prices.cost(&usage)),
            currency: prices.map(|prices| prices.currency.clone()),
            usage,
        }
    }
}

const HEADER: [&str; 10] = [
    "",
    "TASKS",
    "SECONDS",
    "VCPU-SECONDS",
    "MIB-SECONDS",
    "CPU USED",
    "RECEIVED",
    "SENT",
    "READ",
    "WRITTEN",
];

const fn title(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Task => "TASK",
        UsageBy::Family => "FAMILY",
        UsageBy::Service => "SERVICE",
        UsageBy::Cluster => "CLUSTER",
        UsageBy::Tag => "TAG",
    }
}

fn row(line: &Line, by: UsageBy) -> Vec<String> {
    let usage = &line.usage;
    let key = match (by, &usage.name) {
        (UsageBy::Task, Some(name)) => format!("{name} ({})", short_id(&usage.key)),
        _ if usage.key.is_empty() => "-".to_owned(),
        _ => usage.key.clone(),
    };
    let mut row = vec![
        key,
        usage.tasks.to_string(),
        usage.seconds.to_string(),
        thousandths(usage.vcpu_milli_seconds),
        usage.memory_mib_seconds.to_string(),
        format!("{} s", thousandths(usage.cpu_used_us / 1000)),
        output::size(usage.received_bytes),
        output::size(usage.sent_bytes),
        output::size(usage.read_bytes),
        output::size(usage.written_bytes),
    ];
    if let (Some(cost), Some(currency)) = (line.cost, &line.currency) {
        row.push(format!("{cost:.6} {currency}"));
    }
    row
}

fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

/// Values between commas, with a line of their names (RFC 4180).
fn csv(lines: &[Line]) -> Result<()> {
    let has_cost = lines.iter().any(|line| line.cost.is_some());
    let mut names = vec![
        "key",
        "name",
        "tasks",
        "running",
        "seconds",
        "vcpu_milli_seconds",
        "memory_mib_seconds",
        "scratch_mib_seconds",
        "cpu_used_us",
        "received_bytes",
        "sent_bytes",
        "read_bytes",
        "written_bytes",
    ];
    if has_cost {
        names.extend(["cost", "currency"]);
    }
    output::line(&names.join(","))?;
    for line in lines {
        let document = serde_json::to_value(line)?;
        let values = names.iter().map(|name| match &document[*name] {
            serde_json::Value::String(text) => quoted(text),
            serde_json::Value::Null => String::new(),
            number => number.to_string(),
        });
        output::line(&values.collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_for_people() {
        let usage = Usage {
            key: "0123456789abcdef".repeat(2),
            name: Some("job".to_owned()),
            tasks: 1,
            seconds: 61,
            vcpu_milli_seconds: 15_250,
            memory_mib_seconds: 3_904,
            cpu_used_us: 1_234_567,
            received_bytes: 10,
            ..Usage::default()
        };
        let prices = Prices::parse(r#"{"currency": "EUR", "vcpu_hour": 3600}"#).unwrap();
        let row = row(&Line::of(usage, Some(&prices)), UsageBy::Task);
        assert_eq!(row[0], "job (0123456789ab)");
        assert_eq!(row[2..6], ["61", "15.250", "3904", "1.234 s"]);
        assert_eq!(row.last().unwrap(), "15.250000 EUR");
    }

    #[test]
    fn commas_and_quotes_are_quoted() {
        assert_eq!(quoted("a"), "a");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
