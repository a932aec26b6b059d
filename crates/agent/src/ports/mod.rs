//! What the tasks' core needs of other parts of the host agent: small traits that those implement.
//!
//! [`memory`] has implementations that keep everything in memory, or do nothing: for tests, and for a host agent without that part.

pub mod memory;

use std::error::Error;
use std::io;

use api::error::ApiError;
use futures_util::future::BoxFuture;
use protocol::frame::Piece;
use protocol::guest::{Network, Received, Stream};

use crate::record::{NetworkPlan, NetworkRecord, SecretSource, TaskRecord};

/// Why something could not be done; [`crate::sentence::sentence`] makes a sentence of it.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Where the records of tasks are kept. The methods are called where waiting for a disk's cache is fine and for the disk itself is not.
pub trait Records: Send + Sync + 'static {
    /// Writes all of these or none, each in place of an earlier one with its id. After the return they survive the end of this process.
    ///
    /// # Errors
    /// Where the store takes no more.
    fn put(&self, records: &[&TaskRecord]) -> Result<(), Failure>;

    /// Notes what a task has used that has stopped and whose record is not kept. [`Self::put`] does so of those that are.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn close(&self, record: &TaskRecord) -> Result<(), Failure>;

    /// Removes the record with this id; there may be none.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn remove(&self, id: &str) -> Result<(), Failure>;

    /// All records of tasks that have not stopped.
    ///
    /// # Errors
    /// Where the store cannot be read, or holds something else.
    fn unfinished(&self) -> Result<Vec<TaskRecord>, Failure>;

    /// The records of the tasks that stopped last, at most so many, in the order in which they stopped.
    ///
    /// # Errors
    /// As [`Self::unfinished`].
    fn stopped(&self, count_max: usize) -> Result<Vec<TaskRecord>, Failure>;
}

/// A task's place in the network, as long as it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// What is stored and shown.
    pub record: NetworkRecord,
    /// What its guest is told.
    pub network: Network,
}

/// What attaches tasks to the network.
pub trait Networks: Send + Sync + 'static {
    /// Checks that there is the network that a task is to be in.
    ///
    /// # Errors
    /// What is to be told to whoever wants the task.
    fn check(&self, plan: &NetworkPlan) -> Result<(), ApiError>;

    /// Makes the interface, the address and the published ports of the task of this name. Dropping the future leaves nothing behind that [`Self::keep`] does not find.
    ///
    /// # Errors
    /// What is in the way: a port that is taken, no free address.
    fn attach<'a>(&'a self, task: &'a str, plan: &'a NetworkPlan) -> BoxFuture<'a, Result<Attached, Failure>>;

    /// Removes all of it.
    ///
    /// # Errors
    /// What cannot be removed.
    fn detach<'a>(&'a self, record: &'a NetworkRecord) -> BoxFuture<'a, Result<(), Failure>>;

    /// After a restart: takes over what these tasks, by id, still use and removes everything else that an earlier host agent left behind.
    ///
    /// # Errors
    /// The first thing that can be neither taken over nor removed.
    fn keep<'a>(&'a self, live: &'a [(String, NetworkRecord)]) -> BoxFuture<'a, Result<(), Failure>>;

    /// At the end of this process: removes what no task uses. What tasks use stays for [`Self::keep`].
    ///
    /// # Errors
    /// What cannot be removed.
    fn end(&self) -> BoxFuture<'_, Result<(), Failure>>;
}

/// Where the output of containers is kept.
pub trait Sinks: Send + Sync + 'static {
    /// Where the output of the container with this index in the plan goes, from now on and from before. Called before a container starts: files are
    /// better made with the first output.
    ///
    /// # Errors
    /// Where that cannot be had.
    fn open(&self, task: &TaskRecord, container: usize) -> io::Result<Box<dyn Sink>>;

    /// Removes what the task's containers wrote: the task is forgotten.
    fn forget(&self, task: &TaskRecord);
}

/// Where the output of one container is kept, of all of its runs one behind the other. Each run is a process with a number of its own.
pub trait Sink: Send + Sync {
    /// Stores a piece once, however often it comes, and returns when it survives the end of this process. One without content is the stream's end.
    ///
    /// # Errors
    /// Where it could not be stored: it comes again.
    fn write(&self, piece: &Piece<'_>) -> io::Result<()>;

    /// How much of each stream is stored, one more where its end is, also from before a restart: that is acknowledged and resumed from.
    fn received(&self) -> Vec<Received>;

    /// The streams whose end is stored, by process.
    fn ended(&self) -> Vec<(u32, Stream)>;
}

/// Where values are that are kept apart.
pub trait Secrets: Send + Sync + 'static {
    /// The value at `source`. May wait for a disk.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    fn read(&self, source: &SecretSource) -> Result<String, Failure>;
}
