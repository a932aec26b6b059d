//! The processes that the host has named: what the guest agent may say of them, and how far their streams are.

use std::collections::HashMap;

use protocol::guest::{Received, Stream, ToGuest, ToHost};
use protocol::window::{Receiver, Sender, WindowError};

use super::SessionError;

/// A process of a container, as an owner knows it from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub process: u32,
    /// The name of its container.
    pub container: String,
    /// Whether it has a terminal.
    pub has_terminal: bool,
    /// Whether its standard input is connected.
    pub has_stdin: bool,
}

/// What the streams of a container's processes are.
#[derive(Clone, Copy, Debug)]
struct Kinds {
    has_terminal: bool,
    has_stdin: bool,
}

/// Where input goes.
#[derive(Debug)]
enum Input {
    /// There is none, or no more.
    None,
    /// The guest agent has yet to say how much it has.
    Unknown,
    /// To the guest agent.
    Open(Sender),
}

#[derive(Debug)]
struct Process {
    stdin: Input,
    stdout: Receiver,
    /// None with a terminal.
    stderr: Option<Receiver>,
    has_exited: bool,
}

impl Process {
    fn new(kinds: Kinds) -> Self {
        Self {
            stdin: if kinds.has_stdin {
                Input::Open(Sender::default())
            } else {
                Input::None
            },
            stdout: Receiver::default(),
            stderr: (!kinds.has_terminal).then(Receiver::default),
            has_exited: false,
        }
    }

    const fn output(&mut self, stream: Stream) -> Option<&mut Receiver> {
        match stream {
            Stream::Stdin => None,
            Stream::Stdout => Some(&mut self.stdout),
            Stream::Stderr => self.stderr.as_mut(),
        }
    }

    /// Whether nothing more will be heard of it, and nothing is to be said.
    fn is_over(&self) -> bool {
        let done = |receiver: &Receiver| receiver.has_ended() && receiver.is_acknowledged();
        self.has_exited && done(&self.stdout) && self.stderr.as_ref().is_none_or(done)
    }
}

/// What became of input that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes were kept.
    Bytes(usize),
    /// The process reads no more.
    Never,
}

/// The processes.
#[derive(Debug, Default)]
pub struct Processes {
    containers: HashMap<String, Kinds>,
    processes: HashMap<u32, Process>,
}

impl Processes {
    /// Those of which an owner knows from before, with what it has of their streams.
    pub fn known(known: &[Known], received: &[Received]) -> Self {
        let mut table = Self::default();
        for process in known {
            let kinds = Kinds {
                has_terminal: process.has_terminal,
                has_stdin: process.has_stdin,
            };
            table.containers.insert(process.container.clone(), kinds);
            let mut made = Process::new(kinds);
            if kinds.has_stdin {
                made.stdin = Input::Unknown;
            }
            table.processes.insert(process.process, made);
        }
        for received in received {
            let process = table.processes.get_mut(&received.process);
            if let Some(receiver) = process.and_then(|process| process.output(received.stream)) {
                *receiver = Receiver::at(received.offset);
            }
        }
        table
    }

    /// Takes note of the processes that a message to the guest names for the first time.
    pub fn name(&mut self, message: &ToGuest) -> Result<(), SessionError> {
        match message {
            ToGuest::Start(start) => start.containers.iter().try_for_each(|container| {
                let kinds = Kinds {
                    has_terminal: container.terminal.is_some(),
                    has_stdin: container.stdin,
                };
                self.containers.insert(container.name.clone(), kinds);
                self.add(container.process, kinds)
            }),
            ToGuest::Execute(execute) => self.add(
                execute.process,
                Kinds {
                    has_terminal: execute.terminal.is_some(),
                    has_stdin: execute.stdin,
                },
            ),
            ToGuest::Restart { container, process } => match self.containers.get(container) {
                Some(kinds) => self.add(*process, *kinds),
                None => Err(SessionError::UnknownContainer(container.clone())),
            },
            _ => Ok(()),
        }
    }

    fn add(&mut self, process: u32, kinds: Kinds) -> Result<(), SessionError> {
        if self.processes.contains_key(&process) {
            return Err(SessionError::Duplicate(process));
        }
        self.processes.insert(process, Process::new(kinds));
        Ok(())
    }

