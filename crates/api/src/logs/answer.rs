//! Answers. What is absent is left out.

use std::collections::BTreeMap;

use serde::Serialize;

/// The answer of operations that tell nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// Of `DescribeLogGroups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogGroups {
    /// By name.
    pub log_groups: Vec<LogGroup>,
    /// Where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogGroup {
    /// Its name.
    pub log_group_name: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub creation_time: u64,
    /// For how many days its logs are kept after their tasks are forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_in_days: Option<u32>,
    /// None.
    pub metric_filter_count: u32,
    /// Its ARN, with `:*`.
    pub arn: String,
    /// Its ARN, without.
    pub log_group_arn: String,
    /// Bytes of its logs.
    pub stored_bytes: u64,
    /// `STANDARD`
    pub log_group_class: &'static str,
}

/// Of `DescribeLogStreams`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStreams {
    /// In the order that was asked for.
    pub log_streams: Vec<LogStream>,
    /// Where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStream {
    /// Its name.
    pub log_stream_name: String,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub creation_time: u64,
    /// When its first event came that is still kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_event_timestamp: Option<u64>,
    /// When its last event came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event_timestamp: Option<u64>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ingestion_time: Option<u64>,
    /// Its ARN.
    pub arn: String,
    /// Always 0, as the service has it.
    pub stored_bytes: u64,
}

/// Of `GetLogEvents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEvents {
    /// Oldest first.
    pub events: Vec<LogEvent>,
    /// What comes after them; the same as before where there is nothing.
    pub next_forward_token: String,
    /// What comes before them.
    pub next_backward_token: String,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEvent {
    /// When it came, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The line.
    pub message: String,
    /// The same as its timestamp.
    pub ingestion_time: u64,
}

/// Of `FilterLogEvents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilteredLogEvents {
    /// Oldest first.
    pub events: Vec<FilteredLogEvent>,
    /// Empty, as the service has it.
    pub searched_log_streams: [(); 0],
    /// Where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// An event of one of several streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilteredLogEvent {
    /// Its stream.
    pub log_stream_name: String,
    /// When it came, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The line.
    pub message: String,
    /// The same as its timestamp.
    pub ingestion_time: u64,
    /// No other event has it, and later ones have higher ones.
    pub event_id: String,
}

/// Of `ListTagsForResource` and `ListTagsLogGroup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tags {
    /// Key and value.
    pub tags: BTreeMap<String, String>,
}
