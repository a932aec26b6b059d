//! Ports that keep everything in memory or do nothing.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::error::ApiError;
use api::task::Status;
use futures_util::future::{BoxFuture, FutureExt};
use protocol::frame::Piece;
use protocol::guest::{Received, Stream};

use super::{Attached, Failure, Networks, Records, Secrets, Sink, Sinks};
use crate::record::{NetworkPlan, NetworkRecord, SecretSource, TaskRecord};

/// Records that last as long as this value. Clones hold the same.
#[derive(Clone, Debug, Default)]
pub struct MemoryRecords {
    // Shared by all who hold a clone; locked for moments.
    records: Arc<Mutex<HashMap<String, TaskRecord>>>,
}

impl MemoryRecords {
    /// The record with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<TaskRecord> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, TaskRecord>> {
        // Nothing that holds the lock leaves a change half-done.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for MemoryRecords {
    fn put(&self, records: &[&TaskRecord]) -> Result<(), Failure> {
        let mut known = self.lock();
        known.extend(records.iter().map(|record| (record.id.clone(), (*record).clone())));
        Ok(())
    }

    fn close(&self, _: &TaskRecord) -> Result<(), Failure> {
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<(), Failure> {
        self.lock().remove(id);
        Ok(())
    }

    fn unfinished(&self) -> Result<Vec<TaskRecord>, Failure> {
        let known = self.lock();
        let unfinished = known.values().filter(|record| record.status != Status::Stopped);
        Ok(unfinished.cloned().collect())
    }

    fn stopped(&self, count_max: usize) -> Result<Vec<TaskRecord>, Failure> {
        let known = self.lock();
        let stopped = known.values().filter(|record| record.status == Status::Stopped);
        let mut stopped: Vec<_> = stopped.cloned().collect();
        stopped.sort_by_key(|record| record.times.stopped_ms);
        Ok(stopped.split_off(stopped.len().saturating_sub(count_max)))
    }
}

/// No network: who wants one is told so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNetworks;

impl Networks for NoNetworks {
    fn check(&self, _: &NetworkPlan) -> Result<(), ApiError> {
        Ok(())
    }

    fn attach<'a>(&'a self, _: &'a str, _: &'a NetworkPlan) -> BoxFuture<'a, Result<Attached, Failure>> {
        async { Err(Failure::from("this host agent was started without a network")) }.boxed()
    }

    fn detach<'a>(&'a self, _: &'a NetworkRecord) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn keep<'a>(&'a self, _: &'a [(String, NetworkRecord)]) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn end(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }
}

/// Counts output, and keeps the bytes for who asks. Clones hold the same.
#[derive(Clone, Debug, Default)]
pub struct MemorySinks {
    containers: Containers,
}

/// What arrived, by task and container.
type Containers = Arc<Mutex<HashMap<(String, usize), Arc<Mutex<Streams>>>>>;

type Streams = BTreeMap<(u32, Stream), Arrived>;

#[derive(Debug, Default)]
struct Arrived {
    bytes: Vec<u8>,
    has_ended: bool,
}

impl MemorySinks {
    /// What a stream of a container's process held.
    #[must_use]
    pub fn bytes(&self, task: &str, container: usize, process: u32, stream: Stream) -> Vec<u8> {
        let containers = lock(&self.containers);
        let streams = containers.get(&(task.to_owned(), container));
        let bytes = streams.and_then(|streams| {
            lock(streams)
                .get(&(process, stream))
                .map(|arrived| arrived.bytes.clone())
        });
        bytes.unwrap_or_default()
    }
}

impl Sinks for MemorySinks {
    fn open(&self, task: &TaskRecord, container: usize) -> io::Result<Box<dyn Sink>> {
        let streams = lock(&self.containers)
            .entry((task.id.clone(), container))
            .or_default()
            .clone();
        Ok(Box::new(MemorySink { streams }))
    }

    fn forget(&self, task: &TaskRecord) {
        lock(&self.containers).retain(|(id, _), _| *id != task.id);
    }
}

struct MemorySink {
    streams: Arc<Mutex<Streams>>,
}

impl Sink for MemorySink {
    fn write(&self, piece: &Piece<'_>) -> io::Result<()> {
        let mut streams = lock(&self.streams);
        let arrived = streams.entry((piece.process, piece.stream)).or_default();
        let known = u64::try_from(arrived.bytes.len()).unwrap_or(u64::MAX);
        let Some(repeated) = known.checked_sub(piece.offset) else {
            return Err(io::Error::other("a piece of output is missing"));
        };
        let repeated = usize::try_from(repeated).unwrap_or(usize::MAX).min(piece.content.len());
        arrived.bytes.extend_from_slice(&piece.content[repeated..]);
        arrived.has_ended |= piece.content.is_empty();
        Ok(())
    }

    fn received(&self) -> Vec<Received> {
        let received = |(&(process, stream), arrived): (&(u32, Stream), &Arrived)| Received {
            process,
            stream,
            offset: u64::try_from(arrived.bytes.len()).unwrap_or(u64::MAX) + u64::from(arrived.has_ended),
        };
        lock(&self.streams).iter().map(received).collect()
    }

    fn ended(&self) -> Vec<(u32, Stream)> {
        let streams = lock(&self.streams);
        let ended = streams.iter().filter(|(_, arrived)| arrived.has_ended);
        ended.map(|(stream, _)| *stream).collect()
    }
}

/// Nothing is kept: what comes counts as stored. For a host agent without logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSinks;

impl Sinks for NoSinks {
    fn open(&self, _: &TaskRecord, _: usize) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(Self))
    }

    fn forget(&self, _: &TaskRecord) {}
}

impl Sink for NoSinks {
    fn write(&self, _: &Piece<'_>) -> io::Result<()> {
        Ok(())
    }

    fn received(&self) -> Vec<Received> {
        vec![]
    }

    fn ended(&self) -> Vec<(u32, Stream)> {
        vec![]
    }
}

/// Secrets that are files, each with its value and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSecrets;

impl Secrets for FileSecrets {
    fn read(&self, source: &SecretSource) -> Result<String, Failure> {
        match source {
            SecretSource::File(path) => Ok(fs::read_to_string(path)?),
            SecretSource::Stored { .. } => Err(Failure::from("this host agent was started without a secret store")),
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds the lock leaves a change half-done.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
