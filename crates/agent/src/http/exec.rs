//! A process that is executed in a container, over an upgraded connection.

use std::sync::Arc;

use api::attach::{self, Frame, Stop};
use api::exec::ExecRequest;
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use bytes::{Buf, Bytes, BytesMut};
use hyper_util::rt::TokioIo;
use protocol::guest::{Stream, TerminalSize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::attach::{READ_LEN, RelayError, switching, upgrade};
use super::body::Document;
use super::refusal::Refusal;
use crate::core::{self, Core};
use crate::host::{ExecControl, Executed};
use crate::sentence::sentence;

/// The numbers of `SIGTERM` and `SIGKILL`.
const SIGTERM: u8 = 15;
const SIGKILL: u8 = 9;

/// Executes a command and relays until it has ended or the client is gone.
pub async fn execute(
    State(core): State<Arc<Core>>,
    Path(task): Path<String>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let upgrade = upgrade(&mut request)?;
    let Document(request) = Document::<ExecRequest>::from_request(request, &()).await?;
    let wanted = core::ExecRequest {
        argv: request.command,
        env: request.env,
        working_directory: request.working_directory,
        user: request.user,
        terminal: request.terminal.map(|size| (size.columns, size.rows)),
        stdin: request.stdin,
    };
    let executed = core.execute(&task, request.container.as_deref(), wanted)?;
    let presence = core.activity().begin();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => {
                if let Err(error) = serve(TokioIo::new(connection), executed).await {
                    tracing::debug!("a client of an executed process went away: {}", sentence(&error));
                }
            }
            Err(error) => tracing::debug!("a client went away before its process ran: {error}"),
        }
        drop(presence);
    });
    Ok(switching())
}

async fn serve(connection: impl AsyncRead + AsyncWrite, executed: Executed) -> Result<(), RelayError> {
    let (reader, writer) = tokio::io::split(connection);
    let control = executed.control();
    let input = async {
        let detached = relay_input(reader, &control).await;
        if !detached.unwrap_or(false) {
            // Who gave the input is gone: a process that waits for more would wait for ever.
            control.end_input().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = relay_output(writer, executed) => result,
        () = input => Ok(()),
    }
}

/// Takes frames until the client sends no more; whether it leaves without an end of input.
async fn relay_input(mut reader: impl AsyncRead + Unpin, control: &ExecControl) -> Result<bool, RelayError> {
    let mut bytes = BytesMut::with_capacity(READ_LEN);
    while reader.read_buf(&mut bytes).await? > 0 {
        while let Some((frame, len)) = attach::parse(&bytes)? {
            bytes.advance(len);
            match frame {
                Frame::Stdin(input) => control.input(Bytes::from(input)).await,
                Frame::StdinEnd => control.end_input().await,
                Frame::Resize(size) => control.resize(TerminalSize {
                    columns: size.columns,
                    rows: size.rows,
                }),
                Frame::Stop(Stop::Gracefully) => control.signal(SIGTERM),
                Frame::Stop(Stop::Kill) => control.signal(SIGKILL),
                Frame::Stop(Stop::Signal(signal)) => control.signal(signal),
                Frame::Detach => return Ok(true),
                Frame::Stdout(_) | Frame::Stderr(_) | Frame::Ended(_) | Frame::Exited(_) => {
                    return Err(RelayError::Direction);
                }
            }
        }
    }
    Ok(false)
}

async fn relay_output(mut writer: impl AsyncWrite + Unpin, mut executed: Executed) -> Result<(), RelayError> {
    while let Some(chunk) = executed.output().await {
        let bytes = chunk.bytes.to_vec();
        let frame = match chunk.stream {
            Stream::Stderr => Frame::Stderr(bytes),
            Stream::Stdout | Stream::Stdin => Frame::Stdout(bytes),
        };
        writer.write_all(&attach::encode(&frame)?).await?;
    }
    let end = executed.ended().await;
    writer.write_all(&attach::encode(&Frame::Exited(end))?).await?;
    writer.flush().await?;
    writer.shutdown().await?;
    Ok(())
}
