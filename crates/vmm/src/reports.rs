//! What any thread tells the main one, which acts on it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use protocol::vmm::{Event, Shape};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use crate::ending::Ending;

/// Something that the main thread has to know.
#[derive(Debug)]
pub enum Report {
    /// To be passed on to whoever controls this microVM.
    Event(Event),
    /// A controller wants to know which pages the clone has written.
    Observe,
    /// This is what the microVM is to be, and what came with it.
    Shape(Box<Shape>, Vec<OwnedFd>),
    /// The microVM has ended, or has to. The first one counts.
    Ended(Ending),
}

/// A way to the main thread. A clone leads to the same.
#[derive(Clone)]
pub struct Reporter {
    sender: Sender<Report>,
    news: Arc<EventFd>,
}

/// A way, and its end.
///
/// # Errors
/// Where the system has no descriptor left.
pub fn channel() -> io::Result<(Reporter, Receiver<Report>)> {
    let (sender, reports) = mpsc::channel();
    let news = Arc::new(EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC)?);
    Ok((Reporter { sender, news }, reports))
}

impl Reporter {
    /// Signalled when there are reports.
    pub fn news(&self) -> Arc<EventFd> {
        Arc::clone(&self.news)
    }

    /// Tells the main thread, and does not wait for it.
    pub fn report(&self, report: Report) {
        // Where the main thread listens no more, the microVM is ending already.
        if self.sender.send(report).is_ok() {
            // This fails only where the loop has been told so often that it knows.
            let _ = self.news.write(1);
        }
    }
}
