//! `DescribeLogGroups` and `DescribeLogStreams`.

use std::io;

use api::logs::answer::{LogGroup, LogGroups, LogStream, LogStreams};
use api::logs::error::LogsError;
use api::logs::request::{DescribeLogGroups, DescribeLogStreams};
use api::logs::{NAMES_MAX, arn};

use super::{Parts, checked_limit, token, unavailable};
use crate::logs::catalogue::{Streams, key};
use crate::logs::groups::Group;
use crate::logs::reader::{Position, Reader};
use crate::logs::segment::{self, Origin};

/// What tokens begin with, so that none is empty and none is taken for another's.
const TOKEN_PREFIX: &str = "n/";

/// The only class of groups.
const STANDARD: &str = "STANDARD";

impl Parts {
    pub fn describe_log_groups(&self, request: DescribeLogGroups) -> Result<LogGroups, LogsError> {
        let limit = checked_limit(request.limit, NAMES_MAX)?;
        let after = request.next_token.as_deref().map(name_in).transpose()?;
        if request.log_group_name_prefix.is_some() && request.log_group_name_pattern.is_some() {
            return Err(LogsError::invalid(
                "logGroupNamePrefix and logGroupNamePattern cannot both be given",
            ));
        }
        if request.include_linked_accounts == Some(true) {
            return Err(LogsError::invalid(
                "includeLinkedAccounts is not supported: this host has one account",
            ));
        }
        check_class(request.log_group_class.as_deref())?;
        let identifiers = request.log_group_identifiers.map(|identifiers| {
            let names = identifiers.iter().map(|identifier| arn::parse_identifier(identifier));
            names.collect::<Result<Vec<_>, _>>()
        });
        let names = identifiers.transpose()?;
        let prefix = request.log_group_name_prefix.unwrap_or_default();
        let pattern = request.log_group_name_pattern.unwrap_or_default();
        let is_wanted = |name: &String| {
            after.is_none_or(|after| name.as_str() > after)
                && name.starts_with(&prefix)
                && name.contains(&pattern)
                && names.as_ref().is_none_or(|names| names.contains(name))
        };
        let mut found = self.groups()?.into_iter().filter(|(name, _)| is_wanted(name));
        let known = self.logs.groups().all().map_err(|error| unavailable(&error))?;
        let groups = found.by_ref().take(limit).map(|(name, streams)| {
            let group = known.get(&name).cloned().unwrap_or_default();
            self.group(name, &group, &streams)
        });
        let log_groups = groups.collect::<io::Result<Vec<_>>>();
        let log_groups = log_groups.map_err(|error| unavailable(&error))?;
        let last = log_groups.last().map(|group| name_token(&group.log_group_name));
        Ok(LogGroups {
            next_token: last.filter(|_| found.next().is_some()),
            log_groups,
        })
    }

    fn group(&self, name: String, group: &Group, streams: &Streams) -> io::Result<LogGroup> {
        let first_ms = streams.values().map(|origin| origin.created_ms).min();
        let made_ms = (group.created_ms > 0).then_some(group.created_ms);
        let bytes = streams.values();
        let bytes = bytes.map(|origin| segment::stored_bytes(&self.logs.directory(&key(origin))));
        Ok(LogGroup {
            creation_time: made_ms.into_iter().chain(first_ms).min().unwrap_or(0),
            retention_in_days: group.retention_days,
            metric_filter_count: 0,
            arn: arn::of_streams(&self.region, &name),
            log_group_arn: arn::of_group(&self.region, &name),
            stored_bytes: bytes.sum::<io::Result<u64>>()?,
            log_group_class: STANDARD,
            log_group_name: name,
        })
    }

    pub fn describe_log_streams(&self, request: DescribeLogStreams) -> Result<LogStreams, LogsError> {
        let group = arn::group(
            request.log_group_name.as_deref(),
            request.log_group_identifier.as_deref(),
        )?;
        let limit = checked_limit(request.limit, NAMES_MAX)?;
        let prefix = request.log_stream_name_prefix.as_deref();
        prefix.map_or(Ok(()), arn::check_stream)?;
        let after = request.next_token.as_deref().map(name_in).transpose()?;
        let by_time = match request.order_by.as_deref() {
            None | Some("LogStreamName") => false,
            Some("LastEventTime") if prefix.is_some() => {
                return Err(LogsError::invalid(
                    "Cannot order by LastEventTime with a logStreamNamePrefix.",
                ));
            }
            Some("LastEventTime") => true,
            Some(other) => {
                return Err(LogsError::invalid(format!(
                    "orderBy is {other:?} and may be LogStreamName or LastEventTime"
                )));
            }
        };
        let mut found = Vec::new();
        for (name, origin) in self.streams(&group)? {
            if !name.starts_with(prefix.unwrap_or_default()) {
                continue;
            }
            let time_ms = if by_time { self.written_ms(&origin)? } else { 0 };
            found.push((format!("{time_ms:020}{name}"), origin));
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        if request.descending == Some(true) {
            found.reverse();
        }
        let is_after = |(place, _): &(String, _)| match (after, request.descending) {
            (None, _) => true,
            (Some(after), Some(true)) => place.as_str() < after,
            (Some(after), _) => place.as_str() > after,
        };
        found.retain(is_after);
        let more = found.len() > limit;
        found.truncate(limit);
        let log_streams = found.iter().map(|(_, origin)| self.stream(origin));
        let log_streams = log_streams.collect::<io::Result<Vec<_>>>();
        Ok(LogStreams {
            log_streams: log_streams.map_err(|error| unavailable(&error))?,
            next_token: found.last().filter(|_| more).map(|(place, _)| name_token(place)),
        })
    }

    fn written_ms(&self, origin: &Origin) -> Result<u64, LogsError> {
        let written_ms = segment::written_ms(&self.logs.directory(&key(origin)));
        Ok(written_ms.map_err(|error| unavailable(&error))?.unwrap_or(0))
    }

    fn stream(&self, origin: &Origin) -> io::Result<LogStream> {
        let key = key(origin);
        let is_over = !self.logs.is_open(&key);
        let directory = self.logs.directory(&key);
        let first = Reader::new(&directory, Position::default()).next_or_open(is_over)?;
        let last = Reader::last(&directory, 1, Position::END, is_over)?.next_or_open(is_over)?;
        let last_ms = last.map(|event| event.time_ms);
        Ok(LogStream {
            log_stream_name: origin.stream.clone(),
            creation_time: origin.created_ms,
            first_event_timestamp: first.map(|event| event.time_ms),
            last_event_timestamp: last_ms,
            last_ingestion_time: last_ms,
            arn: arn::of_stream(&self.region, &origin.group, &origin.stream),
            stored_bytes: 0,
        })
    }
}

/// There is one class of groups.
pub fn check_class(class: Option<&str>) -> Result<(), LogsError> {
    match class {
        None | Some(STANDARD) => Ok(()),
        Some(other) => Err(LogsError::invalid(format!(
            "logGroupClass {other:?} is not supported; leave it out or give {STANDARD}"
        ))),
    }
}

fn name_token(name: &str) -> String {
    format!("{TOKEN_PREFIX}{name}")
}

fn name_in(token: &str) -> Result<&str, LogsError> {
    token.strip_prefix(TOKEN_PREFIX).ok_or_else(token::invalid)
}
