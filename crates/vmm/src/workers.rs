//! How the bus, on a vCPU's thread, gives devices' workers to the event loop and takes them back.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use devices::device::{ActivateError, Worker};
use devices::slots::{SLOT_COUNT, SlotIndex, WorkerSink};
use event_manager::{RemoteEndpoint, SubscriberId};

use crate::subscriber::Subscriber;

/// The most refused set-ups that are told of: a guest can cause any number.
const REFUSALS_TOLD_MAX: u32 = 16;

/// The event loop, as a [`WorkerSink`].
pub struct Workers {
    event_loop: RemoteEndpoint<Subscriber>,
    // Only the loop's thread locks it, in what it is sent from here: it is shared because each message carries it.
    subscribers: Arc<Mutex<[Option<SubscriberId>; SLOT_COUNT]>>,
    refusals: AtomicU32,
}

impl Workers {
    /// Workers of the loop that `event_loop` leads to.
    pub fn new(event_loop: RemoteEndpoint<Subscriber>) -> Self {
        Self {
            event_loop,
            subscribers: Arc::default(),
            refusals: AtomicU32::new(0),
        }
    }
}

impl WorkerSink for Workers {
    fn start(&self, slot: SlotIndex, worker: Box<dyn Worker>) {
        let subscribers = Arc::clone(&self.subscribers);
        // Where the loop has ended, so does the guest, and needs no worker.
        let _ = self.event_loop.fire(move |event_loop| {
            let id = event_loop.add_subscriber(Subscriber::Worker(worker));
            subscribers.lock().unwrap_or_else(PoisonError::into_inner)[slot.get()] = Some(id);
        });
    }

    fn stop(&self, slot: SlotIndex) {
        let subscribers = Arc::clone(&self.subscribers);
        // Where the loop has ended, the worker went with it: the call then fails instead of waiting.
        let _ = self.event_loop.call_blocking(move |event_loop| {
            match subscribers.lock().unwrap_or_else(PoisonError::into_inner)[slot.get()].take() {
                Some(id) => event_loop.remove_subscriber(id).map(drop),
                None => Ok(()),
            }
        });
    }

    fn refused(&self, slot: SlotIndex, error: &ActivateError) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) < REFUSALS_TOLD_MAX {
            let _ = writeln!(
                io::stderr(),
                "mote-vmm: the guest set up the device in slot {slot} wrongly: {error}"
            );
        }
    }
}
