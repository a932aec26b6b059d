//! The way to a guest that runs: executed commands, what its containers use and what they run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::exec::ExecEnd;
use api::task::Exit;
use bytes::Bytes;
use protocol::guest::{
    EXECUTED_FIRST, Execute, ExitStatus, ListedProcess, Received, StartFailure, Stream, TerminalSize, ToGuest, Usage,
};
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::output::Chunk;
use crate::sentence::told;
use crate::session::{Commands, SessionError, SessionEvent};

/// Numbers that executed processes of one host agent can have: those of its predecessors are others.
const NUMBERS: u64 = 1 << 30;

/// The way to one guest.
pub struct GuestLink {
    commands: Commands,
    // Shared by who asks and by the task that reads the session; locked for moments.
    waiting: Mutex<Waiting>,
    next: AtomicU32,
}

#[derive(Default)]
struct Waiting {
    executed: HashMap<u32, Output>,
    answers: HashMap<u32, oneshot::Sender<Answer>>,
    is_closed: bool,
}

struct Output {
    events: mpsc::UnboundedSender<Heard>,
    streams_open: usize,
    has_ended: bool,
}

enum Answer {
    Usage(Vec<Usage>),
    Processes(Vec<ListedProcess>),
}

/// What is heard of an executed process.
enum Heard {
    Output(Chunk, Received),
    End(ExecEnd),
}

/// A process that is executed in a container. Dropping it lets the process run, without anybody who listens.
pub struct Executed {
    process: u32,
    link: Arc<GuestLink>,
    events: mpsc::UnboundedReceiver<Heard>,
    end: Option<ExecEnd>,
}

/// What is to be executed, in the words of the guest, but for the process's number.
pub struct Command {
    /// The container's name.
    pub container: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The container's where absent.
    pub working_directory: Option<String>,
    /// The container's where absent.
    pub user: Option<String>,
    /// The terminal's first size, where it gets one.
    pub terminal: Option<TerminalSize>,
    /// Whether standard input is connected.
    pub stdin: bool,
}

impl GuestLink {
    /// The way over a session with these commands.
    pub fn new(commands: Commands) -> Arc<Self> {
        let number = u32::try_from(clock::wall_ms() % NUMBERS).unwrap_or_default();
        Arc::new(Self {
            commands,
            waiting: Mutex::default(),
            next: AtomicU32::new(EXECUTED_FIRST + number),
        })
    }

    /// What sends.
    pub const fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Executes a command. Whether its container runs, the guest tells.
    ///
    /// # Errors
    /// [`SessionError`]: the guest cannot be told.
    pub fn execute(self: &Arc<Self>, command: Command) -> Result<Executed, SessionError> {
        let process = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::unbounded_channel();
        let output = Output {
            events: sender,
            streams_open: if command.terminal.is_some() { 1 } else { 2 },
            has_ended: false,
        };
        {
            let mut waiting = self.lock();
            if waiting.is_closed {
                return Err(SessionError::Closed);
            }
            waiting.executed.insert(process, output);
        }
        let sent = self.commands.send(&ToGuest::Execute(Box::new(Execute {
            process,
            container: command.container,
            argv: command.argv,
            env: command.env,
            working_directory: command.working_directory,
            user: command.user,
            terminal: command.terminal,
            stdin: command.stdin,
        })));
        if let Err(error) = sent {
            self.lock().executed.remove(&process);
            return Err(error);
        }
        Ok(Executed {
            process,
            link: self.clone(),
            events,
            end: None,
        })
    }

    /// What each container uses.
    ///
    /// # Errors
    /// [`SessionError`]: the guest does not answer.
    pub async fn measure(&self) -> Result<Vec<Usage>, SessionError> {
        match self.ask(|request| ToGuest::Measure { request }).await? {
            Answer::Usage(usage) => Ok(usage),
            Answer::Processes(_) => Err(SessionError::Unexpected("a list of processes")),
        }
    }

    /// What runs in a container.
    ///
    /// # Errors
    /// [`SessionError`]: the guest does not answer.
    pub async fn processes(&self, container: String) -> Result<Vec<ListedProcess>, SessionError> {
        match self.ask(|request| ToGuest::List { request, container }).await? {
            Answer::Processes(processes) => Ok(processes),
            Answer::Usage(_) => Err(SessionError::Unexpected("what containers use")),
        }
    }

