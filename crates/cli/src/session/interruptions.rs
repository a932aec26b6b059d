//! Signals to this command, which are meant for what it is connected to.

use std::future::poll_fn;
use std::task::Poll;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that ask for an end, by number (signal(7)).
const ENDING: [(SignalKind, u8); 3] = [
    (SignalKind::interrupt(), 2),
    (SignalKind::terminate(), 15),
    (SignalKind::hangup(), 1),
];

/// Signals that ask for something else.
const OTHER: [(SignalKind, u8); 3] = [
    (SignalKind::quit(), 3),
    (SignalKind::user_defined1(), 10),
    (SignalKind::user_defined2(), 12),
];

/// The signals that come from outside. They end this process no more, once this value was made.
pub struct Interruptions {
    signals: Vec<(Signal, u8)>,
    /// How many asked for an end so far.
    pub count: u32,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Its number.
    pub signal: u8,
    /// How many asked for an end so far.
    pub count: u32,
}

impl Interruptions {
    /// Listens from now on for those that ask for an end.
    pub fn listen() -> Result<Self> {
        let signals = open(&ENDING)?;
        Ok(Self { signals, count: 0 })
    }

    /// Listens from now on for everything that can be passed on.
    pub fn listen_to_all() -> Result<Self> {
        let mut interruptions = Self::listen()?;
        interruptions.signals.extend(open(&OTHER)?);
        Ok(interruptions)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Interruption {
        let signal = poll_fn(|context| {
            let mut signals = self.signals.iter_mut();
            let came = signals.find_map(|(signal, number)| signal.poll_recv(context).is_ready().then_some(*number));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.count += u32::from(ENDING.iter().any(|(_, ending)| *ending == signal));
        Interruption {
            signal,
            count: self.count,
        }
    }
}

fn open(kinds: &[(SignalKind, u8)]) -> Result<Vec<(Signal, u8)>> {
    let opened = kinds.iter().map(|(kind, number)| Ok((signal(*kind)?, *number)));
    opened
        .collect::<std::io::Result<_>>()
        .context("cannot listen for signals")
}
