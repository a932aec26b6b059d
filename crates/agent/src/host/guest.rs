//! The session with a guest: what it tells becomes events of the task, output and answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};

use super::Notice;
use super::link::GuestLink;
use super::output::{Arrival, Outputs};
use crate::clock::{self, Point};
use crate::lifecycle::Event;
use crate::pool::Start;
use crate::sentence::{sentence, told};
use crate::session::{self, Known, Session, SessionError, SessionEvent};

/// How long a guest may take to answer a host agent that was restarted. At a thousandth of a vCPU it gets 60 ms of CPU in this time.
const RESUME: Duration = Duration::from_secs(60);

/// What a session works with.
pub struct Guest<'a> {
    /// Where output goes.
    pub outputs: &'a mut Outputs,
    /// Where it is told how the guest is reached.
    pub link: &'a watch::Sender<Option<Arc<GuestLink>>>,
    /// Where events go.
    pub notices: &'a mpsc::Sender<Notice>,
    /// Told when a container's program has begun.
    pub started: &'a Notify,
    /// Kept until then: what fills the pool again would be in its way.
    pub start: &'a mut Option<Start>,
}

/// Serves the first session of a guest, until it ends; whether the guest agent answered.
pub async fn serve(mut guest: Guest<'_>, door: UnixListener, mut gone: watch::Receiver<bool>) -> bool {
    let accepted = tokio::select! {
        accepted = door.accept() => accepted,
        _ = gone.wait_for(|gone| *gone) => return false,
    };
    // A guest has one guest agent: nobody else is listened to.
    drop(door);
    match accepted {
        Ok((connection, _)) => guest.follow(Session::first(connection), true).await,
        Err(error) => {
            let failed = Event::ActionFailed(format!("cannot accept the guest agent: {error}"));
            guest.tell(failed).await;
            false
        }
    }
}

/// Goes on with a guest that an earlier host agent has left; whether the guest agent answered.
pub async fn resume(mut guest: Guest<'_>, socket: &Path, known: &[Known], mut gone: watch::Receiver<bool>) -> bool {
    let connected = tokio::select! {
        connected = tokio::time::timeout(RESUME, session::connect(socket)) => connected,
        _ = gone.wait_for(|gone| *gone) => return false,
    };
    let connection: std::io::Result<UnixStream> = connected.unwrap_or_else(|late| Err(std::io::Error::other(late)));
    match connection {
        Ok(connection) => {
            let mut received = guest.outputs.received();
            received.retain(|received| known.iter().any(|known| known.process == received.process));
            let session = Session::resume(connection, known, received);
            guest.follow(session, false).await
        }
        Err(error) => {
            let failed = format!("the guest agent does not answer the host agent that was restarted: {error}");
            guest.tell(Event::GuestFailed(failed)).await;
            false
        }
    }
}

impl Guest<'_> {
    /// Reads until the session ends. Its end by itself is no event: the microVM's tells why.
    async fn follow(&mut self, mut session: Session, is_first: bool) -> bool {
        let link = GuestLink::new(session.commands());
        self.outputs.acknowledge_by(session.commands());
        let mut has_answered = false;
        loop {
            let event = tokio::select! {
                event = session.next() => event,
                () = self.outputs.pumped() => continue,
            };
            match event {
                Ok(Some(SessionEvent::Hello { version })) => {
                    has_answered = true;
                    self.link.send_replace(Some(link.clone()));
                    if is_first {
                        self.reached(Point::GuestAnswered).await;
                        self.tell(Event::GuestAnswered { version }).await;
                    }
                }
                Ok(Some(event)) => {
                    if let Some(event) = link.hear(event) {
                        self.hear(event).await;
                    }
                }
                Ok(None) => break,
                // The life cycle refuses it, in its own words.
                Err(SessionError::Version(version)) if is_first => {
                    has_answered = true;
                    self.tell(Event::GuestAnswered { version }).await;
                    break;
                }
                Err(error) => {
                    // What was wrong may be quoted.
                    let message = format!("the guest agent sent nonsense: {}", sentence(&error));
                    self.tell(Event::GuestFailed(told(&message))).await;
                    break;
                }
            }
        }
        self.link.send_replace(None);
        link.close();
        has_answered
    }

    async fn hear(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Resumed => {
                for process in self.outputs.ended_before() {
                    self.tell(Event::OutputEnded { process }).await;
                }
                self.tell(Event::Resumed).await;
            }
            SessionEvent::Prepared { process } => self.tell(Event::Prepared { process }).await,
            SessionEvent::Started { process } => self.has_started(process).await,
            SessionEvent::StartFailed {
                process,
                reason,
                message,
            } => {
                self.tell(Event::NotStarted {
                    process,
                    failure: reason,
                    message: told(&message),
                })
                .await;
            }
            SessionEvent::Exited {
                process,
                status,
                out_of_memory,
            } => {
                self.tell(Event::Exited {
                    process,
                    status,
                    out_of_memory,
                })
                .await;
            }
            SessionEvent::Output {
                process,
                stream,
                offset,
                bytes,
            } => {
                let arrival = Arrival {
                    process,
                    stream,
                    offset,
                    bytes,
                };
                self.outputs.take(arrival).await;
            }
            SessionEvent::StreamEnded {
                process,
                stream,
                offset,
            } => {
                let bytes = bytes::Bytes::new();
                let arrival = Arrival {
                    process,
                    stream,
                    offset,
                    bytes,
                };
                self.outputs.take(arrival).await;
            }
            SessionEvent::Failed { message } => self.tell(Event::GuestFailed(told(&message))).await,
            // Heard before.
            SessionEvent::Hello { .. } | SessionEvent::Measured { .. } | SessionEvent::Listed { .. } => {}
        }
    }

    async fn has_started(&mut self, process: u32) {
        self.reached(Point::ProcessStarted).await;
        self.started.notify_one();
        *self.start = None;
        self.tell(Event::Started { process }).await;
    }

    async fn tell(&self, event: Event) {
        // A task that is over takes no notices.
        let _ = self.notices.send(Notice::Event(event)).await;
    }

    async fn reached(&self, point: Point) {
        let _ = self.notices.send(Notice::Reached(point, clock::monotonic_ns())).await;
    }
}
