//! A running microVM: its VMM's process, the guest agent's connections, and the one place where all of them end.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::guest::{Stream, ToGuest};
use protocol::vmm::{self, ExitCode, Request};
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::ChildStderr;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::shape::{Files, shape};
use super::{Input, Plan, guest, streams};
use crate::clock::Point;
use crate::launch::{Events, Held, Vmm, VmmProcess, ending, last_lines, read_frame, write_frame};
use crate::lifecycle::Event;
use crate::output::Outlets;
use crate::task::Notice;
use crate::template::Template;

/// Messages that wait for a guest agent: one that takes none is not waited for.
const MESSAGES_MAX: usize = 32;

/// What a microVM is made from.
pub struct Parts<'a> {
    /// Its VMM, which waits.
    pub vmm: Vmm,
    /// What it is to be.
    pub plan: &'a Plan,
    /// What it is a clone of.
    pub template: Option<Arc<Template>>,
    /// What its scratch disk is a view of.
    pub scratch_base: PathBuf,
    /// Where what it writes to that is kept.
    pub scratch_directory: PathBuf,
    /// Where the container's output goes.
    pub outlets: Arc<Outlets>,
    /// Where its input comes from.
    pub input: Option<mpsc::Receiver<Input>>,
    /// Where events go: from a successful start on, exactly one [`Event::StreamsEnded`] and one [`Event::MicrovmEnded`], or else one
    /// [`Event::CloneFailed`].
    pub notices: mpsc::Sender<Notice>,
}

/// How a microVM ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// After its guest agent answered, or as no clone.
    Ended,
    /// As a clone whose guest agent never answered.
    CloneFailed,
}

/// A microVM. Dropping it ends it without a word.
pub struct Microvm {
    id: String,
    /// What goes after its process.
    held: Held,
    /// What it is a clone of.
    template: Option<Arc<Template>>,
    messages: mpsc::Sender<ToGuest>,
    kill: Arc<Notify>,
    supervision: AbortOnDropHandle<Option<Failure>>,
}

/// What is left of a clone that failed.
pub struct Failure {
    /// Why, for a person.
    pub message: String,
    /// The input, which its guest never read.
    pub input: Option<mpsc::Receiver<Input>>,
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

    /// Hands a message to the guest agent's connection; `false` where the guest agent lets them pile up.
    ///
    /// A connection that has ended is no failure of its own: the microVM ends with it, and its end tells why.
    pub fn send(&self, message: ToGuest) -> bool {
        !matches!(self.messages.try_send(message), Err(TrySendError::Full(_)))
    }

    /// Ends the process. Its end is reported as any other.
    pub fn kill(&self) {
        self.kill.notify_one();
    }

    /// Removes what it held, its process being gone.
    pub async fn release(self) -> Option<Failure> {
        // Its end was reported, or it never mattered.
        self.kill();
        let Self {
            id, held, supervision, ..
        } = self;
        let failure = supervision.await.ok().flatten();
        held.release(&id).await;
        failure
    }
}

