//! The two halves of a connection's flow control (virtio 1.2, 5.10.6.3), counted modulo 2^32; knows no socket.

use thiserror::Error;

use crate::vsock::packet::Credit;

/// How many bytes of one connection the device keeps at most for a host program that does not read.
pub const BUFFER_BYTES: u32 = 256 * 1024;

/// How much room a guest that counts on old news may still see before it is given new ones.
const STALE_ROOM_BYTES: u32 = BUFFER_BYTES / 2;

/// A guest has sent more than it was granted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the guest has sent more than it was granted")]
pub struct Overrun;

/// Guest to host: what the guest was granted, and what it has used of it.
#[derive(Debug, Default)]
pub struct Intake {
    received: u32,
    forwarded: u32,
    /// The value of `forwarded` that the guest knows.
    announced: u32,
}

impl Intake {
    /// Counts bytes that have come from the guest.
    ///
    /// # Errors
    ///
    /// When there is no room for them.
    pub fn receive(&mut self, bytes: usize) -> Result<(), Overrun> {
        let bytes = u32::try_from(bytes).map_err(|_| Overrun)?;
        if bytes > BUFFER_BYTES - self.received.wrapping_sub(self.forwarded) {
            return Err(Overrun);
        }
        self.received = self.received.wrapping_add(bytes);
        Ok(())
    }

    /// Counts bytes that have gone to the host, or are given up; at most those that were received.
    pub fn forward(&mut self, bytes: usize) {
        let held = self.received.wrapping_sub(self.forwarded);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(held);
        self.forwarded = self.forwarded.wrapping_add(bytes);
    }

    /// What to tell the guest now. It is taken as told.
    pub fn announce(&mut self) -> Credit {
        self.announced = self.forwarded;
        Credit {
            buffer_bytes: BUFFER_BYTES,
            forwarded: self.forwarded,
        }
    }

    /// Whether the guest should be told although there is nothing else to say.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        let seen_room = BUFFER_BYTES.saturating_sub(self.received.wrapping_sub(self.announced));
        self.announced != self.forwarded && seen_room < STALE_ROOM_BYTES
    }
}

/// Host to guest: what the guest has granted, and what was used of it.
#[derive(Debug, Default)]
pub struct Allowance {
    sent: u32,
    guest: Credit,
}

impl Allowance {
    /// The allowance of a guest that has said this.
    #[must_use]
    pub fn new(guest: Credit) -> Self {
        Self { sent: 0, guest }
    }

    /// Takes note of what the guest says; what makes no sense leaves nothing to send.
    pub fn learn(&mut self, guest: Credit) {
        self.guest = guest;
    }

    /// How many bytes may be sent.
    #[must_use]
    pub fn left(&self) -> usize {
        let under_way = self.sent.wrapping_sub(self.guest.forwarded);
        usize::try_from(self.guest.buffer_bytes.saturating_sub(under_way)).unwrap_or(0)
    }

    /// Counts bytes that were sent; at most what was left.
    pub fn spend(&mut self, bytes: usize) {
        self.sent = self.sent.wrapping_add(u32::try_from(bytes).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: usize = BUFFER_BYTES as usize;

    #[test]
    fn a_full_buffer_takes_no_byte() {
        let mut intake = Intake::default();
        intake.receive(ALL).unwrap();
        assert_eq!(intake.receive(1), Err(Overrun));
        intake.forward(1);
        intake.receive(1).unwrap();
    }

    #[test]
    fn news_are_due_when_the_guest_sees_little_room_and_there_is_more() {
        let mut intake = Intake::default();
        intake.receive(ALL).unwrap();
        assert!(!intake.is_stale(), "nothing has left the buffer");
        intake.forward(10);
        assert!(intake.is_stale());
        assert_eq!(
            intake.announce(),
            Credit {
                buffer_bytes: BUFFER_BYTES,
                forwarded: 10
            }
        );
        assert!(!intake.is_stale());
    }

    #[test]
    fn a_guest_with_much_room_is_left_alone() {
        let mut intake = Intake::default();
        intake.receive(1000).unwrap();
        intake.forward(1000);
        assert!(!intake.is_stale());
    }

    #[test]
    fn the_allowance_is_what_the_guest_has_not_forwarded() {
        let mut allowance = Allowance::new(Credit {
            buffer_bytes: 100,
            forwarded: 0,
        });
        allowance.spend(100);
        assert_eq!(allowance.left(), 0);
        allowance.learn(Credit {
            buffer_bytes: 100,
            forwarded: 30,
        });
        assert_eq!(allowance.left(), 30);
    }

    #[test]
    fn a_guest_that_shrinks_its_buffer_or_forwards_the_future_gets_nothing() {
        let mut allowance = Allowance::new(Credit {
            buffer_bytes: 100,
            forwarded: 0,
        });
        allowance.spend(50);
        allowance.learn(Credit {
            buffer_bytes: 10,
            forwarded: 0,
        });
        assert_eq!(allowance.left(), 0);
        allowance.learn(Credit {
            buffer_bytes: 100,
            forwarded: 51,
        });
        assert_eq!(allowance.left(), 0);
    }

    proptest! {
        #[test]
        fn counters_wrap_without_harm(steps in prop::collection::vec((0u32..=BUFFER_BYTES, 0u32..=BUFFER_BYTES), 1..50)) {
            // Both sides follow the rules, close to the wrap: the intake's credit never lets the guest overrun it.
            let mut intake = Intake { received: u32::MAX - 5, forwarded: u32::MAX - 5, announced: u32::MAX - 5 };
            let mut guest = Allowance { sent: u32::MAX - 5, guest: intake.announce() };
            for (send, forward) in steps {
                let bytes = guest.left().min(send as usize);
                guest.spend(bytes);
                prop_assert_eq!(intake.receive(bytes), Ok(()));
                intake.forward(forward as usize);
                if intake.is_stale() {
                    guest.learn(intake.announce());
                }
            }
        }
    }
}
