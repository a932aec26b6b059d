//! Requests. A member that is not here is refused by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ErrorKind, LogsError};

/// Takes a request from its bytes.
///
/// # Errors
/// Where it is no JSON, a member is of another type, unknown or missing.
pub fn parse<R: DeserializeOwned>(body: &[u8]) -> Result<R, LogsError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let message = error.to_string();
        let is_refusal = message.starts_with("unknown field") || message.starts_with("missing field");
        let kind = if is_refusal {
            ErrorKind::InvalidParameter
        } else {
            ErrorKind::Serialization
        };
        LogsError::new(kind, format!("the request is not understood: {message}"))
    })
}

/// `DescribeLogGroups`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribeLogGroups {
    /// What names begin with.
    pub log_group_name_prefix: Option<String>,
    /// What names contain.
    pub log_group_name_pattern: Option<String>,
    /// Names or ARNs.
    pub log_group_identifiers: Option<Vec<String>>,
    /// `STANDARD` is the only one there is.
    pub log_group_class: Option<String>,
    /// There is no other account.
    pub include_linked_accounts: Option<bool>,
    /// Where an earlier answer ended.
    pub next_token: Option<String>,
    /// The most groups.
    pub limit: Option<usize>,
}

/// `DescribeLogStreams`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribeLogStreams {
    /// The group's name.
    pub log_group_name: Option<String>,
    /// Its name or ARN.
    pub log_group_identifier: Option<String>,
    /// What names begin with.
    pub log_stream_name_prefix: Option<String>,
    /// `LogStreamName` or `LastEventTime`.
    pub order_by: Option<String>,
    /// Whether the last comes first.
    pub descending: Option<bool>,
    /// Where an earlier answer ended.
    pub next_token: Option<String>,
    /// The most streams.
    pub limit: Option<usize>,
}

/// `GetLogEvents`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetLogEvents {
    /// The group's name.
    pub log_group_name: Option<String>,
    /// Its name or ARN.
    pub log_group_identifier: Option<String>,
    /// The stream.
    pub log_stream_name: String,
    /// Nothing before this, in milliseconds since the Unix epoch.
    pub start_time: Option<u64>,
    /// Nothing at this time or later.
    pub end_time: Option<u64>,
    /// Where an earlier answer ended, and in which direction to go on.
    pub next_token: Option<String>,
    /// The most events.
    pub limit: Option<usize>,
    /// Whether the oldest events are wanted, and not the newest.
    pub start_from_head: Option<bool>,
    /// Nothing is masked.
    pub unmask: Option<bool>,
}

/// `FilterLogEvents`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterLogEvents {
    /// The group's name.
    pub log_group_name: Option<String>,
    /// Its name or ARN.
    pub log_group_identifier: Option<String>,
    /// The streams; all of the group where absent.
    pub log_stream_names: Option<Vec<String>>,
    /// What the streams' names begin with.
    pub log_stream_name_prefix: Option<String>,
    /// Nothing before this, in milliseconds since the Unix epoch.
    pub start_time: Option<u64>,
    /// Nothing after this.
    pub end_time: Option<u64>,
    /// See [`super::pattern`].
    pub filter_pattern: Option<String>,
    /// Where an earlier answer ended.
    pub next_token: Option<String>,
    /// The most events.
    pub limit: Option<usize>,
    /// Streams are always mixed by time.
    pub interleaved: Option<bool>,
    /// Nothing is masked.
    pub unmask: Option<bool>,
}

/// `CreateLogGroup`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateLogGroup {
    /// The group's name.
    pub log_group_name: String,
    /// Its tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// `STANDARD` is the only one there is.
    pub log_group_class: Option<String>,
}

/// `DeleteLogGroup`, `DeleteRetentionPolicy`, `ListTagsLogGroup`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupName {
    /// The group's name.
    pub log_group_name: String,
}

/// `PutRetentionPolicy`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutRetentionPolicy {
    /// The group's name.
    pub log_group_name: String,
    /// One of [`super::RETENTION_DAYS`].
    pub retention_in_days: u32,
}

/// `CreateLogStream`, `DeleteLogStream`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamName {
    /// The group's name.
    pub log_group_name: String,
    /// The stream's name.
    pub log_stream_name: String,
}

/// `TagResource`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TagResource {
    /// A group's ARN.
    pub resource_arn: String,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// `UntagResource`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UntagResource {
    /// A group's ARN.
    pub resource_arn: String,
    /// The tags' keys.
    pub tag_keys: Vec<String>,
}

/// `ListTagsForResource`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListTagsForResource {
    /// A group's ARN.
    pub resource_arn: String,
}

/// `TagLogGroup`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TagLogGroup {
    /// The group's name.
    pub log_group_name: String,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// `UntagLogGroup`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UntagLogGroup {
    /// The group's name.
    pub log_group_name: String,
    /// The tags' keys.
    pub tags: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_logs_tail_sends_is_understood() {
        let body = br#"{"logGroupName": "/ecs/hello", "interleaved": true, "startTime": 1795336184271}"#;
        let request: FilterLogEvents = parse(body).unwrap();
        assert_eq!(request.start_time, Some(1_795_336_184_271));
    }

    #[test]
    fn a_member_that_is_unknown_is_named() {
        let error = parse::<GroupName>(br#"{"logGroupName": "a", "color": 1}"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidParameter);
        assert!(error.message.contains("`color`"), "{error}");
        let error = parse::<GroupName>(br#"{"logGroupName": 1}"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Serialization);
        parse::<DescribeLogGroups>(b"").unwrap();
    }
}
