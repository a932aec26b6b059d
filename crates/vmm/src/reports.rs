//! What any thread tells the main one, which acts on it.

use std::sync::mpsc::Sender;

use event_manager::RemoteEndpoint;
use protocol::vmm::Event;

use crate::ending::Ending;
use crate::event_loop::Subscriber;

/// Something that the main thread has to know.
#[derive(Debug)]
pub enum Report {
    /// To be passed on to whoever controls this microVM.
    Event(Event),
    /// The microVM has ended, or has to. The first one counts.
    Ended(Ending),
}

/// A way to the main thread. A clone leads to the same.
#[derive(Clone)]
pub struct Reporter {
    sender: Sender<Report>,
    waker: RemoteEndpoint<Subscriber>,
}

impl Reporter {
    /// Reports go into `sender`, and `waker` makes the loop look for them.
    pub fn new(sender: Sender<Report>, waker: RemoteEndpoint<Subscriber>) -> Self {
        Self { sender, waker }
    }

    /// Tells the main thread, and does not wait for it.
    pub fn report(&self, report: Report) {
        // Where the main thread listens no more, the microVM is ending already.
        if self.sender.send(report).is_ok() {
            let _ = self.waker.kick();
        }
    }
}