/// Makes a task's microVM of a VMM.
pub async fn start(parts: Parts<'_>) -> Microvm {
    let mut vmm = parts.vmm;
    let files = Files {
        vsock: vmm.doors.vsock.clone(),
        scratch_base: parts.scratch_base,
        scratch_directory: parts.scratch_directory,
    };
    if let Err(error) = vmm.run(shape(parts.plan, files)).await {
        // It has ended, and that is told by its end.
        tracing::debug!(microvm = vmm.id, "the VMM takes no request: {error}");
    }

    let (messages, outbound) = mpsc::channel(MESSAGES_MAX);
    let (connected, streams_connected) = watch::channel(false);
    let (gone, is_gone) = watch::channel(false);
    let (fate, fate_known) = watch::channel(None);
    let started = Arc::new(Notify::new());
    let control = guest::Control {
        listener: vmm.doors.control,
        messages: outbound,
        streams_connected,
        gone: is_gone,
        started: started.clone(),
        notices: parts.notices.clone(),
    };
    let streams = streams::Streams {
        listener: vmm.doors.streams,
        expected: expected_streams(parts.plan),
        stdin: parts.plan.spec.container.stdin,
        outlets: parts.outlets,
        input: parts.input,
        messages: messages.clone(),
        connected,
        fate: fate_known,
        notices: parts.notices.clone(),
    };
    let kill = Arc::new(Notify::new());
    let supervision = Supervision {
        process: vmm.process,
        events: vmm.events,
        requests: vmm.requests,
        stderr: vmm.stderr,
        template: parts.template.clone(),
        started,
        kill: kill.clone(),
        gone,
        fate,
        // Not within the supervision: a client may hold output back for longer than the microVM lives.
        streams: tokio::spawn(streams::serve(streams)),
        notices: parts.notices,
    };
    Microvm {
        id: vmm.id,
        held: vmm.held,
        template: parts.template,
        messages,
        kill,
        supervision: AbortOnDropHandle::new(tokio::spawn(supervision.run(control))),
    }
}

/// What it takes to see a microVM to its end.
struct Supervision {
    process: VmmProcess,
    events: Events,
    // The connection stays open for as long as the process lives.
    requests: OwnedWriteHalf,
    stderr: ChildStderr,
    template: Option<Arc<Template>>,
    started: Arc<Notify>,
    kill: Arc<Notify>,
    gone: watch::Sender<bool>,
    fate: watch::Sender<Option<Fate>>,
    streams: JoinHandle<Option<mpsc::Receiver<Input>>>,
    notices: mpsc::Sender<Notice>,
}

impl Supervision {
    /// Waits for the end of a VMM, and for everything that it sent before.
    async fn run(mut self, control: guest::Control) -> Option<Failure> {
        let process = &mut self.process;
        let wait = async {
            let killed = tokio::select! {
                status = process.wait() => Err(status),
                () = self.kill.notified() => Ok(()),
            };
            let status = match killed {
                Err(status) => status,
                Ok(()) => {
                    process.kill();
                    process.wait().await
                }
            };
            self.gone.send_replace(true);
            status
        };
        // The process's end closes all its connections; what is in them still counts, so all are read to their ends.
        let template = self.template.as_deref();
        let (status, ended, stderr, has_answered) = tokio::join!(
            wait,
            follow(&mut self.events, &self.notices, template),
            last_lines(&mut self.stderr),
            async {
                tokio::select! {
                    has_answered = guest::serve(control) => has_answered,
                    never = observe(&mut self.requests, &self.started, template) => match never {},
                }
            },
        );
        drop(self.requests);
        let message = ending(&status, ended, &stderr);
        let fate = if self.template.is_some() && !has_answered {
            Fate::CloneFailed
        } else {
            Fate::Ended
        };
        self.fate.send_replace(Some(fate));
        let (event, failure) = match fate {
            Fate::Ended => (Event::MicrovmEnded(message), None),
            Fate::CloneFailed => {
                let input = self.streams.await.ok().flatten();
                let failure = Failure {
                    message: message.clone(),
                    input,
                };
                (Event::CloneFailed(message), Some(failure))
            }
        };
        // A task that is over takes no notices.
        let _ = self.notices.send(Notice::Event(event)).await;
        failure
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
                ended = Some((exit, message));
                continue;
            }
        };
        // A task that is over takes no notices.
        let _ = notices.send(Notice::Reached(point, monotonic_ns)).await;
    }
    ended
}

fn expected_streams(plan: &Plan) -> Vec<Stream> {
    let container = &plan.spec.container;
    match (container.terminal, container.stdin) {
        (Some(_), _) => vec![Stream::Terminal],
        (None, true) => vec![Stream::Stdin, Stream::Stdout, Stream::Stderr],
        (None, false) => vec![Stream::Stdout, Stream::Stderr],
    }
}
