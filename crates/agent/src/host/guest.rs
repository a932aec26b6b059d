//! The control connection of a guest agent: its messages become events, ours are sent in order.

use std::sync::Arc;

use protocol::guest::{ToGuest, ToHost};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc, watch};

use crate::clock::{self, Point};
use crate::launch::{is_disconnect, read_frame, write_frame};
use crate::lifecycle::Event;
use crate::sentence::sentence;
use crate::spec::CONTAINER;
use crate::task::Notice;

/// What the control connection needs to know of the rest of a microVM.
pub struct Control {
    /// Where the guest agent connects.
    pub listener: UnixListener,
    /// What is to be sent.
    pub messages: mpsc::Receiver<ToGuest>,
    /// Whether all streams of the container are connected.
    pub streams_connected: watch::Receiver<bool>,
    /// Whether the microVM's process has ended.
    pub gone: watch::Receiver<bool>,
    /// Notified when a container's program has begun.
    pub started: Arc<Notify>,
    /// Where events go.
    pub notices: mpsc::Sender<Notice>,
}

/// Serves the one connection that a guest agent makes, until it is closed; whether the guest agent answered.
pub async fn serve(control: Control) -> bool {
    let Control {
        listener,
        messages,
        streams_connected,
        mut gone,
        started,
        notices,
    } = control;
    let accepted = tokio::select! {
        accepted = listener.accept() => accepted,
        _ = gone.wait_for(|gone| *gone) => return false,
    };
    // A guest has one guest agent: nobody else is listened to.
    drop(listener);
    match accepted {
        Ok((connection, _)) => {
            let (reader, writer) = connection.into_split();
            let mut inbound = Inbound {
                // A frame is a header and a message: both come with one read.
                reader: BufReader::new(reader),
                streams_connected,
                gone,
                started,
                notices,
                has_answered: false,
            };
            // Sending ends with the microVM, or when reading does: a guest agent that is gone answers nothing.
            tokio::select! {
                () = inbound.run() => {}
                () = send(writer, messages) => {}
            }
            inbound.has_answered
        }
        Err(error) => {
            let failed = Event::ActionFailed(format!("cannot accept the guest agent: {error}"));
            report(&notices, failed).await;
            false
        }
    }
}

/// Sends what is to be sent. Never ends by itself while messages can come, so that the last answers are still read.
async fn send(mut writer: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<ToGuest>) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = write_frame(&mut writer, &message).await {
            tracing::debug!("the guest agent takes no messages: {}", sentence(&error));
            break;
        }
    }
    drop(messages);
    std::future::pending::<()>().await;
}

struct Inbound<R> {
    reader: R,
    streams_connected: watch::Receiver<bool>,
    gone: watch::Receiver<bool>,
    started: Arc<Notify>,
    notices: mpsc::Sender<Notice>,
    has_answered: bool,
}

impl<R: AsyncRead + Unpin> Inbound<R> {
    /// Reads until the connection ends. Its end by itself is no event: the microVM's tells why.
    async fn run(&mut self) {
        loop {
            match read_frame::<ToHost>(&mut self.reader).await {
                Ok(Some(message)) => {
                    let event = self.event(message).await;
                    report(&self.notices, event).await;
                }
                Ok(None) => break,
                Err(error) if is_disconnect(&error) => break,
                Err(error) => {
                    report(
                        &self.notices,
                        Event::GuestFailed(format!("the guest agent sent nonsense: {}", sentence(&error))),
                    )
                    .await;
                    break;
                }
            }
        }
    }

    async fn event(&mut self, message: ToHost) -> Event {
        let now = clock::monotonic_ns();
        match message {
            ToHost::Hello { version } => {
                self.has_answered = true;
                self.reached(Point::GuestAnswered, now).await;
                Event::GuestAnswered { version }
            }
            ToHost::Failed { message } => Event::GuestFailed(message),
            ToHost::Prepared { container }
            | ToHost::Started { container }
            | ToHost::StartFailed { container, .. }
            | ToHost::Exited { container, .. }
                if container != CONTAINER =>
            {
                Event::GuestFailed(format!("the guest agent speaks of the unknown container {container:?}"))
            }
            ToHost::Prepared { .. } => {
                // The streams were connected before this was sent, but over connections of their own.
                tokio::select! {
                    _ = self.streams_connected.wait_for(|connected| *connected) => {}
                    _ = self.gone.wait_for(|gone| *gone) => {}
                }
                Event::ContainerPrepared
            }
            ToHost::Started { .. } => {
                self.reached(Point::ProcessStarted, now).await;
                self.started.notify_one();
                Event::ContainerStarted
            }
            ToHost::StartFailed { reason, message, .. } => Event::ContainerNotStarted {
                failure: reason,
                message,
            },
            ToHost::Exited {
                status, out_of_memory, ..
            } => Event::ContainerExited { status, out_of_memory },
        }
    }

    async fn reached(&self, point: Point, monotonic_ns: u64) {
        // A task that is over takes no notices.
        let _ = self.notices.send(Notice::Reached(point, monotonic_ns)).await;
    }
}

async fn report(notices: &mpsc::Sender<Notice>, event: Event) {
    // A task that is over takes no notices.
    let _ = notices.send(Notice::Event(event)).await;
}
