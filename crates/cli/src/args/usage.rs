//! The command line of `mote usage`.

use std::path::PathBuf;
use std::str::FromStr;

use api::usage::UsageBy;
use clap::Args;

use crate::value::{Format, Moment};

/// `mote usage`.
#[derive(Debug, Args)]
pub struct Usage {
    /// Count time from then on: 24h ago, or 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Count time up to then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// What to add up: task, family, service, cluster, tag, or tag:KEY for one tag's values
    #[arg(long, default_value = "task", value_name = "GROUP")]
    pub by: UsageGroup,
    /// Prices, as a JSON document: what each then costs is a column of its own
    #[arg(long, env = "MOTE_PRICES", value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// How to print: table, csv, json, or a template such as '{{.key}} {{.seconds}}'
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    pub format: UsageFormat,
}

/// What usage is added up by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageGroup {
    /// The kind.
    pub by: UsageBy,
    /// The one tag.
    pub tag: Option<String>,
}

impl FromStr for UsageGroup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let by = match text {
            "task" => UsageBy::Task,
            "family" => UsageBy::Family,
            "service" => UsageBy::Service,
            "cluster" => UsageBy::Cluster,
            "tag" => UsageBy::Tag,
            _ => {
                let tag = text.strip_prefix("tag:").filter(|tag| !tag.is_empty());
                let tag = tag.ok_or("write task, family, service, cluster, tag or tag:KEY")?;
                return Ok(Self {
                    by: UsageBy::Tag,
                    tag: Some(tag.to_owned()),
                });
            }
        };
        Ok(Self { by, tag: None })
    }
}

/// How usage is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageFormat {
    /// Values between commas, for spreadsheets.
    Csv,
    /// As lists are.
    Other(Format),
}

impl FromStr for UsageFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "csv" => Ok(Self::Csv),
            _ => {
                let other = text.parse().map(Self::Other);
                other.map_err(|_| "write table, csv, json, or a template such as '{{.key}} {{.seconds}}'".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_formats_are_read() {
        let group = |by, tag: Option<&str>| {
            Ok(UsageGroup {
                by,
                tag: tag.map(str::to_owned),
            })
        };
        assert_eq!("family".parse(), group(UsageBy::Family, None));
        assert_eq!("tag".parse(), group(UsageBy::Tag, None));
        assert_eq!("tag:a:b".parse(), group(UsageBy::Tag, Some("a:b")));
        assert!("tag:".parse::<UsageGroup>().is_err() && "team".parse::<UsageGroup>().is_err());
        assert_eq!("csv".parse(), Ok(UsageFormat::Csv));
        assert_eq!("json".parse(), Ok(UsageFormat::Other(Format::Json)));
        assert!("xml".parse::<UsageFormat>().unwrap_err().contains("csv"));
    }
}
