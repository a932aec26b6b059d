//! All that the event loop watches.

use std::sync::Arc;

use devices::device::Worker;
use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::EventFd;

use crate::control::Control;
use crate::signals::Signals;

/// Whose descriptors the loop watches.
pub enum Subscriber {
    /// A device's queues.
    Worker(Box<dyn Worker>),
    /// The control socket and its connections.
    Control(Control),
    /// The event that says that there are reports. To wake the loop is all that it does.
    Reports(Arc<EventFd>),
    /// The signals that end the process in good order.
    Signals(Signals),
}

impl MutEventSubscriber for Subscriber {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        match self {
            Self::Worker(worker) => worker.process(events, ops),
            Self::Control(control) => control.process(events, ops),
            Self::Reports(news) => {
                let _ = news.read();
            }
            Self::Signals(signals) => signals.process(events, ops),
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        match self {
            Self::Worker(worker) => worker.init(ops),
            Self::Control(control) => control.init(ops),
            Self::Reports(news) => {
                // A new loop has room for its first descriptors.
                let _ = ops.add(Events::new(news.as_ref(), EventSet::IN));
            }
            Self::Signals(signals) => signals.init(ops),
        }
    }
}
