//! One task: feeds what happens to the life cycle, publishes where that leads, and has the host do what follows.

use std::collections::VecDeque;
use std::future::Future;

use api::task::{Origin, Status, Task};
use tokio::sync::{mpsc, watch};

use crate::clock::{self, Point};
use crate::lifecycle::{self, Action, Event, State};

/// Notices that wait for a task. Who sends more waits.
pub const NOTICES_MAX: usize = 64;

/// What a task is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// A clock point was reached, at this time on `CLOCK_MONOTONIC` in nanoseconds.
    Reached(Point, u64),
    /// Its microVM comes from there.
    Came(Origin),
}

/// The whole world of one task.
pub trait Host: Send {
    /// Does what `action` says; the event that answers it, where there is one.
    fn perform(&mut self, action: Action) -> impl Future<Output = Option<Event>> + Send;
}

/// Leads a task from its creation to its end: returns once it holds nothing any more.
///
/// Every step is published in `record` before it is acted on.
pub async fn live(mut host: impl Host, mut notices: mpsc::Receiver<Notice>, record: &watch::Sender<Task>) {
    let mut state = State::Created;
    let mut answers = VecDeque::new();
    while state.status() != Status::Stopped {
        let event = match answers.pop_front() {
            Some(event) => event,
            None => match notices.recv().await {
                Some(Notice::Event(event)) => event,
                Some(Notice::Reached(point, monotonic_ns)) => {
                    record.send_modify(|task| clock::note(&mut task.clock, point, monotonic_ns));
                    continue;
                }
                Some(Notice::Came(origin)) => {
                    record.send_modify(|task| task.origin = Some(origin));
                    continue;
                }
                // Nobody can reach the task any more, so nobody can want it.
                None => Event::KillRequested(lifecycle::Cause::AgentEnds),
            },
        };
        let (next, actions) = lifecycle::next(state, event);
        state = next;
        publish(record, &state);
        for action in actions {
            answers.extend(host.perform(action).await);
        }
    }
}

fn publish(record: &watch::Sender<Task>, state: &State) {
    record.send_if_modified(|task| {
        let is_news = task.status != state.status();
        task.status = state.status();
        if let Some(outcome) = state.outcome() {
            task.exit = outcome.exit;
            task.stopped_reason = Some(outcome.reason.clone());
        }
        if is_news && task.status == Status::Running {
            // Not before: a line of a log costs as much as the rest of the way from the request to here.
            let origin = task.origin.map(Origin::name);
            tracing::info!(task = task.id, name = task.name, image = task.image, origin, "running");
        }
        is_news
    });
}
