//! What a data channel is connected to: a process that was executed in a container.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// Begins the process when the client is there, or says in a sentence why it cannot.
pub type Start = Box<dyn FnOnce() -> BoxFuture<'static, Result<Execution, String>> + Send>;

/// A process that runs. Whoever drops this wants it to end.
pub struct Execution {
    /// What it gets.
    pub input: mpsc::Sender<Input>,
    /// What it writes; it ends when the process and all of its streams have ended.
    pub output: mpsc::Receiver<Bytes>,
    /// Why it did not run, once that is known, where it did not.
    pub failure: BoxFuture<'static, Option<String>>,
}

/// What a process gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes.
    Bytes(Bytes),
    /// Its terminal has another size.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// There is no more.
    End,
}
