//! The relays of all streams, each waited for at one of its two ends.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::epoll::EventFlags;

use crate::poller::{Poller, Token};
use crate::relay::{Needs, Relay};

/// The relays, by the index that their tokens carry.
#[derive(Debug, Default)]
pub struct Carriers(Vec<Option<Carrier>>);

/// A relay and the end that it waits for.
#[derive(Debug)]
struct Carrier {
    relay: Relay,
    waits_for: Needs,
}

impl Carriers {
    /// Begins to carry bytes from `source` to `sink`, neither of which may block.
    ///
    /// # Errors
    /// The kernel's.
    pub fn carry(&mut self, poller: &Poller, source: OwnedFd, sink: OwnedFd) -> io::Result<()> {
        let carrier = Carrier {
            relay: Relay::new(source, sink),
            waits_for: Needs::Source,
        };
        let index = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        let (end, flags) = watched(&carrier);
        poller.add(end, Token::Relay(index), flags)?;
        self.0.push(Some(carrier));
        Ok(())
    }

    /// Lets the relay with this index make a step, and waits for the end that it then needs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn step(&mut self, poller: &Poller, index: u32) -> io::Result<()> {
        let Some(slot) = self.0.get_mut(index as usize) else {
            return Ok(());
        };
        let Some(carrier) = slot else { return Ok(()) };
        let needs = carrier.relay.step();
        if needs == carrier.waits_for {
            return Ok(());
        }
        // Only one end is ever watched: the other would report over and over what nobody can do anything about.
        poller.remove(watched(carrier).0)?;
        carrier.waits_for = needs;
        if needs == Needs::Nothing {
            *slot = None;
            return Ok(());
        }
        let (end, flags) = watched(carrier);
        poller.add(end, Token::Relay(index), flags)
    }
}

/// The end that a relay waits for, and what for.
fn watched(carrier: &Carrier) -> (BorrowedFd<'_>, EventFlags) {
    match carrier.waits_for {
        Needs::Sink => (carrier.relay.sink(), EventFlags::OUT),
        Needs::Source | Needs::Nothing => (carrier.relay.source(), EventFlags::IN),
    }
}
