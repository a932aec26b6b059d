//! `SIGTERM` and `SIGINT`: the microVM is stopped, and the process ends in good order.

use std::os::fd::AsRawFd;

use event_manager::{EventOps, Events, MutEventSubscriber};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use protocol::vmm::ExitCode;
use vmm_sys_util::epoll::EventSet;

use crate::ending::Ending;
use crate::reports::{Report, Reporter};

/// The signals, as something to wait for.
pub struct Signals {
    pending: SignalFd,
    reporter: Option<Reporter>,
}

impl Signals {
    /// From now on the signals wait here, for the calling thread and all that it will start.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn catch() -> Result<Self, Errno> {
        let caught: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        let mut blocked = caught;
        // A controller that has gone is noticed where it is written to.
        blocked.add(Signal::SIGPIPE);
        blocked.thread_block()?;
        let pending = SignalFd::with_flags(&caught, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self {
            pending,
            reporter: None,
        })
    }

    /// Says where a signal is reported.
    pub fn reporting_to(self, reporter: Reporter) -> Self {
        Self {
            reporter: Some(reporter),
            ..self
        }
    }
}

impl MutEventSubscriber for Signals {
    fn init(&mut self, ops: &mut EventOps) {
        // A new loop has room for its first descriptors; were it not so, the signals would wait for ever, and so stop nothing.
        let _ = ops.add(Events::new_raw(self.pending.as_raw_fd(), EventSet::IN));
    }

    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        if let (Ok(Some(_)), Some(reporter)) = (self.pending.read_signal(), &self.reporter) {
            reporter.report(Report::Ended(Ending::new(
                ExitCode::Stopped,
                "a signal stopped the microVM",
            )));
        }
    }
}
