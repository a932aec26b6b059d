//! `GET` of [`api::route::EVENTS`]: lines of JSON, as they come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use api::event::{Event, EventSubject, EventsQuery};
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::{Follower, Journal, Next, event};
use crate::clock;

/// Answers with the events that the query asks for.
pub async fn events(State(journal): State<Journal>, Query(query): Query<EventsQuery>) -> Response {
    let lines = stream::unfold(Lines::new(&journal, &query), |mut lines| async move {
        let chunk = lines.next().await?;
        Some((Ok::<_, Infallible>(chunk), lines))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// The lines of one answer.
struct Lines {
    follower: Follower,
    until_ms: Option<u64>,
    follows: bool,
    /// Lines that are made and not sent.
    made: VecDeque<Bytes>,
    is_over: bool,
}

impl Lines {
    fn new(journal: &Journal, query: &EventsQuery) -> Self {
        Self {
            follower: journal.follow(query.since_ms),
            until_ms: query.until_ms,
            follows: query.follow,
            made: VecDeque::new(),
            is_over: false,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.made.pop_front() {
                return Some(line);
            }
            if self.is_over {
                return None;
            }
            let next = match self.follower.ready() {
                Some(next) => Some(next),
                None if self.follows => self.wait().await,
                None => None,
            };
            match next {
                Some(Next::Event(event)) if self.is_within(&event) => self.make(&event),
                Some(Next::Missed(count)) => self.make(&missed(count)),
                Some(Next::Event(_)) | None => self.is_over = true,
            }
        }
    }

    /// Waits for an event, but not beyond the end that was asked for.
    async fn wait(&mut self) -> Option<Next> {
        let Some(until_ms) = self.until_ms else {
            return self.follower.next().await;
        };
        let left = Duration::from_millis(until_ms.saturating_sub(clock::wall_ms()));
        tokio::time::timeout(left, self.follower.next()).await.ok().flatten()
    }

    fn is_within(&self, event: &Event) -> bool {
        self.until_ms.is_none_or(|until_ms| event.time_ms < until_ms)
    }

    fn make(&mut self, event: &Event) {
        // A document of strings and numbers is always one.
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            self.made.push_back(line.into());
        }
    }
}

/// What somebody is told who was too slow.
fn missed(count: u64) -> Event {
    let mut told = event(EventSubject::Agent, "missed", "events");
    told.attributes.insert("count".to_owned(), count.to_string());
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time_ms: u64) -> Event {
        Event {
            time_ms,
            ..event(EventSubject::Task, "running", "t")
        }
    }

    async fn times(journal: &Journal, query: &EventsQuery) -> Vec<u64> {
        let mut lines = Lines::new(journal, query);
        let mut times = Vec::new();
        while let Some(line) = lines.next().await {
            assert_eq!(line.last(), Some(&b'\n'));
            times.push(serde_json::from_slice::<Event>(&line).unwrap().time_ms);
        }
        times
    }

    #[tokio::test]
    async fn a_span_of_time_is_answered() {
        let journal = Journal::default();
        (1..=9).for_each(|time_ms| journal.add(at(time_ms)));
        let mut query = EventsQuery {
            since_ms: Some(3),
            until_ms: Some(6),
            follow: false,
        };
        assert_eq!(times(&journal, &query).await, [3, 4, 5]);
        query.until_ms = None;
        assert_eq!(times(&journal, &query).await.len(), 7);
        query.since_ms = None;
        assert_eq!(times(&journal, &query).await.len(), 0);
        query.until_ms = Some(1);
        query.follow = true;
        assert_eq!(times(&journal, &query).await.len(), 0, "the end is over");
    }

    #[tokio::test]
    async fn a_follower_gets_what_comes() {
        let journal = Journal::default();
        let query = EventsQuery {
            follow: true,
            ..EventsQuery::default()
        };
        let mut lines = Lines::new(&journal, &query);
        journal.add(at(7));
        let line = lines.next().await.unwrap();
        assert_eq!(serde_json::from_slice::<Event>(&line).unwrap(), at(7));
    }
}
