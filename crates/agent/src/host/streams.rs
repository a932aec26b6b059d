//! The streams of a container: each a connection of its own, raw after one frame that names it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use protocol::guest::{Stream, StreamHello, TerminalSize, ToGuest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Input;
use super::microvm::Fate;
use crate::clock::{self, Point};
use crate::launch::read_frame;
use crate::lifecycle::Event;
use crate::output::{CHUNK_LEN_MAX, Chunk, Outlets};
use crate::sentence::sentence;
use crate::spec::CONTAINER;
use crate::task::Notice;

/// Connections that have not said yet which stream they are: bounds what a guest can make the host hold.
const UNNAMED_MAX: usize = 8;

/// What the streams need to know of the rest of a microVM.
pub struct Streams {
    /// Where the guest agent connects.
    pub listener: UnixListener,
    /// The streams that have to come, each once.
    pub expected: Vec<Stream>,
    /// Whether the container reads input; a terminal without it only takes sizes.
    pub stdin: bool,
    /// Where output goes.
    pub outlets: Arc<Outlets>,
    /// Where input comes from.
    pub input: Option<mpsc::Receiver<Input>>,
    /// How the guest agent is told of the terminal's size.
    pub messages: mpsc::Sender<ToGuest>,
    /// Set as soon as all are connected.
    pub connected: watch::Sender<bool>,
    /// What became of the microVM, once that is known.
    pub fate: watch::Receiver<Option<Fate>>,
    /// Where events go.
    pub notices: mpsc::Sender<Notice>,
}

/// Connects and pumps all streams until their output has ended, and then says so. A clone that failed never had any: nothing is said then,
/// and the input, which nobody read, is given back.
pub async fn serve(mut streams: Streams) -> Option<mpsc::Receiver<Input>> {
    let notices = streams.notices.clone();
    let mut pumps = Pumps {
        output: JoinSet::new(),
        input: JoinSet::new(),
    };
    let mut fate = streams.fate.clone();
    let connected = tokio::select! {
        connected = streams.connect(&mut pumps) => connected,
        fate = async { fate.wait_for(Option::is_some).await.ok().and_then(|fate| *fate) } => {
            if fate == Some(Fate::CloneFailed) {
                return streams.input.take();
            }
            Ok(())
        }
    };
    if let Err(message) = connected {
        // A task that is over takes no notices.
        let _ = notices.send(Notice::Event(Event::GuestFailed(message))).await;
    }
    // Nobody else is listened to.
    drop(streams);
    while pumps.output.join_next().await.is_some() {}
    let _ = notices.send(Notice::Event(Event::StreamsEnded)).await;
    None
}

/// The work of moving bytes; input ends with the value, output by itself.
struct Pumps {
    output: JoinSet<()>,
    input: JoinSet<()>,
}

impl Streams {
    /// Accepts connections until every expected stream is there.
    async fn connect(&mut self, pumps: &mut Pumps) -> Result<(), String> {
        let mut unnamed = JoinSet::new();
        while !self.expected.is_empty() {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (connection, _) = accepted.map_err(|error| format!("cannot accept a stream: {error}"))?;
                    if unnamed.len() >= UNNAMED_MAX {
                        return Err("the guest agent opened too many streams".to_owned());
                    }
                    unnamed.spawn(name(connection));
                }
                Some(named) = unnamed.join_next() => {
                    let (hello, connection) = named.map_err(|error| error.to_string())??;
                    self.take(&hello, connection, pumps)?;
                }
            }
        }
        self.connected.send_replace(true);
        Ok(())
    }

    fn take(&mut self, hello: &StreamHello, connection: UnixStream, pumps: &mut Pumps) -> Result<(), String> {
        let position = self.expected.iter().position(|stream| *stream == hello.stream);
        let Some(position) = position.filter(|_| hello.container == CONTAINER) else {
            return Err(format!(
                "the guest agent opened the unexpected stream {:?} of {:?}",
                hello.stream, hello.container
            ));
        };
        self.expected.swap_remove(position);
        let (reader, writer) = connection.into_split();
        if matches!(hello.stream, Stream::Stdin | Stream::Terminal)
            && let Some(input) = self.input.take()
        {
            pumps.input.spawn(pump_input(
                writer,
                hello.stream,
                self.stdin,
                input,
                self.messages.clone(),
            ));
        }
        if hello.stream != Stream::Stdin {
            pumps.output.spawn(pump_output(
                reader,
                hello.stream,
                self.outlets.clone(),
                self.notices.clone(),
            ));
        }
        Ok(())
    }
}

async fn name(mut connection: UnixStream) -> Result<(StreamHello, UnixStream), String> {
    match read_frame(&mut connection).await {
        Ok(Some(hello)) => Ok((hello, connection)),
        Ok(None) => Err("the guest agent opened a stream and closed it".to_owned()),
        Err(error) => Err(format!("the guest agent did not name a stream: {}", sentence(&error))),
    }
}

/// Moves output until the guest ends it or is gone.
async fn pump_output(
    mut reader: impl AsyncRead + Unpin,
    stream: Stream,
    outlets: Arc<Outlets>,
    notices: mpsc::Sender<Notice>,
) {
    let mut is_first = true;
    let mut buffer = vec![0; CHUNK_LEN_MAX];
    loop {
        match reader.read(&mut buffer).await {
            // A connection that breaks has lost its microVM, and that is told by its end.
            Ok(0) | Err(_) => break,
            Ok(len) => {
                if std::mem::take(&mut is_first) {
                    let _ = notices
                        .send(Notice::Reached(Point::FirstOutput, clock::monotonic_ns()))
                        .await;
                }
                outlets
                    .write(Chunk {
                        stream,
                        bytes: Bytes::copy_from_slice(&buffer[..len]),
                    })
                    .await;
            }
        }
    }
}

/// Moves input until there is no more, or nobody takes it.
async fn pump_input(
    mut writer: impl AsyncWrite + Unpin,
    stream: Stream,
    stdin: bool,
    mut input: mpsc::Receiver<Input>,
    messages: mpsc::Sender<ToGuest>,
) {
    while let Some(next) = input.recv().await {
        let moved = match next {
            Input::Bytes(_) if !stdin => Ok(()),
            Input::Bytes(bytes) => writer.write_all(&bytes).await,
            // A terminal has no end: who wants one types it.
            Input::End if stream == Stream::Terminal => Ok(()),
            Input::End => writer.shutdown().await,
            Input::Resize(size) => resize(&messages, size),
        };
        if moved.is_err() {
            break;
        }
    }
}

fn resize(messages: &mpsc::Sender<ToGuest>, size: api::task::TerminalSize) -> io::Result<()> {
    let size = TerminalSize {
        columns: size.columns,
        rows: size.rows,
    };
    // A guest agent that does not keep up with a window being dragged misses sizes rather than being waited for.
    let _ = messages.try_send(ToGuest::Resize {
        container: CONTAINER.to_owned(),
        size,
    });
    Ok(())
}
