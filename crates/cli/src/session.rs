//! An attached task: its output to ours, our input and signals to it, until it has ended.

use anyhow::{Context, Result, bail};
use api::attach::Frame;
use api::client::{AttachedReader, AttachedWriter, Client};
use api::task::{StopRequest, Task};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::terminal::{self, RawMode};

/// Bytes of input that are sent at once.
const INPUT_LEN: usize = 32 << 10;

/// One attached task.
pub struct Session {
    client: Client,
    task: String,
    reader: AttachedReader,
    writer: AttachedWriter,
    interactive: bool,
    raw_mode: Option<RawMode>,
    interruptions: Interruptions,
}

/// The signals that end a task from outside.
struct Interruptions {
    signals: [Signal; 3],
}

impl Interruptions {
    fn listen() -> Result<Self> {
        let open = |kind| signal(kind).context("cannot listen for signals");
        let signals = [
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
            open(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

impl Session {
    /// Attaches to `task`, which starts it. `tty` holds the person's terminal in raw mode where input is connected too.
    pub async fn attach(client: &Client, task: &str, tty: bool, interactive: bool) -> Result<Self> {
        let interruptions = Interruptions::listen()?;
        let (reader, writer) = client.attach(task).await?.split();
        let raw_mode = if tty && interactive {
            Some(RawMode::enter().context("cannot put the terminal into raw mode")?)
        } else {
            None
        };
        Ok(Self {
            client: client.clone(),
            task: task.to_owned(),
            reader,
            writer,
            interactive,
            raw_mode,
            interruptions,
        })
    }

    /// Relays until the task has stopped; the task as it ended.
    pub async fn run(self) -> Result<Task> {
        let Self {
            client,
            task,
            mut reader,
            writer,
            interactive,
            raw_mode,
            mut interruptions,
        } = self;
        let input = tokio::spawn(relay_input(writer, interactive));
        let mut stdout = tokio::io::stdout();
        let mut stderr = tokio::io::stderr();
        let mut stop_requests = 0;
        let ended = loop {
            let frame = tokio::select! {
                frame = reader.next() => frame?,
                () = interruptions.next() => {
                    stop_requests += 1;
                    // On a connection of its own: it must not queue behind input that the task does not read.
                    let timeout_seconds = (stop_requests > 1).then_some(0);
                    request_stop(client.clone(), task.clone(), StopRequest { timeout_seconds });
                    continue;
                }
            };
            let written = match frame {
                Some(Frame::Stdout(bytes)) => write(&mut stdout, &bytes).await,
                Some(Frame::Stderr(bytes)) => write(&mut stderr, &bytes).await,
                Some(Frame::Ended(task)) => break *task,
                Some(other) => bail!("the host agent sent a frame that only clients send: {other:?}"),
                None => bail!("the host agent went away while task {task} ran"),
            };
            if let Err(error) = written {
                client
                    .stop_task(
                        &task,
                        StopRequest {
                            timeout_seconds: Some(0),
                        },
                    )
                    .await?;
                return Err(error).context("cannot write the task's output, so the task was killed");
            }
        };
        input.abort();
        drop(raw_mode);
        Ok(ended)
    }
}

/// Asks for the task's end without waiting for it: whether it came is seen from the frames.
fn request_stop(client: Client, task: String, request: StopRequest) {
    tokio::spawn(async move { client.stop_task(&task, request).await });
}

async fn write(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    output.write_all(bytes).await?;
    output.flush().await
}

/// Sends input and window sizes until input ends or the task no longer takes any.
async fn relay_input(mut writer: AttachedWriter, interactive: bool) -> Result<()> {
    let mut resized = signal(SignalKind::window_change()).context("cannot listen for signals")?;
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; INPUT_LEN];
    let mut open = interactive;
    loop {
        tokio::select! {
            read = stdin.read(&mut buffer), if open => {
                let len = read.unwrap_or(0);
                open = len > 0;
                let frame = if open { Frame::Stdin(buffer[..len].to_vec()) } else { Frame::StdinEnd };
                writer.send(&frame).await?;
            }
            _ = resized.recv() => {
                if let Some(size) = terminal::size() {
                    writer.send(&Frame::Resize(size)).await?;
                }
            }
        }
    }
}
