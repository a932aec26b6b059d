//! One task: feeds what happens to the life cycle, stores and publishes where that leads, and has the host do what follows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::task::{Origin, Status};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::news;
use crate::clock;
use crate::host::{Kept, Notice, TaskHost};
use crate::lifecycle::{self, Action, Event, Phase, Rules, STOPPED_BY_USER};
use crate::ports::Records;
use crate::record::{Stop, StopCode, TaskRecord};
use crate::sentence::sentence;

/// How long a record that could not be stored waits until it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often the last record of a task is tried.
const TRIES_MAX: u32 = 60;

/// Notices that are taken one after the other before others hear of it.
const BURST_MAX: usize = 64;

/// A task's record: as it is now, as it is stored, as it is told.
pub struct Book {
    /// As it is now.
    pub record: TaskRecord,
    /// What is kept beside.
    pub kept: Kept,
    /// Where it is stored.
    pub records: Arc<dyn Records>,
    /// Where it is told to those who know the task.
    pub published: watch::Sender<Arc<TaskRecord>>,
    /// Where it is told to everybody.
    pub changes: broadcast::Sender<Arc<TaskRecord>>,
    /// Whether something is not stored that should be.
    pub is_unwritten: bool,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The task has stopped.
    Stopped,
    /// It was left to a later host agent.
    Left,
}

/// Leads one task from its creation, or from where an earlier host agent has left it, to its end. Returns once it holds nothing any more, or was left.
pub async fn live(
    mut host: TaskHost,
    mut inbox: mpsc::Receiver<Notice>,
    book: &mut Book,
    first: Option<Event>,
) -> Ended {
    let rules = Rules::of(&book.record.plan);
    let mut answers: VecDeque<Event> = first.into_iter().collect();
    let mut told: Vec<oneshot::Sender<()>> = vec![];
    let mut burst = 0;
    while book.kept.state.phase != Phase::Stopped {
        let event = match answers.pop_front() {
            Some(event) => event,
            None => {
                burst += 1;
                let waiting = if burst < BURST_MAX { inbox.try_recv().ok() } else { None };
                let notice = match waiting {
                    Some(notice) => notice,
                    None => {
                        burst = 0;
                        book.settle(!told.is_empty());
                        for told in told.drain(..) {
                            // Who asked may be gone.
                            let _ = told.send(());
                        }
                        book.next(&mut inbox).await
                    }
                };
                match take(notice, &mut host, book, &mut told) {
                    Taken::Event(event) => event,
                    Taken::Nothing => continue,
                    Taken::Leave => {
                        book.settle(true);
                        host.leave().await;
                        return Ended::Left;
                    }
                }
            }
        };
        if let Event::TimerFired(timer) = &event
            && !book.kept.fired(*timer)
        {
            continue;
        }
        let (state, actions) = lifecycle::next(&rules, book.kept.state.clone(), event);
        book.kept.state = state;
        news::note(&mut book.record, &book.kept.state);
        for action in actions {
            if action == Action::ReleaseResources {
                // Nothing runs any more, and what tells it is about to be removed.
                book.record.used = host.used().or(book.record.used);
            }
            let refused = book.prepare(action);
            let answer = match refused {
                Some(answer) => Some(answer),
                None => host.perform(action, &mut book.record, &mut book.kept).await,
            };
            answers.extend(answer);
        }
    }
    book.close().await;
    Ended::Stopped
}

/// What a notice is to the life cycle.
enum Taken {
    Event(Event),
    Nothing,
    Leave,
}

fn take(notice: Notice, host: &mut TaskHost, book: &mut Book, told: &mut Vec<oneshot::Sender<()>>) -> Taken {
    match notice {
        Notice::Event(event) => Taken::Event(event),
        Notice::Asked(event, asked) => {
            told.push(asked);
            Taken::Event(event)
        }
        Notice::Reached(point, monotonic_ns) => {
            clock::note(&mut book.record.clock, point, monotonic_ns);
            Taken::Nothing
        }
        Notice::Tagged(tags, asked) => {
            told.push(asked);
            book.record.tags = tags;
            Taken::Nothing
        }
        Notice::Leave => Taken::Leave,
        notice @ Notice::Fetched(_) => match host.receive(notice, &mut book.record, &mut book.kept) {
            Some(event) => Taken::Event(event),
            None => Taken::Nothing,
        },
    }
}

