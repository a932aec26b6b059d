//! The main thread's event loop: serves devices, the control socket and signals until the microVM ends.

use std::sync::mpsc::{self, Receiver};

use devices::device::Worker;
use event_manager::{EventManager, EventOps, Events, MutEventSubscriber, SubscriberId, SubscriberOps};

use crate::control::Control;
use crate::ending::Ending;
use crate::reports::{Report, Reporter};
use crate::signals::Signals;
use crate::workers::Workers;

/// Whose descriptors the loop watches.
pub enum Subscriber {
    /// A device's queues.
    Worker(Box<dyn Worker>),
    /// The control socket and its connections.
    Control(Control),
    /// The signals that end the process in good order.
    Signals(Signals),
}

impl MutEventSubscriber for Subscriber {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        match self {
            Self::Worker(worker) => worker.process(events, ops),
            Self::Control(control) => control.process(events, ops),
            Self::Signals(signals) => signals.process(events, ops),
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        match self {
            Self::Worker(worker) => worker.init(ops),
            Self::Control(control) => control.init(ops),
            Self::Signals(signals) => signals.init(ops),
        }
    }
}

/// The loop, before and while it runs.
pub struct EventLoop {
    manager: EventManager<Subscriber>,
    reports: Receiver<Report>,
    reporter: Reporter,
    control: SubscriberId,
}

impl EventLoop {
    /// A loop that serves `control` and `signals`; devices come later.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn new(control: Control, signals: Signals) -> Result<Self, event_manager::Error> {
        let mut manager = EventManager::new()?;
        let (sender, reports) = mpsc::channel();
        let reporter = Reporter::new(sender, manager.remote_endpoint());
        let control = manager.add_subscriber(Subscriber::Control(control.reporting_to(reporter.clone())));
        manager.add_subscriber(Subscriber::Signals(signals.reporting_to(reporter.clone())));
        Ok(Self {
            manager,
            reports,
            reporter,
            control,
        })
    }

    /// The way to tell this loop something.
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// The way by which the bus gives workers to this loop.
    pub fn workers(&self) -> Workers {
        Workers::new(self.manager.remote_endpoint())
    }

    /// Runs until the microVM has ended, or has to.
    pub fn run(&mut self) -> Ending {
        loop {
            while let Ok(report) = self.reports.try_recv() {
                match report {
                    Report::Ended(ending) => return ending,
                    Report::Event(event) => {
                        if let Ok(Subscriber::Control(control)) = self.manager.subscriber_mut(self.control) {
                            control.announce(&event);
                        }
                    }
                }
            }
            if let Err(error) = self.manager.run() {
                return Ending::failure(anyhow::Error::new(error).context("cannot wait for events"));
            }
        }
    }

    /// Ends the loop: workers are gone, nobody waits for it any more. What is left is the control socket.
    pub fn end(mut self) -> Control {
        match self.manager.remove_subscriber(self.control) {
            Ok(Subscriber::Control(control)) => control,
            // It was added by `new` under this id, and nothing else removes it.
            _ => Control::closed(),
        }
    }
}
