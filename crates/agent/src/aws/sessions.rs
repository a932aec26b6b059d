//! Commands that are executed over the data channel of ECS Exec.

use std::sync::Arc;

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::exec::Session;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use protocol::guest::TerminalSize;
use tokio::sync::{mpsc, oneshot};

use crate::channel::Channels;
use crate::channel::execution::{Execution, Input, Start};
use crate::core::{Core, ExecRequest};
use crate::ecs::ports::CommandSessions;
use crate::host::{ExecControl, Executed};
use crate::record::TaskRecord;
use crate::sentence::sentence;

/// The terminal's size until the client tells its own: columns and rows.
const TERMINAL: (u16, u16) = (80, 24);

/// Pieces of input and output that wait for whoever is slower.
const PIECES_MAX: usize = 16;

/// Sessions at a listener.
pub struct ChannelSessions {
    core: Arc<Core>,
    channels: Channels,
    /// The address and port that clients reach the listener at.
    authority: String,
}

impl ChannelSessions {
    /// Sessions of commands on this core, at the listener that clients reach at `authority`.
    #[must_use]
    pub const fn new(core: Arc<Core>, channels: Channels, authority: String) -> Self {
        Self {
            core,
            channels,
            authority,
        }
    }
}

impl CommandSessions for ChannelSessions {
    fn open<'a>(
        &'a self,
        task: &'a TaskRecord,
        container: usize,
        argv: Vec<String>,
    ) -> BoxFuture<'a, Result<Session, EcsError>> {
        let (core, id) = (self.core.clone(), task.id.clone());
        let container = task.plan.containers[container].name.clone();
        let start: Start = Box::new(move || {
            let request = ExecRequest {
                argv,
                env: vec![],
                working_directory: None,
                user: None,
                terminal: Some(TERMINAL),
                stdin: true,
            };
            let executed = core.execute(&id, Some(&container), request);
            async move { executed.map(execution).map_err(|error| error.message) }.boxed()
        });
        let opened = self.channels.open(&self.authority, start);
        let session = opened.map(|opened| Session {
            session_id: opened.session_id,
            stream_url: opened.stream_url,
            token_value: opened.token_value,
        });
        let session = session.map_err(|error| EcsError::new(ErrorKind::TargetNotConnected, sentence(&error)));
        async move { session }.boxed()
    }
}

/// A process that was executed, as the channel sees it. It is killed when the channel drops what it was given.
fn execution(mut executed: Executed) -> Execution {
    let control = executed.control();
    let (input, inputs) = mpsc::channel(PIECES_MAX);
    let (outputs, output) = mpsc::channel(PIECES_MAX);
    let (failed, failure) = oneshot::channel();
    tokio::spawn(relay_input(inputs, control));
    tokio::spawn(async move {
        while let Some(chunk) = executed.output().await {
            if outputs.send(Bytes::from(chunk.bytes.to_vec())).await.is_err() {
                break;
            }
        }
        let end = executed.ended().await;
        // Nobody listens any more where the client is gone.
        let _ = failed.send(end.reason);
    });
    Execution {
        input,
        output,
        failure: async move { failure.await.ok().flatten() }.boxed(),
    }
}

async fn relay_input(mut inputs: mpsc::Receiver<Input>, control: ExecControl) {
    /// The number of `SIGHUP`: what a process gets whose terminal is gone.
    const SIGHUP: u8 = 1;
    while let Some(input) = inputs.recv().await {
        match input {
            Input::Bytes(bytes) => control.input(bytes).await,
            Input::Resize { columns, rows } => control.resize(TerminalSize { columns, rows }),
            Input::End => control.end_input().await,
        }
    }
    control.end_input().await;
    control.signal(SIGHUP);
}
