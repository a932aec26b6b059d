//! A running microVM: its VMM's process, the session with its guest, and the one place where all of them end.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::vmm::{self, ExitCode, Request};
use tokio::net::UnixListener;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::Notice;
use super::guest::{self, Guest};
use super::link::GuestLink;
use super::output::Outputs;
use crate::clock::Point;
use crate::launch::{Events, Found, Held, Traces, Vmm, VmmProcess, read_frame, write_frame};
use crate::lifecycle::Event;
use crate::pool::Start;
use crate::sentence::told;
use crate::session::Known;
use crate::template::Template;

/// How long a microVM may run on after its guest has ended the session.
const WITHOUT_SESSION: Duration = Duration::from_secs(10);

/// What every microVM of a task is watched with.
pub struct Watch {
    /// Where its output goes.
    pub outputs: Outputs,
    /// Where it is told how the guest is reached.
    pub link: watch::Sender<Option<Arc<GuestLink>>>,
    /// Where events go: from a successful start on, exactly one [`Event::MicrovmEnded`] and then one [`Event::OutputOver`], or else one
    /// [`Event::CloneFailed`].
    pub notices: mpsc::Sender<Notice>,
    /// The start of its task, which is over with the first program's beginning, or with the microVM.
    pub start: Option<Start>,
}

/// A microVM. Dropping it ends it without a word.
pub struct Microvm {
    id: String,
    /// What goes after its process.
    held: Held,
    /// What it is a clone of.
    template: Option<Arc<Template>>,
    kill: Arc<Notify>,
    leave: Arc<Notify>,
    supervision: AbortOnDropHandle<Option<String>>,
}

impl Microvm {
    /// What holds it and bounds it.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// What it is a clone of.
    pub const fn template(&self) -> Option<&Arc<Template>> {
        self.template.as_ref()
    }

    /// Ends the process. Its end is reported as any other.
    pub fn kill(&self) {
        self.kill.notify_one();
    }

    /// Removes what it held, its process being gone; why it failed, where it is a clone that did.
    pub async fn release(self) -> Option<String> {
        // Its end was reported, or it never mattered.
        self.kill();
        let Self {
            id, held, supervision, ..
        } = self;
        let failure = supervision.await.ok().flatten();
        held.release(&id).await;
        failure
    }

    /// Leaves it to a later host agent.
    pub async fn leave(self) {
        self.leave.notify_one();
        let Self { held, supervision, .. } = self;
        // What it was about to report is told again.
        let _ = supervision.await;
        held.leave();
    }
}

/// Watches over a VMM that was just told what to be.
pub fn start(vmm: Vmm, template: Option<Arc<Template>>, watch: Watch) -> Microvm {
    let traces = vmm.held.traces();
    let way = Way::Door(vmm.door);
    let observed = template.clone();
    let parts = (vmm.process, vmm.events, vmm.requests);
    supervise(vmm.id, vmm.held, template, |signals| Supervision {
        process: parts.0,
        events: parts.1,
        requests: parts.2,
        traces,
        template: observed,
        way,
        signals,
        watch,
    })
}

/// Watches over a microVM that an earlier host agent has started, and of which `known` is what its guest may speak of.
pub fn adopt(id: String, found: Found, known: Vec<Known>, watch: Watch) -> Microvm {
    let traces = found.held.traces();
    let way = Way::Socket(found.held.vsock(), known);
    let parts = (found.process, found.events, found.requests);
    supervise(id, found.held, None, |signals| Supervision {
        process: parts.0,
        events: parts.1,
        requests: parts.2,
        traces,
        template: None,
        way,
        signals,
        watch,
    })
}

