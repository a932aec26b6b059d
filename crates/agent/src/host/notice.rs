//! What a task is told, and what is kept of it beside what clients see.

use protocol::guest::Network;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::images::Fetched;
use crate::clock::Point;
use crate::lifecycle::{Event, State, Timer, Trouble};

/// Notices that wait for a task. Who sends more waits.
pub const NOTICES_MAX: usize = 64;

/// What a task is told.
#[derive(Debug)]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// A client wants something; it is told once that is stored.
    Asked(Event, oneshot::Sender<()>),
    /// A clock point was reached, at this time on `CLOCK_MONOTONIC` in nanoseconds.
    Reached(Point, u64),
    /// Its images were fetched, or not.
    Fetched(Result<Fetched, Trouble>),
    /// Its tags are these from now on; who wants that is told once it is stored.
    Tagged(Vec<(String, String)>, oneshot::Sender<()>),
    /// The host agent ends, and leaves the task to the next one.
    Leave,
}

/// What a later host agent needs to go on with a task: [`crate::record::TaskRecord::core`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The life cycle's.
    pub state: State,
    /// The host's boot that it belongs to: none of its microVM survives that.
    pub boot_id: String,
    /// The microVM's id.
    pub microvm: Option<String>,
    /// What the guest is told of its network.
    pub network: Option<Network>,
    /// The number of the signal that asks each container to end, once the images are known.
    pub stop_signals: Vec<u8>,
    /// What is waited for, each until then in milliseconds since the Unix epoch.
    pub timers: Vec<(Timer, u64)>,
}

impl Kept {
    /// Notes that `timer` is to fire at `at_ms`; whether that is sooner than it was.
    pub fn arm(&mut self, timer: Timer, at_ms: u64) -> bool {
        match self.timers.iter_mut().find(|(known, _)| *known == timer) {
            Some((_, known_ms)) if *known_ms <= at_ms => false,
            Some((_, known_ms)) => {
                *known_ms = at_ms;
                true
            }
            None => {
                self.timers.push((timer, at_ms));
                true
            }
        }
    }

    /// Notes that `timer` has fired; whether it was waited for.
    pub fn fired(&mut self, timer: Timer) -> bool {
        let before = self.timers.len();
        self.timers.retain(|(known, _)| *known != timer);
        self.timers.len() < before
    }
}
