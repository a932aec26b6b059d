//! The host's side of the relay: programs and sockets in a machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;

use crate::wire::frame::{HEADER_LEN, Header, INPUT_CREDIT_INITIAL, PAYLOAD_LEN_MAX};
use crate::wire::request::{encode, parse_length, parse_response};
use crate::wire::{
    ClientFrame, ExecRequest, FrameError, Refusal, Request, RequestError, Response, ServerFrame, TerminalSize, Token,
};

/// Where a machine's relay is and what opens it.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Port of the host's loopback.
    pub port: u16,
    /// The machine's secret.
    pub token: Token,
}

/// Something did not work between the host and the machine.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The machine said no.
    #[error("{message}")]
    Refused {
        /// Why, for a program.
        refusal: Refusal,
        /// Why, for a person.
        message: String,
    },
    /// The machine does not answer.
    #[error("the machine does not answer")]
    Unreachable(#[source] std::io::Error),
    /// The connection ended before the program did.
    #[error("the connection to the machine is lost")]
    Lost(#[source] std::io::Error),
    /// The machine or the caller sent an impossible message.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The machine sent an impossible frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The caller's own stream failed.
    #[error("cannot {operation}")]
    Local {
        /// What was tried on it.
        operation: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

impl ExitStatus {
    /// The code that a shell would give: 128 + n after signal n.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => signal.saturating_add(128),
        }
    }
}

impl Relay {
    /// Starts a program in the machine.
    pub async fn exec(&self, request: ExecRequest) -> Result<Execution, RelayError> {
        let (receiving, sending) = self.request(&Request::Exec(request)).await?.into_split();
        let credit = Arc::new(Semaphore::new(usize::try_from(INPUT_CREDIT_INITIAL).unwrap_or(0)));
        Ok(Execution {
            input: ExecutionInput {
                sending,
                credit: Arc::clone(&credit),
            },
            output: ExecutionOutput { receiving, credit },
        })
    }

    /// Connects to a unix socket in the machine; what comes back carries its bytes.
    pub async fn connect(&self, path: &Path) -> Result<TcpStream, RelayError> {
        self.request(&Request::Connect { path: path.to_owned() }).await
    }

    /// Asks the machine to switch itself off; it does so after the answer.
    pub async fn shutdown(&self) -> Result<(), RelayError> {
        self.request(&Request::Shutdown {}).await.map(drop)
    }

    async fn request(&self, request: &Request) -> Result<TcpStream, RelayError> {
        let mut opening = self.token.to_vec();
        opening.extend_from_slice(&encode(request)?);
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .map_err(RelayError::Unreachable)?;
        connection.set_nodelay(true).map_err(RelayError::Unreachable)?;
        connection.write_all(&opening).await.map_err(RelayError::Unreachable)?;
        let mut prefix = [0; 4];
        connection
            .read_exact(&mut prefix)
            .await
            .map_err(RelayError::Unreachable)?;
        let mut json = vec![0; parse_length(prefix)?];
        connection
            .read_exact(&mut json)
            .await
            .map_err(RelayError::Unreachable)?;
        match parse_response(&json)? {
            Response::Accepted => Ok(connection),
            Response::Refused { refusal, message } => Err(RelayError::Refused { refusal, message }),
        }
    }
}

/// A program that runs in the machine. Dropping both halves hangs it up.
#[derive(Debug)]
pub struct Execution {
    /// What goes to it.
    pub input: ExecutionInput,
    /// What comes from it.
    pub output: ExecutionOutput,
}

/// What goes to a program in the machine.
#[derive(Debug)]
pub struct ExecutionInput {
    sending: OwnedWriteHalf,
    credit: Arc<Semaphore>,
}

/// What comes from a program in the machine. It must be read for the input to go on: it carries the permission to send more.
#[derive(Debug)]
pub struct ExecutionOutput {
    receiving: OwnedReadHalf,
    credit: Arc<Semaphore>,
}

/// Something that came from a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutionEvent {
    /// Bytes of its standard output.
    Output(Vec<u8>),
    /// Bytes of its standard error.
    Error(Vec<u8>),
    /// Its end; nothing follows.
    Ended(ExitStatus),
}

impl ExecutionInput {
    /// Sends bytes to the program's standard input; waits while it does not read.
    ///
    /// Not to be cancelled by dropping the future: half a frame may be sent then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), RelayError> {
        for chunk in bytes.chunks(PAYLOAD_LEN_MAX / 4) {
            // A chunk is far below 2^32 bytes, and the semaphore is never closed.
            let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            if let Ok(permits) = self.credit.acquire_many(length).await {
                permits.forget();
            }
            self.send(&ClientFrame::Input(chunk.to_vec())).await?;
        }
        Ok(())
    }

    /// Ends the program's standard input.
    pub async fn end(&mut self) -> Result<(), RelayError> {
        self.send(&ClientFrame::InputEnd).await
    }

    /// Sends a signal to the program's process group.
    pub async fn signal(&mut self, signal: u8) -> Result<(), RelayError> {
        self.send(&ClientFrame::Signal(signal)).await
    }

    /// Tells the program the size of its terminal.
    pub async fn resize(&mut self, size: TerminalSize) -> Result<(), RelayError> {
        self.send(&ClientFrame::Resize(size)).await
    }

    async fn send(&mut self, frame: &ClientFrame) -> Result<(), RelayError> {
        self.sending.write_all(&frame.encode()).await.map_err(RelayError::Lost)
    }
}

