//! The stream of an attached task, over an upgraded connection.

use std::sync::Arc;

use api::attach::{self, AttachError, Frame};
use api::route::{ATTACH_PROTOCOL, TASK_HEADER};
use api::task::{RunRequest, Status, Task};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use protocol::guest::Stream;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::body::Document;
use super::refusal::Refusal;
use crate::core::{self, Core, Entry};
use crate::host::Input;
use crate::lifecycle::Event;
use crate::output::Chunk;
use crate::sentence::sentence;

/// Bytes that are read from a client at once.
pub const READ_LEN: usize = 64 << 10;

/// Which container is attached to; the first essential one where absent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachQuery {
    container: Option<String>,
}

pub async fn attach(
    State(core): State<Arc<Core>>,
    Path(task): Path<String>,
    query: Result<Query<AttachQuery>, QueryRejection>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    let entry = core.entry(&task)?;
    let container = entry.container(query.container.as_deref())?;
    let upgrade = upgrade(&mut request)?;
    Ok(upgraded(&core, entry, container, upgrade))
}

/// Creates a task, attaches to it and starts it.
pub async fn run(State(core): State<Arc<Core>>, mut request: Request) -> Result<Response, Refusal> {
    let upgrade = upgrade(&mut request)?;
    let Document(request) = Document::<RunRequest>::from_request(request, &()).await?;
    let task = core.create(&request).await?;
    let entry = core.entry(&task.id)?;
    let id =
        HeaderValue::try_from(&task.id).map_err(|_| Refusal::invalid("the task's id fits no header".to_owned()))?;
    let container = entry.container(None)?;
    let mut response = upgraded(&core, entry.clone(), container, upgrade);
    response.headers_mut().insert(TASK_HEADER, id);
    // Not only when the client has taken the answer.
    entry.tell(Event::StartRequested).await;
    Ok(response)
}

/// The upgrade that the client wishes for.
pub fn upgrade(request: &mut Request) -> Result<OnUpgrade, Refusal> {
    if !asks_for_upgrade(request.headers()) {
        return Err(Refusal::invalid(format!(
            "attaching needs the header Upgrade: {ATTACH_PROTOCOL}"
        )));
    }
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    upgrade.ok_or_else(|| Refusal::invalid("this connection cannot be upgraded".to_owned()))
}

/// The answer that turns the connection into the task's stream.
fn upgraded(core: &Core, entry: Arc<Entry>, container: usize, upgrade: OnUpgrade) -> Response {
    // Before the task can be started by anybody, so that no output is missed.
    let chunks = entry.outlets[container].attach();
    let presence = core.activity().begin();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => serve(TokioIo::new(connection), &entry, container, chunks).await,
            Err(error) => {
                tracing::debug!("a client went away before it was attached: {error}");
                give(&entry, container, Input::End).await;
            }
        }
        drop(presence);
    });
    switching()
}

/// The answer that turns a connection into a stream of frames.
pub fn switching() -> Response {
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, ATTACH_PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(ATTACH_PROTOCOL.as_bytes()))
}

/// Starts the task where it was only created, and relays until it has stopped or the client is gone.
async fn serve(
    connection: impl AsyncRead + AsyncWrite,
    entry: &Entry,
    container: usize,
    chunks: mpsc::Receiver<Chunk>,
) {
    entry.tell(Event::StartRequested).await;
    let (reader, writer) = tokio::io::split(connection);
    let input = async {
        let is_detached = match relay_input(reader, entry, container).await {
            Ok(is_detached) => is_detached,
            Err(error) => {
                tracing::debug!("a client's input ended: {}", sentence(&error));
                false
            }
        };
        if is_detached {
            return;
        }
        // Who gave the input is gone: a process that waits for more would wait for ever.
        give(entry, container, Input::End).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = relay_output(writer, entry, chunks) => {
            if let Err(error) = result {
                tracing::debug!("a client went away: {}", sentence(&error));
                give(entry, container, Input::End).await;
            }
        }
        () = input => {}
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("the connection failed")]
    Connection(#[from] std::io::Error),
    #[error("a frame is wrong")]
    Frame(#[from] AttachError),
    #[error("the client sent a frame that only host agents send")]
    Direction,
}

/// Takes frames until the client sends no more; whether it leaves without an end of input.
async fn relay_input(mut reader: impl AsyncRead + Unpin, entry: &Entry, container: usize) -> Result<bool, RelayError> {
    let mut bytes = BytesMut::with_capacity(READ_LEN);
    while reader.read_buf(&mut bytes).await? > 0 {
        while let Some((frame, len)) = attach::parse(&bytes)? {
            bytes.advance(len);
            match frame {
                Frame::Stdin(input) => give(entry, container, Input::Bytes(Bytes::from(input))).await,
                Frame::StdinEnd => give(entry, container, Input::End).await,
                Frame::Resize(size) => give(entry, container, Input::Resize(size)).await,
                Frame::Stop(stop) => entry.ask_to_stop(stop).await,
                Frame::Detach => return Ok(true),
                Frame::Stdout(_) | Frame::Stderr(_) | Frame::Ended(_) | Frame::Exited(_) => {
                    return Err(RelayError::Direction);
                }
            }
        }
    }
    Ok(false)
}

/// Hands input to the task; one that takes none, or no more, does not get it.
async fn give(entry: &Entry, container: usize, input: Input) {
    if let Some(sender) = &entry.inputs[container] {
        let _ = sender.send(input).await;
    }
}

/// Sends output until there is no more, and then what became of the task.
async fn relay_output(
    mut writer: impl AsyncWrite + Unpin,
    entry: &Entry,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<(), RelayError> {
    while let Some(chunk) = chunks.recv().await {
        let bytes = chunk.bytes.to_vec();
        let frame = match chunk.stream {
            Stream::Stderr => Frame::Stderr(bytes),
            Stream::Stdout | Stream::Stdin => Frame::Stdout(bytes),
        };
        writer.write_all(&attach::encode(&frame)?).await?;
    }
    let task = entry.stopped().await;
    // A task that was left to a later host agent has not ended: only the connection has.
    if task.status == Status::Stopped {
        writer.write_all(&ended(core::view(&task))?).await?;
    }
    writer.flush().await?;
    writer.shutdown().await?;
    Ok(())
}

/// The last frame. A command line that does not fit into it is left out.
fn ended(task: Task) -> Result<Vec<u8>, AttachError> {
    match attach::encode(&Frame::Ended(Box::new(task.clone()))) {
        Err(AttachError::TooLong(_)) => attach::encode(&Frame::Ended(Box::new(Task {
            command: vec![],
            containers: vec![],
            ..task
        }))),
        other => other,
    }
}
