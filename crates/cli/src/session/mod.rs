//! An attached task or process: its output to ours, our input and signals to it, until it has ended.

mod input;
mod interruptions;
mod keys;

use std::future::Future;
use std::pin::pin;

use anyhow::{Context, Result, bail};
use api::attach::{Frame, Stop};
use api::client::{Attached, AttachedReader, Client};
use api::exec::ExecEnd;
use api::task::{SignalRequest, StopRequest, Task};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use interruptions::{Interruption, Interruptions};

use crate::sink::{Sink, Target};
use crate::terminal::RawMode;

/// Signals on their way to a process.
const FRAMES_WAITING: usize = 16;

/// How many interruptions it takes to leave what does not end.
const INTERRUPTIONS_MAX: u32 = 3;

/// One attached task or process.
pub struct Session {
    subject: Subject,
    reader: AttachedReader,
    input: Option<JoinHandle<Result<()>>>,
    frames: mpsc::Sender<Frame>,
    raw_mode: Option<RawMode>,
    interruptions: Interruptions,
}

/// What is attached, and so what an interruption means.
pub enum Subject {
    /// A task that this command has started: an interruption stops it.
    Started {
        /// How it is reached.
        client: Client,
        /// Its id.
        task: String,
    },
    /// A task that runs anyway: it gets the signals.
    Joined {
        /// How it is reached.
        client: Client,
        /// Its id.
        task: String,
        /// The container that is attached.
        container: Option<String>,
    },
    /// A process that was executed in a task: it gets the signals.
    Executed,
}

/// What of the person's terminal the task has.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// It has a terminal of its own, which is shown in the person's.
    pub tty: bool,
    /// It gets the person's input.
    pub input: bool,
}

/// How a session ended.
pub enum Ended {
    /// The task has stopped.
    Task(Box<Task>),
    /// The process has ended.
    Process(ExecEnd),
    /// The person left; the task goes on.
    Left,
}

impl Session {
    /// A session whose stream is `attached`. The person's terminal is in raw mode while it is the task's.
    pub fn new(
        subject: Subject,
        attached: Attached,
        interruptions: Interruptions,
        connected: Connected,
    ) -> Result<Self> {
        let (reader, writer) = attached.split();
        let raw_mode = if connected.tty && connected.input {
            Some(RawMode::enter().context("cannot put the terminal into raw mode")?)
        } else {
            None
        };
        let (frames, further) = mpsc::channel(FRAMES_WAITING);
        // A task without any of these has nothing to be told on its stream.
        let has_input = connected.tty || connected.input || matches!(subject, Subject::Executed);
        let input = has_input.then(|| tokio::spawn(input::relay(writer, connected, further)));
        Ok(Self {
            subject,
            reader,
            input,
            frames,
            raw_mode,
            interruptions,
        })
    }

    /// Relays until the task or process has ended, or the person leaves.
    pub async fn run(mut self) -> Result<Ended> {
        if self.interruptions.count > 0 {
            let count = self.interruptions.count;
            self.subject
                .interrupted(Interruption { signal: 0, count }, &self.frames)?;
        }
        let mut stdout = Sink::new(Target::Output);
        let mut stderr = Sink::new(Target::Error);
        let ended = loop {
            match self.next().await? {
                Some(Frame::Stdout(bytes)) => self.show(&mut stdout, &bytes).await?,
                Some(Frame::Stderr(bytes)) => self.show(&mut stderr, &bytes).await?,
                Some(Frame::Ended(task)) => break Ended::Task(task),
                Some(Frame::Exited(end)) => break Ended::Process(end),
                Some(other) => bail!("the host agent sent a frame that only clients send: {other:?}"),
                None => break Ended::Left,
            }
        };
        if let Some(input) = self.input {
            input.abort();
        }
        drop(self.raw_mode);
        Ok(ended)
    }

    /// The next frame; `None` where the person left.
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            tokio::select! {
                frame = self.reader.next() => match frame? {
                    Some(frame) => return Ok(Some(frame)),
                    None => bail!("the host agent went away while {} ran", self.subject.name()),
                },
                interruption = self.interruptions.next() => self.subject.interrupted(interruption, &self.frames)?,
                has_left = left(&mut self.input) => {
                    self.input = None;
                    if has_left {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn show(&mut self, sink: &mut Sink, bytes: &[u8]) -> Result<()> {
        let (subject, frames) = (&self.subject, &self.frames);
        let interrupted = |interruption| subject.interrupted(interruption, frames);
        let written = interruptible(sink.write(bytes), &mut self.interruptions, interrupted).await?;
        if let Err(error) = written {
            self.subject.end().await?;
            return Err(error).with_context(|| self.subject.unseen());
        }
        Ok(())
    }
}

/// Waits until there is no more to be sent; whether the person left.
async fn left(input: &mut Option<JoinHandle<Result<()>>>) -> bool {
    match input {
        // A stream that takes no more tells its end by itself.
        Some(input) => matches!(input.await, Ok(Ok(()))),
        None => std::future::pending().await,
    }
}

/// Does `work`, and meanwhile what an interruption asks for.
async fn interruptible<T>(
    work: impl Future<Output = T>,
    interruptions: &mut Interruptions,
    interrupted: impl Fn(Interruption) -> Result<()>,
) -> Result<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            interruption = interruptions.next() => interrupted(interruption)?,
        }
    }
}

impl Subject {
    fn name(&self) -> String {
        match self {
            Self::Started { task, .. } | Self::Joined { task, .. } => format!("task {task}"),
            Self::Executed => "the command".to_owned(),
        }
    }

    /// The first interruption stops a task that was started here, a second one kills it; others get the signal itself. One more does not
    /// even wait for the end, for whoever should read the output may not.
    fn interrupted(&self, Interruption { signal, count }: Interruption, frames: &mpsc::Sender<Frame>) -> Result<()> {
        if count >= INTERRUPTIONS_MAX {
            bail!("interrupted, without waiting for {} to end", self.name());
        }
        match self {
            Self::Started { client, task } => request_stop(client, task, (count > 1).then_some(0)),
            Self::Joined {
                client,
                task,
                container,
            } => request_signal(client, task, container.clone(), signal),
            // Where the process does not take its input, the next interruption leaves.
            Self::Executed => drop(frames.try_send(Frame::Stop(Stop::Signal(signal)))),
        }
        Ok(())
    }

    fn unseen(&self) -> String {
        let what = format!("cannot write the output of {}", self.name());
        match self {
            Self::Started { .. } => format!("{what}, so it was killed"),
            Self::Joined { .. } | Self::Executed => what,
        }
    }

    /// Ends what was started here, since nobody can see its output.
    async fn end(&self) -> Result<()> {
        if let Self::Started { client, task } = self {
            let timeout_seconds = Some(0);
            client.stop_task(task, StopRequest { timeout_seconds }).await?;
        }
        Ok(())
    }
}

/// Asks for the task's end without waiting for it: whether it came is seen from the frames. On a connection of its own: it must not queue
/// behind input that the task does not read.
fn request_stop(client: &Client, task: &str, timeout_seconds: Option<u32>) {
    let (client, task) = (client.clone(), task.to_owned());
    tokio::spawn(async move { client.stop_task(&task, StopRequest { timeout_seconds }).await });
}

/// Sends the task a signal, in the same way.
fn request_signal(client: &Client, task: &str, container: Option<String>, signal: u8) {
    let (client, task) = (client.clone(), task.to_owned());
    let request = SignalRequest { signal, container };
    tokio::spawn(async move { client.signal_task(&task, &request).await });
}
