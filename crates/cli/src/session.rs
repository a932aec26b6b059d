//! An attached task: its output to ours, our input and signals to it, until it has ended.

use std::future::Future;
use std::pin::pin;

use anyhow::{Context, Result, bail};
use api::attach::Frame;
use api::client::{Attached, AttachedReader, AttachedWriter, Client};
use api::task::{StopRequest, Task};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;

use crate::sink::{Sink, Target};
use crate::terminal::{self, RawMode};

/// Bytes of input that are sent at once.
const INPUT_LEN: usize = 32 << 10;

/// One attached task.
pub struct Session {
    client: Client,
    task: String,
    reader: AttachedReader,
    input: Option<AbortHandle>,
    raw_mode: Option<RawMode>,
    interruptions: Interruptions,
}

/// The signals that end a task from outside. They end this process no more, once this value was made.
pub struct Interruptions {
    signals: [Signal; 3],
    count: u32,
}

impl Interruptions {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let open = |kind| signal(kind).context("cannot listen for signals");
        let signals = [
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
            open(SignalKind::hangup())?,
        ];
        Ok(Self { signals, count: 0 })
    }

    /// Waits for the next one; how many there were so far.
    pub async fn next(&mut self) -> u32 {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        self.count += 1;
        self.count
    }
}

/// What of the person's terminal the task has.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// It has a terminal of its own, which is shown in the person's.
    pub tty: bool,
    /// It gets the person's input.
    pub input: bool,
}

impl Session {
    /// A session of `task`, whose stream is `attached`. The person's terminal is in raw mode while it is the task's.
    pub fn new(
        client: &Client,
        (task, attached): (String, Attached),
        interruptions: Interruptions,
        connected: Connected,
    ) -> Result<Self> {
        let (reader, writer) = attached.split();
        let raw_mode = if connected.tty && connected.input {
            Some(RawMode::enter().context("cannot put the terminal into raw mode")?)
        } else {
            None
        };
        // A task without either has nothing to be told.
        let input = (connected.tty || connected.input)
            .then(|| tokio::spawn(relay_input(writer, connected.input)).abort_handle());
        Ok(Self {
            client: client.clone(),
            task,
            reader,
            input,
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
            input,
            raw_mode,
            mut interruptions,
        } = self;
        let mut stdout = Sink::new(Target::Output);
        let mut stderr = Sink::new(Target::Error);
        if interruptions.count > 0 {
            request_stop(&client, &task, None);
        }
        let ended = loop {
            let frame = interruptible(reader.next(), &mut interruptions, &client, &task).await??;
            let (sink, bytes) = match frame {
                Some(Frame::Stdout(bytes)) => (&mut stdout, bytes),
                Some(Frame::Stderr(bytes)) => (&mut stderr, bytes),
                Some(Frame::Ended(task)) => break *task,
                Some(other) => bail!("the host agent sent a frame that only clients send: {other:?}"),
                None => bail!("the host agent went away while task {task} ran"),
            };
            let written = interruptible(sink.write(&bytes), &mut interruptions, &client, &task).await?;
            if let Err(error) = written {
                let timeout_seconds = Some(0);
                client.stop_task(&task, StopRequest { timeout_seconds }).await?;
                return Err(error).context("cannot write the task's output, so the task was killed");
            }
        };
        if let Some(input) = input {
            input.abort();
        }
        drop(raw_mode);
        Ok(ended)
    }
}

/// Does `work`. An interruption meanwhile stops the task, a second one kills it; a third one does not even wait for its end, for whoever
/// should read its output may not.
async fn interruptible<T>(
    work: impl Future<Output = T>,
    interruptions: &mut Interruptions,
    client: &Client,
    task: &str,
) -> Result<T> {
    let mut work = pin!(work);
    loop {
        let count = tokio::select! {
            done = &mut work => return Ok(done),
            count = interruptions.next() => count,
        };
        match count {
            1 => request_stop(client, task, None),
            2 => request_stop(client, task, Some(0)),
            _ => bail!("interrupted, without waiting for task {task} to end"),
        }
    }
}

/// Asks for the task's end without waiting for it: whether it came is seen from the frames. On a connection of its own: it must not queue
/// behind input that the task does not read.
fn request_stop(client: &Client, task: &str, timeout_seconds: Option<u32>) {
    let (client, task) = (client.clone(), task.to_owned());
    tokio::spawn(async move { client.stop_task(&task, StopRequest { timeout_seconds }).await });
}

/// Sends input and window sizes until input ends or the task no longer takes any.
async fn relay_input(mut writer: AttachedWriter, has_input: bool) -> Result<()> {
    let mut resized = signal(SignalKind::window_change()).context("cannot listen for signals")?;
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; INPUT_LEN];
    let mut open = has_input;
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