impl ExecutionOutput {
    /// The next thing that comes from the program.
    ///
    /// Not to be cancelled by dropping the future: half a frame may be read then.
    pub async fn next(&mut self) -> Result<ExecutionEvent, RelayError> {
        loop {
            let mut header = [0; HEADER_LEN];
            self.receiving.read_exact(&mut header).await.map_err(RelayError::Lost)?;
            let header = Header::parse(header)?;
            let mut payload = vec![0; header.length];
            self.receiving
                .read_exact(&mut payload)
                .await
                .map_err(RelayError::Lost)?;
            match ServerFrame::parse(header.kind, payload)? {
                ServerFrame::Output(bytes) => return Ok(ExecutionEvent::Output(bytes)),
                ServerFrame::Error(bytes) => return Ok(ExecutionEvent::Error(bytes)),
                ServerFrame::InputCredit(length) => self.grant(length),
                ServerFrame::Exited(code) => return Ok(ExecutionEvent::Ended(ExitStatus::Exited(code))),
                ServerFrame::Killed(signal) => return Ok(ExecutionEvent::Ended(ExitStatus::Killed(signal))),
            }
        }
    }

    fn grant(&self, length: u32) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // More than the semaphore can hold is more than any program of ours is granted.
        self.credit
            .add_permits(length.min(Semaphore::MAX_PERMITS.saturating_sub(self.credit.available_permits())));
    }
}

/// What a caller does to a running program from outside its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Send it a signal.
    Signal(u8),
    /// Change the size of its terminal.
    Resize(TerminalSize),
}

impl Execution {
    /// Connects the program to streams of the caller's until it ends: `input` is read to its end, output and errors are written as they come,
    /// and what `controls` carries is passed on.
    pub async fn attach(
        self,
        input: impl AsyncRead + Send + Unpin + 'static,
        mut output: impl AsyncWrite + Unpin,
        mut errors: impl AsyncWrite + Unpin,
        controls: tokio::sync::mpsc::Receiver<Control>,
    ) -> Result<ExitStatus, RelayError> {
        let Self {
            input: to_program,
            output: mut from_program,
        } = self;
        let feeding = tokio::spawn(feed(to_program, input, controls));
        let ended = async {
            loop {
                match from_program.next().await? {
                    ExecutionEvent::Output(bytes) => {
                        write_out(&mut output, &bytes, "write the program's output").await?
                    }
                    ExecutionEvent::Error(bytes) => {
                        write_out(&mut errors, &bytes, "write the program's errors").await?
                    }
                    ExecutionEvent::Ended(status) => return Ok(status),
                }
            }
        };
        let ended = ended.await;
        // It may wait for input that nobody wants any more.
        feeding.abort();
        ended
    }
}

async fn write_out(
    stream: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    operation: &'static str,
) -> Result<(), RelayError> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    written.await.map_err(|source| RelayError::Local { operation, source })
}

/// Passes input and controls on. Signals overtake input that waits for the program to read.
async fn feed(
    mut to_program: ExecutionInput,
    mut input: impl AsyncRead + Unpin,
    mut controls: tokio::sync::mpsc::Receiver<Control>,
) -> Result<(), RelayError> {
    let mut buffer = vec![0; PAYLOAD_LEN_MAX / 4];
    let mut waiting = 0..0;
    let (mut input_open, mut controls_open) = (true, true);
    let credit = Arc::clone(&to_program.credit);
    while input_open || controls_open || !waiting.is_empty() {
        tokio::select! {
            control = controls.recv(), if controls_open => match control {
                Some(Control::Signal(signal)) => to_program.signal(signal).await?,
                Some(Control::Resize(size)) => to_program.resize(size).await?,
                None => controls_open = false,
            },
            read = input.read(&mut buffer), if input_open && waiting.is_empty() => {
                // Input that cannot be read has ended for the program.
                match read.unwrap_or(0) {
                    0 => {
                        input_open = false;
                        to_program.end().await?;
                    }
                    length => waiting = 0..length,
                }
            }
            // Waiting for one byte's worth of credit changes nothing: it is given back at once.
            permit = credit.acquire(), if !waiting.is_empty() => {
                drop(permit);
                let length = waiting.len().min(credit.available_permits());
                to_program.write(&buffer[waiting.start..waiting.start + length]).await?;
                waiting.start += length;
            }
        }
    }
    // The program lives on; closing our side would hang it up.
    std::future::pending().await
}
