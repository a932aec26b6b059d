//! The output of a task's containers: each piece is stored, given to the attached clients, and then acknowledged.
//!
//! What can be stored and given away at once is; what cannot, or comes faster than it may ([`Pace`]), waits in a queue for its stream, which a guest's
//! window bounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::frame::Piece;
use protocol::guest::{Received, Stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Notice;
use super::pace::Pace;
use crate::clock::{self, Point};
use crate::lifecycle::Event;
use crate::output::{Chunk, Outlets};
use crate::ports::Sink;
use crate::session::Commands;

/// How long to wait before a piece that could not be stored is stored again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a piece is tried once its guest is gone.
const TRIES_MAX: u32 = 5;

/// Where the output of one container goes.
#[derive(Clone)]
pub struct Destination {
    /// Where it is kept.
    pub sink: Arc<dyn Sink>,
    /// Who is attached.
    pub outlets: Arc<Outlets>,
    /// Whether the container has a terminal, and so one stream only.
    pub has_terminal: bool,
}

/// A piece of a stream, or its end where it has no bytes.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Whose.
    pub process: u32,
    /// Which stream.
    pub stream: Stream,
    /// How many bytes come before.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// The container of each process that was started after the first ones, until something of it arrives.
// Shared by the task, which names processes, and by the session, which hears of them; locked for moments.
pub type Named = Arc<Mutex<HashMap<u32, usize>>>;

/// The output of one microVM.
pub struct Outputs {
    destinations: Vec<Destination>,
    named: Named,
    /// Which container each process belongs to, and which of its streams have not ended.
    processes: HashMap<u32, (usize, Vec<Stream>)>,
    queues: HashMap<(u32, Stream), mpsc::UnboundedSender<Waiting>>,
    pumps: JoinSet<(u32, Stream)>,
    commands: Option<Commands>,
    notices: mpsc::Sender<Notice>,
    has_any: bool,
    pace: Pace,
}

/// A piece, and when it may be stored.
type Waiting = (Instant, Arrival);

impl Outputs {
    /// Output that goes to `destinations`, one for each container.
    pub fn new(destinations: Vec<Destination>, named: Named, notices: mpsc::Sender<Notice>) -> Self {
        Self {
            destinations,
            named,
            processes: HashMap::new(),
            queues: HashMap::new(),
            pumps: JoinSet::new(),
            commands: None,
            notices,
            has_any: false,
            pace: Pace::default(),
        }
    }

    /// Acknowledges by these from now on.
    pub fn acknowledge_by(&mut self, commands: Commands) {
        self.commands = Some(commands);
    }

    /// A process of a container.
    pub fn add(&mut self, process: u32, container: usize) {
        let streams = if self.destinations.get(container).is_some_and(|one| one.has_terminal) {
            vec![Stream::Stdout]
        } else {
            vec![Stream::Stdout, Stream::Stderr]
        };
        self.processes.entry(process).or_insert((container, streams));
    }

    /// All that is stored of all streams.
    pub fn received(&self) -> Vec<Received> {
        let sinks = self.destinations.iter();
        sinks.flat_map(|destination| destination.sink.received()).collect()
    }

    /// Takes note of the streams whose ends an earlier host agent has stored; the processes that have none left.
    pub fn ended_before(&mut self) -> Vec<u32> {
        let sinks = self.destinations.iter();
        let ended: Vec<_> = sinks.flat_map(|destination| destination.sink.ended()).collect();
        let gone = ended
            .into_iter()
            .filter(|(process, stream)| self.ends(*process, *stream));
        gone.map(|(process, _)| process).collect()
    }

    /// Whether that was the last stream of the process.
    fn ends(&mut self, process: u32, stream: Stream) -> bool {
        let Some((_, streams)) = self.processes.get_mut(&process) else {
            return false;
        };
        streams.retain(|other| *other != stream);
        let is_over = streams.is_empty();
        if is_over {
            self.processes.remove(&process);
        }
        is_over
    }

    /// Takes a piece. Waits for nobody but the task.
    pub async fn take(&mut self, arrival: Arrival) {
        if !std::mem::replace(&mut self.has_any, true) {
            // A task that is over takes no notices.
            let _ = self
                .notices
                .send(Notice::Reached(Point::FirstOutput, clock::monotonic_ns()))
                .await;
        }
        let (process, stream) = (arrival.process, arrival.stream);
        let named = self
            .named
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&process);
        if let Some(container) = named {
            self.add(process, container);
        }
        let Some((container, _)) = self.processes.get(&process) else {
            return;
        };
        let Some(destination) = self.destinations.get(*container) else {
            return;
        };
        let key = (process, stream);
        let wait = self.pace.take(arrival.bytes.len(), clock::monotonic_ns());
        let due = Instant::now() + wait;
        // Behind what waits.
        let arrival = match self.queues.get(&key) {
            Some(queue) => match queue.send((due, arrival)) {
                Ok(()) => return,
                Err(unsent) => unsent.0.1,
            },
            None => arrival,
        };
        if wait.is_zero() && deliver(&arrival, destination) {
            acknowledge(self.commands.as_ref(), &arrival);
            if arrival.bytes.is_empty() && self.ends(process, stream) {
                self.tell_end(process).await;
            }
            return;
        }
        let (queue, waiting) = mpsc::unbounded_channel();
        // We hold the other end.
        let _ = queue.send((due, arrival));
        self.queues.insert(key, queue);
        self.pumps
            .spawn(pump(key, waiting, destination.clone(), self.commands.clone()));
    }

    /// Waits until a stream that had to wait has ended, and tells the task if it was its process's last. Never, where none waits.
    pub async fn pumped(&mut self) {
        match self.pumps.join_next().await {
            Some(Ok((process, stream))) => {
                self.queues.remove(&(process, stream));
                if self.ends(process, stream) {
                    self.tell_end(process).await;
                }
            }
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    async fn tell_end(&self, process: u32) {
        let _ = self.notices.send(Notice::Event(Event::OutputEnded { process })).await;
    }

    /// Nothing more comes: waits until all that came was delivered or dropped.
    pub async fn finish(mut self) {
        self.queues.clear();
        while self.pumps.join_next().await.is_some() {}
    }
}

/// Stores a piece and gives it to the clients, if both go at once.
fn deliver(arrival: &Arrival, destination: &Destination) -> bool {
    if store(arrival, destination).is_err() {
        return false;
    }
    arrival.bytes.is_empty() || destination.outlets.try_write(&chunk(arrival))
}

fn store(arrival: &Arrival, destination: &Destination) -> std::io::Result<()> {
    destination.sink.write(&Piece {
        process: arrival.process,
        stream: arrival.stream,
        offset: arrival.offset,
        content: &arrival.bytes,
    })
}

fn chunk(arrival: &Arrival) -> Chunk {
    Chunk {
        stream: arrival.stream,
        bytes: arrival.bytes.clone(),
    }
}

fn acknowledge(commands: Option<&Commands>, arrival: &Arrival) {
    let len = u64::try_from(arrival.bytes.len()).unwrap_or(u64::MAX);
    let offset = arrival.offset + if arrival.bytes.is_empty() { 1 } else { len };
    if let Some(commands) = commands {
        // A session that is over needs none: what is stored is known to the next.
        let _ = commands.acknowledge(Received {
            process: arrival.process,
            stream: arrival.stream,
            offset,
        });
    }
}

/// Delivers what comes, piece by piece, until the stream's end or nothing more comes.
async fn pump(
    key: (u32, Stream),
    mut waiting: mpsc::UnboundedReceiver<Waiting>,
    destination: Destination,
    commands: Option<Commands>,
) -> (u32, Stream) {
    while let Some((due, arrival)) = waiting.recv().await {
        tokio::time::sleep_until(due).await;
        let mut tries = 0;
        while let Err(error) = store(&arrival, &destination) {
            tries += 1;
            if waiting.is_closed() && tries >= TRIES_MAX {
                tracing::error!(process = key.0, "output is lost, for it cannot be stored: {error}");
                return key;
            }
            tracing::warn!(process = key.0, "output cannot be stored and is held back: {error}");
            tokio::time::sleep(RETRY).await;
        }
        if !arrival.bytes.is_empty() {
            destination.outlets.write(chunk(&arrival)).await;
        }
        acknowledge(commands.as_ref(), &arrival);
        if arrival.bytes.is_empty() {
            break;
        }
    }
    key
}
