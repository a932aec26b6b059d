//! A VMM that was started: told what to be, listened to, ended.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitStatus;

use protocol::attachments;
use protocol::vmm::{Event, ExitCode, Request, Shape};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;

use super::{Events, Held, LaunchError, VmmProcess, Whereabouts, read_frame};

/// A VMM and what it holds on the host. Dropping it ends the process and removes the rest.
pub struct Vmm {
    /// The microVM's id: names its directory and cgroup, and no other microVM of this host has it.
    pub id: String,
    /// The process.
    pub process: VmmProcess,
    /// What the VMM reports.
    pub events: Events,
    /// How it is told something.
    pub requests: OwnedWriteHalf,
    /// Where its guest connects: [`protocol::guest::CONTROL_PORT`].
    pub door: tokio::net::UnixListener,
    /// What goes after the process.
    pub held: Held,
}

impl Vmm {
    /// Where the host sees it.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        self.held.whereabouts(self.process.id())
    }

    /// Waits until a VMM without a shape has prepared everything else.
    ///
    /// # Errors
    /// [`LaunchError::Ended`]
    pub async fn waiting(&mut self) -> Result<(), LaunchError> {
        match read_frame::<Event>(&mut self.events).await {
            Ok(Some(Event::Waiting { .. })) => Ok(()),
            Ok(Some(Event::Ended { message, .. })) => Err(LaunchError::Ended(message)),
            Ok(Some(other)) => Err(LaunchError::Ended(format!("it reported {other:?} instead of waiting"))),
            Ok(None) | Err(_) => Err(LaunchError::Ended(self.last_words().await)),
        }
    }

    /// Tells a waiting VMM what to be, and gives it the files behind its devices. One that has ended tells why by its end.
    ///
    /// # Errors
    /// Where a file cannot be had.
    pub async fn run(&mut self, shape: Shape) -> Result<(), LaunchError> {
        let opened = attachments::open(&shape)?;
        let attached: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
        let Ok(frame) = protocol::frame::encode(&Request::Run(Box::new(shape))) else {
            return Err(LaunchError::Ended("a shape is too long to be told".to_owned()));
        };
        // Straight into the socket, where nothing was written before: the runtime would first wait to hear that there is room.
        match attachments::send(self.requests.as_ref(), &frame, &attached) {
            Ok(sent) => {
                if let Err(error) = self.requests.write_all(&frame[sent..]).await {
                    tracing::debug!(microvm = self.id, "the VMM takes no request: {error}");
                }
            }
            Err(error) => tracing::debug!(microvm = self.id, "the VMM takes no request: {error}"),
        }
        Ok(())
    }

    /// Waits for its end: the exit status, and why it ended, for a person.
    pub async fn ended(&mut self) -> (io::Result<Option<ExitStatus>>, String) {
        let (status, ended) = tokio::join!(self.process.wait(), last_event(&mut self.events));
        let message = self.held.traces().ending(&status, ended);
        (status, message)
    }

    async fn last_words(&mut self) -> String {
        self.process.kill();
        self.ended().await.1
    }

    /// Ends it and removes what it holds.
    pub async fn end(mut self) {
        self.process.kill();
        if let Err(error) = self.process.wait().await {
            tracing::error!(microvm = self.id, "a VMM cannot be waited for: {error}");
        }
        let Self { id, held, .. } = self;
        held.release(&id).await;
    }
}

/// Reads a VMM's events until there are no more; what it said of its end.
async fn last_event(events: &mut Events) -> Option<(ExitCode, String)> {
    let mut ended = None;
    while let Ok(Some(event)) = read_frame::<Event>(events).await {
        if let Event::Ended { exit, message } = event {
            ended = Some((exit, message));
        }
    }
    ended
}
