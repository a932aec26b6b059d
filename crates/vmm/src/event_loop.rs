//! The main thread's event loop: serves devices, the control socket and signals until the microVM ends.

use std::os::fd::OwnedFd;
use std::sync::mpsc::Receiver;

use event_manager::{EventManager, SubscriberId, SubscriberOps};
use protocol::vmm::{Event, Shape};

use crate::control::Control;
use crate::ending::Ending;
use crate::reports::{self, Report, Reporter};
use crate::signals::Signals;
use crate::subscriber::Subscriber;
use crate::workers::Workers;

/// What makes the loop return.
pub enum Turn {
    /// The microVM is told what to be, and this came with it.
    Run(Box<Shape>, Vec<OwnedFd>),
    /// A controller wants to know which pages the clone has written.
    Observe,
    /// The microVM has ended, or has to.
    Ended(Ending),
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
    pub fn new(control: Control, signals: Signals) -> anyhow::Result<Self> {
        let mut manager = EventManager::new()?;
        let (reporter, reports) = reports::channel()?;
        let control = manager.add_subscriber(Subscriber::Control(control.reporting_to(reporter.clone())));
        manager.add_subscriber(Subscriber::Reports(reporter.news()));
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

    /// Runs until the microVM has ended, or has to. What it is asked for is answered with the first event that `observe` gives.
    pub fn run_to_the_end(&mut self, observe: impl Fn() -> Option<Event>) -> Ending {
        let mut has_observed = false;
        loop {
            match self.run() {
                Turn::Ended(ending) => return ending,
                // Once: an event is kept for those who come later.
                Turn::Observe if !has_observed => {
                    if let Some(event) = observe() {
                        has_observed = true;
                        self.reporter.report(Report::Event(event));
                    }
                }
                // A microVM that runs has its shape: another one changes nothing.
                Turn::Observe | Turn::Run(..) => {}
            }
        }
    }

    /// Runs until there is a decision to be made.
    pub fn run(&mut self) -> Turn {
        loop {
            while let Ok(report) = self.reports.try_recv() {
                match report {
                    Report::Ended(ending) => return Turn::Ended(ending),
                    Report::Shape(shape, attached) => return Turn::Run(shape, attached),
                    Report::Observe => return Turn::Observe,
                    Report::Event(event) => {
                        if let Ok(Subscriber::Control(control)) = self.manager.subscriber_mut(self.control) {
                            control.announce(&event);
                        }
                    }
                }
            }
            if let Err(error) = self.manager.run() {
                let error = anyhow::Error::new(error).context("cannot wait for events");
                return Turn::Ended(Ending::failure(error));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::CONNECTIONS_MAX;
    use protocol::frame;
    use protocol::vmm::{self, ExitCode, Request};
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::thread;

    const RUNNABLE: Event = Event::VcpuRunnable { monotonic_ns: 1 };
    const BOOTED: Event = Event::GuestBooted { monotonic_ns: 2 };

    fn ended() -> Event {
        Event::Ended {
            exit: ExitCode::Stopped,
            message: "over".to_owned(),
        }
    }

    /// Runs a loop while `controllers` acts on its socket; gives what ended the loop. Then [`ended`] is told.
    fn check(controllers: impl FnOnce(&Path, Reporter) + Send) -> Ending {
        check_awaiting(false, controllers)
    }

    fn check_awaiting(awaits_shape: bool, controllers: impl FnOnce(&Path, Reporter) + Send) -> Ending {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("control");
        let control = Control::open(&vmm::Control::Path(path.clone()), awaits_shape).unwrap();
        let mut event_loop = EventLoop::new(control, Signals::catch().unwrap()).unwrap();
        let reporter = event_loop.reporter();
        thread::scope(|scope| {
            scope.spawn(|| controllers(&path, reporter));
            let ending = event_loop.run_to_the_end(|| None);
            event_loop.end().close(&ended());
            ending
        })
    }

    fn hear(stream: &mut UnixStream) -> Option<Event> {
        frame::read(stream).unwrap()
    }

    #[test]
    fn who_comes_late_hears_everything_from_the_start() {
        let ending = check(|path, reporter| {
            let mut early = UnixStream::connect(path).unwrap();
            reporter.report(Report::Event(RUNNABLE));
            assert_eq!(hear(&mut early), Some(RUNNABLE));
            reporter.report(Report::Event(BOOTED));
            assert_eq!(hear(&mut early), Some(BOOTED));
            let mut late = UnixStream::connect(path).unwrap();
            assert_eq!((hear(&mut late), hear(&mut late)), (Some(RUNNABLE), Some(BOOTED)));
            frame::write(&mut late, &Request::Stop).unwrap();
            for mut stream in [early, late] {
                assert_eq!((hear(&mut stream), hear(&mut stream)), (Some(ended()), None));
            }
        });
        assert_eq!(ending.exit, ExitCode::Stopped);
    }

    #[test]
    fn who_was_never_accepted_hears_of_the_end() {
        check(|path, reporter| {
            let mut waiting = UnixStream::connect(path).unwrap();
            reporter.report(Report::Ended(Ending::new(ExitCode::GuestShutdown, "bye")));
            assert_eq!(hear(&mut waiting), Some(ended()));
        });
    }

    #[test]
    fn a_microvm_without_a_shape_ends_with_its_last_controller() {
        let ending = check_awaiting(true, |path, reporter| {
            let mut one = UnixStream::connect(path).unwrap();
            let mut other = UnixStream::connect(path).unwrap();
            reporter.report(Report::Event(RUNNABLE));
            assert_eq!((hear(&mut one), hear(&mut other)), (Some(RUNNABLE), Some(RUNNABLE)));
            drop(one);
            reporter.report(Report::Event(BOOTED));
            assert_eq!(hear(&mut other), Some(BOOTED));
        });
        assert!(ending.message.contains("went away"), "{}", ending.message);
    }

    #[test]
    fn the_first_ending_counts() {
        let ending = check(|_, reporter| {
            reporter.report(Report::Ended(Ending::new(ExitCode::GuestPanic, "first")));
            reporter.report(Report::Ended(Ending::new(ExitCode::GuestShutdown, "second")));
        });
        assert_eq!(ending.message, "first");
    }

    #[test]
    fn nonsense_and_crowds_are_cut_off_and_others_served() {
        check(|path, reporter| {
            let mut good = UnixStream::connect(path).unwrap();
            reporter.report(Report::Event(RUNNABLE));
            assert_eq!(hear(&mut good), Some(RUNNABLE));
            let mut bad = UnixStream::connect(path).unwrap();
            frame::write(&mut bad, &"dance").unwrap();
            assert_eq!((hear(&mut bad), hear(&mut bad)), (Some(RUNNABLE), None));
            let mut crowd: Vec<_> = (0..CONNECTIONS_MAX)
                .map(|_| UnixStream::connect(path).unwrap())
                .collect();
            let heard = crowd.iter_mut().map(hear).collect::<Vec<_>>();
            assert_eq!(heard, vec![Some(RUNNABLE); CONNECTIONS_MAX]);
            // One of them was one too many.
            assert_eq!(hear(&mut crowd[CONNECTIONS_MAX - 1]), None);
            frame::write(&mut good, &Request::Stop).unwrap();
            assert_eq!(hear(&mut good), Some(ended()));
        });
    }
}
