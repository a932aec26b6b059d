//! Output on its way from the guest to the attached clients: bounded, so that a client that does not read holds the container back.
//!
//! With nobody attached output goes nowhere from here.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use protocol::guest::Stream;
use tokio::sync::{mpsc, watch};

/// Chunks that wait for one client: with [`CHUNK_LEN_MAX`] the memory that one attached client can hold.
const CHUNKS_MAX: usize = 16;

/// The largest chunk, in bytes.
pub const CHUNK_LEN_MAX: usize = 64 << 10;

/// Bytes of one stream, at most [`CHUNK_LEN_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where they come from.
    pub stream: Stream,
    /// The bytes.
    pub bytes: Bytes,
}

/// The clients that are attached to a task.
#[derive(Debug)]
pub struct Outlets {
    // Shared by the tasks that pump a guest's streams and the connections of clients; locked for moments, never while waiting.
    clients: Mutex<Clients>,
    discarding: watch::Sender<bool>,
}

#[derive(Debug)]
enum Clients {
    Open(Vec<mpsc::Sender<Chunk>>),
    Closed,
}

impl Default for Outlets {
    fn default() -> Self {
        Self {
            clients: Mutex::new(Clients::Open(vec![])),
            discarding: watch::Sender::new(false),
        }
    }
}

impl Outlets {
    /// Attaches a client: all output from now on, until [`Self::close`].
    pub fn attach(&self) -> mpsc::Receiver<Chunk> {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        if let Clients::Open(clients) = &mut *self.lock() {
            clients.push(sender);
        }
        receiver
    }

    /// Gives `chunk` to every attached client, waiting for those that are slow.
    pub async fn write(&self, chunk: Chunk) {
        let clients = match &*self.lock() {
            Clients::Open(clients) => clients.clone(),
            Clients::Closed => return,
        };
        let mut discarding = self.discarding.subscribe();
        for client in clients {
            tokio::select! {
                biased;
                sent = client.send(chunk.clone()) => {
                    if sent.is_err() {
                        self.drop_gone();
                    }
                }
                // Only where the client does not take the chunk at once.
                _ = discarding.wait_for(|discarding| *discarding) => {}
            }
        }
    }

    /// Gives `chunk` to every attached client, if all take it at once; otherwise none has it.
    pub fn try_write(&self, chunk: &Chunk) -> bool {
        let mut locked = self.lock();
        let Clients::Open(clients) = &mut *locked else {
            return true;
        };
        clients.retain(|client| !client.is_closed());
        if !clients.iter().all(|client| client.capacity() > 0) {
            return false;
        }
        for client in clients {
            // There is room, and nobody else writes while we hold the lock; a client that goes away now needs nothing.
            let _ = client.try_send(chunk.clone());
        }
        true
    }

    /// Whether what no client takes at once is dropped.
    pub fn is_discarding(&self) -> bool {
        *self.discarding.borrow()
    }

    /// Drops from now on what no client takes at once.
    pub fn discard(&self) {
        self.discarding.send_replace(true);
    }

    /// There is no more output: clients see the end once they took what there is.
    pub fn close(&self) {
        *self.lock() = Clients::Closed;
    }

    fn drop_gone(&self) {
        if let Clients::Open(clients) = &mut *self.lock() {
            clients.retain(|client| !client.is_closed());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Clients> {
        // Nothing that holds the lock can panic half-way through a change.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &'static str) -> Chunk {
        Chunk {
            stream: Stream::Stdout,
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    #[tokio::test]
    async fn every_client_gets_everything_in_order_and_then_the_end() {
        let outlets = Outlets::default();
        let mut clients = [outlets.attach(), outlets.attach()];
        outlets.write(chunk("a")).await;
        outlets.write(chunk("b")).await;
        outlets.close();
        for client in &mut clients {
            assert_eq!(client.recv().await, Some(chunk("a")));
            assert_eq!(client.recv().await, Some(chunk("b")));
            assert_eq!(client.recv().await, None);
        }
    }

    #[tokio::test]
    async fn output_that_nobody_wants_is_dropped() {
        let outlets = Outlets::default();
        drop(outlets.attach());
        for _ in 0..CHUNKS_MAX * 2 {
            outlets.write(chunk("a")).await;
        }
        outlets.close();
        assert_eq!(outlets.attach().recv().await, None);
    }

    #[tokio::test]
    async fn a_slow_client_holds_back_until_output_is_discarded() {
        let outlets = Outlets::default();
        let mut slow = outlets.attach();
        for _ in 0..CHUNKS_MAX {
            outlets.write(chunk("a")).await;
        }
        let blocked = outlets.write(chunk("b"));
        tokio::pin!(blocked);
        assert!(futures_util::poll!(&mut blocked).is_pending());
        outlets.discard();
        blocked.await;
        outlets.close();
        let mut taken = 0;
        while slow.recv().await.is_some() {
            taken += 1;
        }
        assert_eq!(taken, CHUNKS_MAX);
    }
}