    async fn ask(&self, message: impl FnOnce(u32) -> ToGuest) -> Result<Answer, SessionError> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.is_closed {
                return Err(SessionError::Closed);
            }
            // Who asked and went away waits no more.
            waiting.answers.retain(|_, sender| !sender.is_closed());
            waiting.answers.insert(request, sender);
        }
        self.commands.send(&message(request))?;
        answer.await.map_err(|_| SessionError::Closed)
    }

    /// Takes what concerns those who asked; gives back all else.
    pub fn hear(&self, event: SessionEvent) -> Option<SessionEvent> {
        match event {
            SessionEvent::Measured { request, containers } => self.answer(request, Answer::Usage(containers)),
            SessionEvent::Listed { request, processes } => self.answer(request, Answer::Processes(processes)),
            SessionEvent::Output {
                process,
                stream,
                offset,
                bytes,
            } if process >= EXECUTED_FIRST => {
                let offset = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.output(
                    Chunk { stream, bytes },
                    Received {
                        process,
                        stream,
                        offset,
                    },
                );
            }
            SessionEvent::StreamEnded {
                process,
                stream,
                offset,
            } if process >= EXECUTED_FIRST => self.stream_ended(process, stream, offset),
            SessionEvent::Exited { process, status, .. } if process >= EXECUTED_FIRST => {
                let exit = match status {
                    ExitStatus::Code(code) => Exit::Code(code),
                    ExitStatus::Signal(signal) => Exit::Signal(signal),
                };
                self.ended(process, ExecEnd { exit, reason: None }, false);
            }
            SessionEvent::StartFailed {
                process,
                reason,
                message,
            } if process >= EXECUTED_FIRST => {
                let exit = match reason {
                    StartFailure::NotFound => Exit::NotFound,
                    StartFailure::NotExecutable => Exit::NotExecutable,
                    StartFailure::Other => Exit::Failed,
                };
                let reason = Some(told(&message));
                self.ended(process, ExecEnd { exit, reason }, true);
            }
            SessionEvent::Started { process } | SessionEvent::Prepared { process } if process >= EXECUTED_FIRST => {}
            other => return Some(other),
        }
        None
    }

    fn answer(&self, request: u32, answer: Answer) {
        if let Some(sender) = self.lock().answers.remove(&request) {
            let _ = sender.send(answer);
        }
    }

    fn output(&self, chunk: Chunk, received: Received) {
        let waiting = self.lock();
        let sent = waiting
            .executed
            .get(&received.process)
            .is_some_and(|output| output.events.send(Heard::Output(chunk, received)).is_ok());
        drop(waiting);
        if !sent {
            // Nobody listens: it need not be kept.
            let _ = self.commands.acknowledge(received);
        }
    }

    fn stream_ended(&self, process: u32, stream: Stream, offset: u64) {
        let _ = self.commands.acknowledge(Received {
            process,
            stream,
            offset: offset + 1,
        });
        let mut waiting = self.lock();
        if let Some(output) = waiting.executed.get_mut(&process) {
            output.streams_open = output.streams_open.saturating_sub(1);
            // The listener hears the end when nothing more can come.
            if output.streams_open == 0 && output.has_ended {
                waiting.executed.remove(&process);
            }
        }
    }

    fn ended(&self, process: u32, end: ExecEnd, is_last: bool) {
        let mut waiting = self.lock();
        if let Some(output) = waiting.executed.get_mut(&process) {
            let _ = output.events.send(Heard::End(end));
            output.has_ended = true;
            if is_last || output.streams_open == 0 {
                waiting.executed.remove(&process);
            }
        }
    }

    /// The session is over: nobody hears anything any more.
    pub fn close(&self) {
        let mut waiting = self.lock();
        *waiting = Waiting {
            is_closed: true,
            ..Waiting::default()
        };
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock leaves a change half-done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executed {
    /// The next piece of output; `None` once there is no more.
    pub async fn output(&mut self) -> Option<Chunk> {
        loop {
            match self.events.recv().await? {
                Heard::Output(chunk, received) => {
                    // Taken: the process may write as much again.
                    let _ = self.link.commands.acknowledge(received);
                    return Some(chunk);
                }
                Heard::End(end) => self.end = Some(end),
            }
        }
    }

    /// How it ended, after its output: output that was not taken is dropped.
    pub async fn ended(mut self) -> ExecEnd {
        while self.output().await.is_some() {}
        self.end.take().unwrap_or(ExecEnd {
            exit: Exit::Failed,
            reason: Some("the task ended, or its guest cannot be reached any more".to_owned()),
        })
    }

    /// What gives it input, sizes and signals.
    #[must_use]
    pub fn control(&self) -> ExecControl {
        ExecControl {
            process: self.process,
            link: self.link.clone(),
        }
    }
}

/// What gives an executed process input, sizes and signals. What cannot be told any more is not told.
#[derive(Clone)]
pub struct ExecControl {
    process: u32,
    link: Arc<GuestLink>,
}

impl ExecControl {
    /// Gives it input; waits until it is taken.
    pub async fn input(&self, bytes: Bytes) {
        let _ = self.link.commands.input(self.process, bytes).await;
    }

    /// Ends its input.
    pub async fn end_input(&self) {
        let _ = self.link.commands.end_input(self.process).await;
    }

    /// Tells it the size of its terminal.
    pub fn resize(&self, size: TerminalSize) {
        let process = self.process;
        let _ = self.link.commands.send(&ToGuest::Resize { process, size });
    }

    /// Sends a signal to it and all that it started.
    pub fn signal(&self, signal: u8) {
        let process = self.process;
        let _ = self.link.commands.send(&ToGuest::Signal { process, signal });
    }
}