fn supervise(
    id: String,
    held: Held,
    template: Option<Arc<Template>>,
    make: impl FnOnce(Signals) -> Supervision,
) -> Microvm {
    let (kill, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let supervision = make(Signals {
        kill: kill.clone(),
        leave: leave.clone(),
        started: Arc::new(Notify::new()),
    });
    Microvm {
        id,
        held,
        template,
        kill,
        leave,
        supervision: AbortOnDropHandle::new(tokio::spawn(supervision.run())),
    }
}

/// How the guest is reached.
enum Way {
    /// It comes here.
    Door(UnixListener),
    /// It listens behind this socket, and this is what it may speak of.
    Socket(PathBuf, Vec<Known>),
    /// It was reached.
    Gone,
}

struct Signals {
    kill: Arc<Notify>,
    leave: Arc<Notify>,
    started: Arc<Notify>,
}

/// What it takes to see a microVM to its end.
struct Supervision {
    process: VmmProcess,
    events: Events,
    // The connection stays open for as long as the process lives.
    requests: OwnedWriteHalf,
    traces: Traces,
    template: Option<Arc<Template>>,
    way: Way,
    signals: Signals,
    watch: Watch,
}

impl Supervision {
    /// Waits for the end of a VMM, and for everything that it sent before; why a clone failed, if it did.
    async fn run(mut self) -> Option<String> {
        let leave = self.signals.leave.clone();
        let notices = self.watch.notices.clone();
        let ended = tokio::select! {
            ended = self.watch_over() => Some(ended),
            () = leave.notified() => None,
        };
        let Some((message, has_answered)) = ended else {
            self.process.leave();
            return None;
        };
        drop(self.requests);
        self.watch.link.send_replace(None);
        // A task that is over takes no notices.
        if self.template.is_some() && !has_answered {
            let _ = notices.send(Notice::Event(Event::CloneFailed(message.clone()))).await;
            return Some(message);
        }
        let _ = notices.send(Notice::Event(Event::MicrovmEnded(message))).await;
        self.watch.outputs.finish().await;
        let _ = notices.send(Notice::Event(Event::OutputOver)).await;
        None
    }

    /// Why it ended, and whether the guest agent answered.
    async fn watch_over(&mut self) -> (String, bool) {
        let Self {
            process,
            events,
            requests,
            template,
            way,
            signals,
            watch,
            ..
        } = self;
        let template = template.as_deref();
        let (gone, is_gone) = watch::channel(false);
        let (silent, is_silent) = watch::channel(false);
        let wait = async {
            let killed = tokio::select! {
                status = process.wait() => Err(status),
                () = signals.kill.notified() => Ok(()),
            };
            let status = match killed {
                Err(status) => status,
                Ok(()) => {
                    process.kill();
                    process.wait().await
                }
            };
            gone.send_replace(true);
            status
        };
        let notices = watch.notices.clone();
        let guest = Guest {
            outputs: &mut watch.outputs,
            link: &watch.link,
            notices: &notices,
            started: &signals.started,
            start: &mut watch.start,
        };
        let session = async {
            let has_answered = match std::mem::replace(way, Way::Gone) {
                Way::Door(door) => guest::serve(guest, door, is_gone.clone()).await,
                Way::Socket(socket, known) => guest::resume(guest, &socket, &known, is_gone.clone()).await,
                Way::Gone => false,
            };
            silent.send_replace(true);
            has_answered
        };
        // The process's end closes all its connections; what is in them still counts, so all are read to their ends.
        let (status, ended, has_answered, ()) = tokio::join!(
            wait,
            follow(events, &notices, template),
            async {
                tokio::select! {
                    has_answered = session => has_answered,
                    never = observe(requests, &signals.started, template) => match never {},
                }
            },
            report_silence(is_silent, is_gone.clone(), &notices),
        );
        (self.traces.ending(&status, ended), has_answered)
    }
}

/// A guest that ends the session ends itself. One that does not is of no use any more.
async fn report_silence(
    mut silent: watch::Receiver<bool>,
    mut gone: watch::Receiver<bool>,
    notices: &mpsc::Sender<Notice>,
) {
    let late = async {
        // The senders live as long as this is waited for.
        let _ = silent.wait_for(|silent| *silent).await;
        tokio::time::sleep(WITHOUT_SESSION).await;
        let failed = Event::GuestFailed("the guest agent has ended the session".to_owned());
        let _ = notices.send(Notice::Event(failed)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = late => {}
        _ = gone.wait_for(|gone| *gone) => {}
    }
}

/// Asks a clone whose program has begun which pages it has written, if its template has not learned that yet. Then there is nothing more to ask.
async fn observe(requests: &mut OwnedWriteHalf, started: &Notify, template: Option<&Template>) -> Infallible {
    started.notified().await;
    if template.is_some_and(Template::learns) {
        // A VMM that takes no request is at its end.
        let _ = write_frame(requests, &Request::Observe).await;
    }
    std::future::pending().await
}

/// Follows the events of a VMM until its control connection ends; what it said of its end.
async fn follow(
    events: &mut Events,
    notices: &mpsc::Sender<Notice>,
    template: Option<&Template>,
) -> Option<(ExitCode, String)> {
    let mut ended = None;
    // The VMM's end is told by its process, so a connection that fails tells nothing.
    while let Ok(Some(event)) = read_frame::<vmm::Event>(events).await {
        let (point, monotonic_ns) = match event {
            vmm::Event::Waiting { .. } => continue,
            vmm::Event::VcpuRunnable { monotonic_ns } => (Point::VcpuRunnable, monotonic_ns),
            vmm::Event::GuestBooted { monotonic_ns } => (Point::GuestBooted, monotonic_ns),
            vmm::Event::Touched { written, mapped } => {
                if let Some(template) = template {
                    template.learn(&written, &mapped);
                }
                continue;
            }
            vmm::Event::Ended { exit, message } => {
                ended = Some((exit, told(&message)));
                continue;
            }
        };
        // A task that is over takes no notices.
        let _ = notices.send(Notice::Reached(point, monotonic_ns)).await;
    }
    ended
}