impl Book {
    /// The next notice; meanwhile what could not be stored is tried again.
    async fn next(&mut self, inbox: &mut mpsc::Receiver<Notice>) -> Notice {
        loop {
            let notice = if self.is_unwritten && self.record.status != Status::Activating {
                tokio::time::timeout(RETRY, inbox.recv()).await
            } else {
                Ok(inbox.recv().await)
            };
            match notice {
                Ok(Some(notice)) => return notice,
                // Nobody can reach the task any more, so nobody can want it.
                Ok(None) => {
                    return Notice::Event(Event::KillRequested(Stop {
                        code: StopCode::UserInitiated,
                        reason: STOPPED_BY_USER.to_owned(),
                    }));
                }
                Err(_) => {
                    self.write();
                }
            }
        }
    }

    /// Stores and tells what is new.
    fn settle(&mut self, must_write: bool) {
        let is_news = news::differs(&self.published.borrow(), &self.record);
        if !is_news && !must_write {
            return;
        }
        self.record.version += u64::from(is_news);
        // That a guest prepares its containers is no news to a later host agent: the guest tells it.
        if must_write || self.record.status != Status::Activating {
            self.write();
        } else {
            self.is_unwritten = true;
        }
        if is_news {
            self.publish();
        }
    }

    /// Stores what must be stored before `action`; the answer in place of its own where that fails.
    fn prepare(&mut self, action: Action) -> Option<Event> {
        if !action.needs_record() {
            return None;
        }
        let is_news = news::differs(&self.published.borrow(), &self.record);
        self.record.version += u64::from(is_news);
        let written = self.write();
        if is_news {
            self.publish();
        }
        match action {
            // Nobody would find it again.
            Action::StartMicrovm if !written => Some(Event::MicrovmNotStarted(
                "the task's record cannot be stored".to_owned(),
            )),
            _ => None,
        }
    }

    /// Whether it is stored now.
    fn write(&mut self) -> bool {
        // The life cycle's state always has a JSON form.
        self.record.core = serde_json::to_value(&self.kept).unwrap_or_default();
        let written = self.records.put(&[&self.record]);
        // It has the state's size several times over, and every task would keep it for as long as it lives.
        self.record.core = serde_json::Value::Null;
        self.is_unwritten = written.is_err();
        if let Err(error) = &written {
            tracing::error!(task = self.record.id, "cannot store the task: {}", sentence(&**error));
        }
        written.is_ok()
    }

    fn publish(&mut self) {
        let was_running = self.published.borrow().status == Status::Running;
        let record = Arc::new(TaskRecord {
            core: serde_json::Value::Null,
            ..self.record.clone()
        });
        self.published.send_replace(record.clone());
        // Nobody may listen.
        let _ = self.changes.send(record);
        if self.record.status == Status::Running && !was_running {
            // Not before: a line of a log costs as much as the rest of the way from the request to here.
            let origin = self.record.origin.map(Origin::name);
            let image = self.record.plan.containers.first().map(|container| &container.image);
            tracing::info!(task = self.record.id, name = self.record.name, image, origin, "running");
        }
    }

    /// The task has stopped: stores and tells it.
    async fn close(&mut self) {
        self.record.version += 1;
        if !self.record.is_removed_when_stopped {
            let mut tries = 0;
            while !self.write() && tries < TRIES_MAX {
                tries += 1;
                tokio::time::sleep(RETRY).await;
            }
        } else if let Err(error) = self.records.close(&self.record) {
            tracing::error!(
                task = self.record.id,
                "what the task has used is lost: {}",
                sentence(&*error)
            );
        }
        self.publish();
        let exits: Vec<_> = self.record.containers.iter().map(|container| container.exit).collect();
        let reason = self.record.stop.as_ref().map(|stop| &stop.reason);
        tracing::info!(task = self.record.id, ?exits, reason, "stopped");
    }
}
