//! `FilterLogEvents`: the events of several streams, mixed by time.
//!
//! Streams are read one after the other, and of all of them the first events are kept: as many as an answer holds. The next answer begins
//! after the last event of this one, which its token names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use api::logs::answer::{FilteredLogEvent, FilteredLogEvents};
use api::logs::error::LogsError;
use api::logs::pattern::{self, Pattern};
use api::logs::request::FilterLogEvents;
use api::logs::{EVENT_BYTES_MAX, EVENT_OVERHEAD, arn};
use sha2::{Digest, Sha256};

use super::{Parts, events_limit, refuse_unmask, token, unavailable};
use crate::logs::catalogue::{Streams, key};
use crate::logs::reader::{Event, Reader};
use crate::logs::segment::{self, Origin};

/// The most streams that a request may name.
const STREAM_NAMES_MAX: usize = 100;

/// How much a file's time of change may be behind the time of what is in it, in milliseconds: the kernel's clock for files is coarse.
const FILE_TIME_SLACK_MS: u64 = 1000;

/// An event's place among those of all streams: time, then what tells it from others of that time.
type Place = (u64, String);

/// Which events are wanted.
struct Wanted {
    limit: usize,
    start_ms: u64,
    /// Not after.
    end_ms: u64,
    pattern: Pattern,
    /// After this.
    after: Option<Place>,
}

/// The first events that were found.
#[derive(Default)]
struct Found {
    events: BTreeMap<Place, FilteredLogEvent>,
    bytes: usize,
    /// Some had no room.
    is_full: bool,
}

impl Parts {
    pub fn filter_log_events(&self, request: FilterLogEvents) -> Result<FilteredLogEvents, LogsError> {
        let group = arn::group(
            request.log_group_name.as_deref(),
            request.log_group_identifier.as_deref(),
        )?;
        refuse_unmask(request.unmask)?;
        let wanted = Wanted {
            limit: events_limit(request.limit)?,
            start_ms: request.start_time.unwrap_or(0),
            end_ms: request.end_time.unwrap_or(u64::MAX),
            pattern: pattern::parse(request.filter_pattern.as_deref().unwrap_or_default())?,
            after: request.next_token.as_deref().map(parse_token).transpose()?,
        };
        let streams = chosen(self.streams(&group)?, &request)?;
        let mut found = Found::default();
        for origin in streams.values() {
            let searched = self.search(origin, &wanted, &mut found);
            searched.map_err(|error| unavailable(&error))?;
        }
        let last = found.events.last_key_value().map(|((_, id), _)| id.clone());
        Ok(FilteredLogEvents {
            events: found.events.into_values().collect(),
            searched_log_streams: [],
            next_token: last.filter(|_| found.is_full),
        })
    }

    /// Adds the events of a stream.
    fn search(&self, origin: &Origin, wanted: &Wanted, found: &mut Found) -> io::Result<()> {
        let key = key(origin);
        let is_over = !self.logs.is_open(&key);
        let directory = self.logs.directory(&key);
        let start_ms = wanted
            .after
            .as_ref()
            .map_or(0, |(time_ms, _)| *time_ms)
            .max(wanted.start_ms);
        let written_ms = segment::written_ms(&directory)?.unwrap_or(0);
        if written_ms.saturating_add(FILE_TIME_SLACK_MS) < start_ms {
            return Ok(());
        }
        let stream = stream_number(origin);
        let mut reader = Reader::since(&directory, start_ms)?;
        while let Some(event) = reader.next_or_open(is_over)? {
            if event.time_ms > wanted.end_ms {
                break;
            }
            if event.time_ms < start_ms || event.line.bytes.is_empty() {
                continue;
            }
            let place = (event.time_ms, event_id(stream, &event));
            if wanted.after.as_ref().is_some_and(|after| place <= *after) {
                continue;
            }
            if found.is_beyond(&place) {
                break;
            }
            let message = String::from_utf8_lossy(&event.line.bytes);
            if !wanted.pattern.matches(&message) {
                continue;
            }
            let told = FilteredLogEvent {
                log_stream_name: origin.stream.clone(),
                timestamp: event.time_ms,
                message: message.into_owned(),
                ingestion_time: event.time_ms,
                event_id: place.1.clone(),
            };
            found.add(place, told, wanted.limit);
        }
        Ok(())
    }
}

impl Found {
    /// Whether an event at `place`, and so all that come after it, has no room.
    fn is_beyond(&self, place: &Place) -> bool {
        self.is_full && self.events.last_key_value().is_some_and(|(last, _)| place > last)
    }

    /// Adds an event; the last ones make room.
    fn add(&mut self, place: Place, event: FilteredLogEvent, limit: usize) {
        self.bytes += event.message.len() + EVENT_OVERHEAD;
        self.events.insert(place, event);
        while self.events.len() > 1 && (self.events.len() > limit || self.bytes > EVENT_BYTES_MAX) {
            if let Some((_, dropped)) = self.events.pop_last() {
                self.bytes -= dropped.message.len() + EVENT_OVERHEAD;
                self.is_full = true;
            }
        }
    }
}

/// The streams that the request names.
fn chosen(streams: Streams, request: &FilterLogEvents) -> Result<Streams, LogsError> {
    match (&request.log_stream_names, &request.log_stream_name_prefix) {
        (None, None) => Ok(streams),
        (Some(_), Some(_)) => Err(LogsError::invalid(
            "logStreamNames and logStreamNamePrefix cannot both be given",
        )),
        (None, Some(prefix)) => {
            arn::check_stream(prefix)?;
            let named = streams.into_iter().filter(|(name, _)| name.starts_with(prefix));
            Ok(named.collect())
        }
        (Some(names), None) if (1..=STREAM_NAMES_MAX).contains(&names.len()) => {
            if !names.iter().all(|name| streams.contains_key(name)) {
                return Err(LogsError::stream_not_found());
            }
            let names: BTreeSet<&String> = names.iter().collect();
            let named = streams.into_iter().filter(|(name, _)| names.contains(name));
            Ok(named.collect())
        }
        (Some(names), None) => Err(LogsError::invalid(format!(
            "logStreamNames has {} names and may have 1 to {STREAM_NAMES_MAX}",
            names.len()
        ))),
    }
}

/// A number that no other stream has.
fn stream_number(origin: &Origin) -> u64 {
    let mut hash = Sha256::new();
    hash.update(&origin.task);
    hash.update("/");
    hash.update(&origin.container);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

/// Digits that no other event has: of all streams, later events have higher ones.
fn event_id(stream: u64, event: &Event) -> String {
    let position = event.position;
    format!(
        "{:014}{stream:020}{:010}{:012}{:06}",
        event.time_ms, position.file, position.offset, position.line
    )
}

/// The last event of an earlier answer, whose id its token is.
fn parse_token(text: &str) -> Result<Place, LogsError> {
    let time_ms = text.get(..14).and_then(|time| time.parse().ok());
    match time_ms {
        Some(time_ms) if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 100 => {
            Ok((time_ms, text.to_owned()))
        }
        _ => Err(token::invalid()),
    }
}
