//! One client's session: its socket on one side, the process on the other, the [`Conversation`] between them.

use std::time::Duration;

use axum::extract::ws::{self, WebSocket};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::conversation::{Conversation, OUTPUT_LEN_MAX, Wish};
use super::execution::{Execution, Input, Start};
use crate::clock;

/// How often a client is asked whether it is there; it has so long to take a message, too.
const PING: Duration = Duration::from_secs(60);

/// A client that said nothing for so many of these is gone.
const PINGS_MAX: u32 = 3;

/// How long a client has for the last output, after the process has ended.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why a session ends.
enum End {
    /// The client is told: nothing, or the reason.
    Told(String),
    /// There is nobody to tell.
    Gone,
}

/// Milliseconds since the Unix epoch that never go back.
#[derive(Clone, Copy)]
struct Clock {
    began_ms: u64,
    began: Instant,
}

impl Clock {
    fn start() -> Self {
        Self {
            began_ms: clock::wall_ms(),
            began: Instant::now(),
        }
    }

    fn now_ms(self) -> u64 {
        self.began_ms + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn instant(self, time_ms: u64) -> Instant {
        self.began + Duration::from_millis(time_ms.saturating_sub(self.began_ms))
    }
}

/// The process, on its way to an end.
enum Process {
    /// The client has not begun.
    Waiting(Start),
    /// It is being started.
    Starting(BoxFuture<'static, Result<Execution, String>>),
    /// It runs, or its last output is on its way.
    Running {
        input: mpsc::Sender<Input>,
        output: mpsc::Receiver<Bytes>,
        failure: BoxFuture<'static, Option<String>>,
    },
    /// It has ended, perhaps for this reason.
    Ended { reason: String, at: Instant },
}

/// What the process did.
enum Did {
    Start(Result<Execution, String>),
    Write(Bytes),
    TakeInput,
    End(String),
}

/// Serves a client that has shown its token, until the process or the client ends.
pub async fn serve(mut socket: WebSocket, session: String, seed: [u8; 16], start: Start) {
    let clock = Clock::start();
    let mut serving = Serving {
        conversation: Conversation::begin(session, seed, clock.now_ms()),
        clock,
        process: Process::Waiting(start),
        unsent: Bytes::new(),
        input: None,
    };
    if let End::Told(reason) = serving.run(&mut socket).await {
        serving.conversation.close(clock.now_ms(), &reason);
        // Whether it arrives or not, this is the end.
        let _ = serving.flush(&mut socket).await;
        close(socket, None).await;
    }
}

/// Ends a connection so that the client gets what was sent: what it still says is read until it closes its side too.
pub async fn close(mut socket: WebSocket, frame: Option<ws::CloseFrame>) {
    let closing = async {
        if socket.send(ws::Message::Close(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // A client that does not close has had its time.
    let _ = timeout(FAREWELL, closing).await;
}

struct Serving {
    conversation: Conversation,
    clock: Clock,
    process: Process,
    /// Output that is not in a message yet.
    unsent: Bytes,
    /// Input that the process has not taken yet.
    input: Option<Input>,
}

impl Serving {
    async fn run(&mut self, socket: &mut WebSocket) -> End {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        loop {
            if let Some(end) = self.advance() {
                return end;
            }
            if self.flush(socket).await.is_err() {
                return End::Gone;
            }
            let is_full = !self.unsent.is_empty();
            let due = self.due();
            tokio::select! {
                frame = socket.recv() => {
                    silent = 0;
                    match frame {
                        Some(Ok(ws::Message::Binary(bytes))) => {
                            if let Err(error) = self.conversation.receive(self.clock.now_ms(), &bytes) {
                                return End::Told(error.to_string());
                            }
                        }
                        Some(Ok(ws::Message::Close(_)) | Err(_)) | None => return End::Gone,
                        Some(Ok(_)) => {}
                    }
                }
                did = self.process.next(&mut self.input, is_full) => self.take(did),
                () = async { match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                } } => {}
                _ = pings.tick() => {
                    silent += 1;
                    let asked = timeout(PING, socket.send(ws::Message::Ping(Bytes::new()))).await;
                    if silent > PINGS_MAX || !matches!(asked, Ok(Ok(()))) {
                        return End::Gone;
                    }
                }
            }
        }
    }

    /// Moves what can be moved without waiting.
    fn advance(&mut self) -> Option<End> {
        while self.input.is_none()
            && !matches!(self.process, Process::Starting(_))
            && let Some(wish) = self.conversation.next_wish()
        {
            match wish {
                Wish::Begin => self.process.start(),
                Wish::Input(bytes) => self.input = Some(Input::Bytes(bytes)),
                Wish::Resize { columns, rows } => self.input = Some(Input::Resize { columns, rows }),
                Wish::EndOfInput => self.input = Some(Input::End),
                Wish::Terminate => return Some(End::Told(String::new())),
                Wish::Fail(reason) => return Some(End::Told(reason)),
            }
            if matches!(self.process, Process::Ended { .. }) {
                self.input = None;
            }
        }
        let now_ms = self.clock.now_ms();
        while self.conversation.has_room() && !self.unsent.is_empty() {
            let len = self.unsent.len().min(OUTPUT_LEN_MAX);
            self.conversation.output(now_ms, &self.unsent.split_to(len));
        }
        if self.conversation.is_abandoned(now_ms) {
            return Some(End::Gone);
        }
        match &mut self.process {
            Process::Ended { reason, at } => {
                let is_told = self.unsent.is_empty() && self.conversation.is_drained();
                (is_told || at.elapsed() >= FAREWELL).then(|| End::Told(std::mem::take(reason)))
            }
            _ => None,
        }
    }

    fn take(&mut self, did: Did) {
        match did {
            Did::Start(Ok(execution)) => {
                let Execution { input, output, failure } = execution;
                self.process = Process::Running { input, output, failure };
            }
            Did::Write(bytes) => self.unsent = bytes,
            Did::TakeInput => self.input = None,
            Did::Start(Err(reason)) | Did::End(reason) => {
                self.input = None;
                self.process = Process::Ended {
                    reason,
                    at: Instant::now(),
                };
            }
        }
    }

    /// When there is something to be done even if nothing happens.
    fn due(&self) -> Option<Instant> {
        let again = self.conversation.due_ms().map(|due_ms| self.clock.instant(due_ms));
        let farewell = match &self.process {
            Process::Ended { at, .. } => Some(*at + FAREWELL),
            _ => None,
        };
        again.into_iter().chain(farewell).min()
    }

    /// Sends what is to be sent now.
    async fn flush(&mut self, socket: &mut WebSocket) -> Result<(), ()> {
        while let Some(message) = self.conversation.next_due(self.clock.now_ms()) {
            let sent = timeout(PING, socket.send(ws::Message::Binary(message.into()))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return Err(());
            }
        }
        Ok(())
    }
}

impl Process {
    fn start(&mut self) {
        let ended = Self::Ended {
            reason: String::new(),
            at: Instant::now(),
        };
        *self = match std::mem::replace(self, ended) {
            Self::Waiting(start) => Self::Starting(start()),
            other => other,
        };
    }

    /// Waits for the next thing that it does. Output is not taken while there `is_full` of it.
    async fn next(&mut self, next_input: &mut Option<Input>, is_full: bool) -> Did {
        match self {
            Self::Waiting(_) | Self::Ended { .. } => std::future::pending().await,
            Self::Starting(starting) => Did::Start(starting.await),
            Self::Running { input, output, failure } => {
                tokio::select! {
                    permit = input.reserve(), if next_input.is_some() => {
                        // A process that takes no input is none's fault.
                        if let (Ok(permit), Some(next)) = (permit, next_input.take()) {
                            permit.send(next);
                        }
                        Did::TakeInput
                    }
                    bytes = output.recv(), if !is_full => match bytes {
                        Some(bytes) => Did::Write(bytes),
                        None => Did::End(failure.now_or_never().flatten().unwrap_or_default()),
                    },
                    else => std::future::pending().await,
                }
            }
        }
    }
}