    fn find(&mut self, process: u32) -> Result<&mut Process, SessionError> {
        self.processes
            .get_mut(&process)
            .ok_or(SessionError::UnknownProcess(process))
    }

    /// Takes note of what the guest agent says of a process.
    pub fn hear(&mut self, message: &ToHost) -> Result<(), SessionError> {
        match message {
            ToHost::Prepared { process } | ToHost::Started { process } => self.find(*process).map(drop),
            ToHost::StartFailed { process, .. } => {
                self.find(*process)?;
                self.processes.remove(process);
                Ok(())
            }
            ToHost::Exited { process, .. } => {
                let found = self.find(*process)?;
                found.has_exited = true;
                found.stdin = Input::None;
                self.forget_if_over(*process);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes a piece of output of this length.
    pub fn accept(&mut self, process: u32, stream: Stream, offset: u64, len: usize) -> Result<(), SessionError> {
        let receiver = self.find(process)?.output(stream);
        receiver
            .ok_or(SessionError::NoStream { process, stream })?
            .accept(offset, len)
            .map_err(|source| SessionError::Stream {
                process,
                stream,
                source,
            })
    }

    /// Takes note of what is stored of an output stream; whether the guest agent is to know.
    pub fn store(&mut self, received: Received) -> Result<bool, SessionError> {
        let Received {
            process,
            stream,
            offset,
        } = received;
        // Of a process that is over, all was acknowledged.
        let Some(found) = self.processes.get_mut(&process) else {
            return Ok(false);
        };
        let receiver = found.output(stream);
        let worth = receiver
            .ok_or(SessionError::NoStream { process, stream })?
            .acknowledge(offset)
            .map_err(|source| SessionError::Stream {
                process,
                stream,
                source,
            })?;
        self.forget_if_over(process);
        Ok(worth)
    }

    fn forget_if_over(&mut self, process: u32) {
        if self.processes.get(&process).is_some_and(Process::is_over) {
            self.processes.remove(&process);
        }
    }

    /// Keeps as much of `bytes` for a process's input as there is room for.
    pub fn keep_input(&mut self, process: u32, bytes: &[u8]) -> Taken {
        match self.processes.get_mut(&process).map(|process| &mut process.stdin) {
            Some(Input::Open(sender)) if !sender.has_ended() => Taken::Bytes(sender.push(bytes)),
            Some(Input::Unknown) => Taken::Bytes(0),
            _ => Taken::Never,
        }
    }

    /// Notes that a process gets no more input; whether that can be said already.
    pub fn end_input(&mut self, process: u32) -> bool {
        match self.processes.get_mut(&process).map(|process| &mut process.stdin) {
            Some(Input::Open(sender)) => {
                sender.end();
                true
            }
            Some(Input::Unknown) => false,
            _ => true,
        }
    }

    /// The sender of a process's input, where there is one.
    pub fn input(&mut self, process: u32) -> Option<&mut Sender> {
        match &mut self.processes.get_mut(&process)?.stdin {
            Input::Open(sender) => Some(sender),
            _ => None,
        }
    }

    /// Takes note of what the guest agent has passed on, or has from before where the session is being resumed.
    pub fn input_was_taken(&mut self, received: Received, is_resuming: bool) -> Result<(), SessionError> {
        let Received {
            process,
            stream,
            offset,
        } = received;
        if stream != Stream::Stdin {
            return Err(SessionError::NoStream { process, stream });
        }
        // The process may have ended meanwhile.
        let Some(found) = self.processes.get_mut(&process) else {
            return Ok(());
        };
        match &mut found.stdin {
            Input::Unknown if is_resuming => found.stdin = Input::Open(Sender::at(offset)),
            Input::Open(sender) => {
                let acknowledged: Result<(), WindowError> = sender.acknowledge(offset);
                acknowledged.map_err(|source| SessionError::Stream {
                    process,
                    stream,
                    source,
                })?;
                if sender.is_done() {
                    found.stdin = Input::None;
                }
            }
            Input::None | Input::Unknown => {}
        }
        Ok(())
    }

    /// All that happened before was told: input that was not spoken of has ended.
    pub fn resumed(&mut self) {
        for process in self.processes.values_mut() {
            if matches!(process.stdin, Input::Unknown) {
                process.stdin = Input::None;
            }
        }
    }
}
