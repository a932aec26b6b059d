//! `GetLogEvents`: the events of one stream, forwards or backwards.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use api::logs::answer::{LogEvent, LogEvents};
use api::logs::error::LogsError;
use api::logs::request::GetLogEvents;
use api::logs::{EVENT_BYTES_MAX, EVENT_OVERHEAD, arn};

use super::token::Direction;
use super::{Parts, events_limit, refuse_unmask, unavailable};
use crate::logs::catalogue::key;
use crate::logs::reader::{Event, Position, Reader};

/// Which events are wanted.
struct Wanted {
    limit: usize,
    /// Not before.
    start_ms: u64,
    /// Before.
    end_ms: u64,
    /// Nothing will be written any more.
    is_over: bool,
}

/// Some events, and the points before and after them.
struct Page {
    events: VecDeque<(Position, LogEvent)>,
    before: Position,
    after: Position,
}

impl Parts {
    pub fn get_log_events(&self, request: GetLogEvents) -> Result<LogEvents, LogsError> {
        let group = arn::group(
            request.log_group_name.as_deref(),
            request.log_group_identifier.as_deref(),
        )?;
        arn::check_stream(&request.log_stream_name)?;
        refuse_unmask(request.unmask)?;
        let direction = request.next_token.as_deref().map(Direction::parse).transpose()?;
        let limit = events_limit(request.limit)?;
        let streams = self.streams(&group)?;
        let origin = streams.get(&request.log_stream_name);
        let key = key(origin.ok_or_else(LogsError::stream_not_found)?);
        let wanted = Wanted {
            limit,
            start_ms: request.start_time.unwrap_or(0),
            end_ms: request.end_time.unwrap_or(u64::MAX),
            // First, or what is written before it is closed would be missed.
            is_over: !self.logs.is_open(&key),
        };
        let directory = self.logs.directory(&key);
        let page = match direction {
            Some(Direction::Forward(position)) => wanted.forward(Reader::new(&directory, position), position),
            Some(Direction::Backward(position)) => wanted.backward(&directory, position),
            None if request.start_from_head == Some(true) => Reader::since(&directory, wanted.start_ms)
                .and_then(|reader| wanted.forward(reader, Position::default())),
            None => wanted.backward(&directory, Position::END),
        };
        let page = page.map_err(|error| unavailable(&error))?;
        Ok(LogEvents {
            events: page.events.into_iter().map(|(_, event)| event).collect(),
            next_forward_token: Direction::Forward(page.after).token(),
            next_backward_token: Direction::Backward(page.before).token(),
        })
    }
}

impl Wanted {
    /// The first events that `reader` finds, which begins at `start`.
    fn forward(&self, mut reader: Reader, start: Position) -> io::Result<Page> {
        let mut page = Page {
            events: VecDeque::new(),
            before: start,
            after: start,
        };
        let mut bytes = 0;
        while let Some(event) = reader.next_or_open(self.is_over)? {
            if event.time_ms >= self.end_ms || page.events.len() == self.limit {
                break;
            }
            let next = event.position.next();
            if let Some((position, event)) = self.take(event) {
                bytes += event.message.len() + EVENT_OVERHEAD;
                if bytes > EVENT_BYTES_MAX && !page.events.is_empty() {
                    break;
                }
                if page.events.is_empty() {
                    page.before = position;
                }
                page.events.push_back((position, event));
            }
            page.after = next;
        }
        Ok(page)
    }

    /// The last events before `end`.
    fn backward(&self, directory: &Path, end: Position) -> io::Result<Page> {
        let end = match self.end_ms {
            u64::MAX => end,
            end_ms => end.min(Reader::end(directory, end_ms, self.is_over)?),
        };
        let mut reader = Reader::last(directory, self.limit, end, self.is_over)?;
        let mut page = Page {
            events: VecDeque::new(),
            before: end,
            after: end,
        };
        let mut bytes = 0;
        while let Some(event) = reader.next_or_open(self.is_over)? {
            if event.position >= end || page.events.len() == self.limit {
                break;
            }
            page.after = event.position.next();
            page.before = page.before.min(event.position);
            let Some((position, event)) = self.take(event) else {
                continue;
            };
            bytes += event.message.len() + EVENT_OVERHEAD;
            page.events.push_back((position, event));
            while bytes > EVENT_BYTES_MAX && page.events.len() > 1 {
                if let Some((_, dropped)) = page.events.pop_front() {
                    bytes -= dropped.message.len() + EVENT_OVERHEAD;
                }
                page.before = page.events[0].0;
            }
        }
        if page.after == Position::END {
            page.after = Position::default();
        }
        if page.before == Position::END {
            page.before = Position::default();
        }
        Ok(page)
    }

    /// The event as it is told, if it is: empty lines are not, as the service takes none.
    fn take(&self, event: Event) -> Option<(Position, LogEvent)> {
        let is_wanted = event.time_ms >= self.start_ms && !event.line.bytes.is_empty();
        is_wanted.then(|| {
            let told = LogEvent {
                timestamp: event.time_ms,
                message: String::from_utf8_lossy(&event.line.bytes).into_owned(),
                ingestion_time: event.time_ms,
            };
            (event.position, told)
        })
    }
}
