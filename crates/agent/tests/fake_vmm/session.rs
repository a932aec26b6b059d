//! The guest's end of sessions: what was said and not acknowledged is kept, and said again to the next host agent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread;

use protocol::frame::{self, Kind, Piece};
use protocol::guest::{ExitStatus, ListedProcess, Received, SESSION_PORT, Stream, ToGuest, ToHost, Usage};
use protocol::window::Sender;

use super::Result;

/// Sessions of one guest, one after the other.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connection: Option<UnixStream>,
    has_started: bool,
    /// What became of containers' processes.
    told: Vec<ToHost>,
    outputs: BTreeMap<(u32, Stream), Sender>,
    inputs: BTreeMap<u32, Input>,
}

#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    received: u64,
    has_ended: bool,
}

impl Session {
    /// The first session, over `connection`; further ones over connections to `listener`. What the host says and is not answered here is heard.
    pub fn begin(
        connection: UnixStream,
        listener: UnixListener,
        version: u32,
    ) -> Result<(Self, mpsc::Receiver<ToGuest>)> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let this = Self { shared };
        let mut reader = connection.try_clone()?;
        this.lock().connection = Some(connection);
        this.say(ToHost::Hello { version })?;
        let (sender, heard) = mpsc::channel();
        let reading = this.clone();
        thread::spawn(move || {
            loop {
                // A host that is gone has said all that it had to say.
                let _ = reading.attend(&mut reader, &sender);
                reader = reading.next_host(&listener, version);
            }
        });
        Ok((this, heard))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Says something; what concerns a container's process is said again to later host agents.
    pub fn say(&self, message: ToHost) -> Result<()> {
        let mut state = self.lock();
        state.send(&frame::encode(&message)?);
        let is_kept = matches!(
            message,
            ToHost::Prepared { .. } | ToHost::Started { .. } | ToHost::StartFailed { .. } | ToHost::Exited { .. }
        );
        if is_kept {
            state.told.push(message);
        }
        Ok(())
    }

    /// Writes all of `bytes` to a stream, as the host takes them.
    pub fn write(&self, process: u32, stream: Stream, mut bytes: &[u8]) -> Result<()> {
        let mut state = self.lock();
        loop {
            let taken = state.outputs.entry((process, stream)).or_default().push(bytes);
            bytes = &bytes[taken..];
            state.pump((process, stream))?;
            if bytes.is_empty() {
                return Ok(());
            }
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    /// Ends a stream.
    pub fn end(&self, process: u32, stream: Stream) -> Result<()> {
        let mut state = self.lock();
        state.outputs.entry((process, stream)).or_default().end();
        state.pump((process, stream))
    }

    /// The next input of a process; none at its end.
    pub fn input(&self, process: u32) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            let input = state.inputs.entry(process).or_default();
            if !input.bytes.is_empty() {
                return Some(std::mem::take(&mut input.bytes));
            }
            if input.has_ended {
                return None;
            }
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    /// Waits until no host agent is connected.
    pub fn wait_until_gone(&self) {
        let mut state = self.lock();
        while state.connection.is_some() {
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    pub fn stray_piece(&self, process: u32, offset: u64) -> Result<()> {
        let piece = Piece {
            process,
            stream: Stream::Stdout,
            offset,
            content: b"stray",
        };
        self.lock().send_piece(&piece)
    }

    pub fn nonsense(&self) -> Result<()> {
        self.lock().send(b"\x02\0\0\0{}");
        Ok(())
    }

    /// Says something so many times, to this host agent only.
    pub fn repeat(&self, message: &ToHost, times: u64) -> Result<()> {
        let bytes = frame::encode(message)?;
        for _ in 0..times {
            let mut state = self.lock();
            if state.connection.is_none() {
                break;
            }
            state.send(&bytes);
        }
        Ok(())
    }

    /// The largest message's header, and its begin.
    pub fn half(&self) -> Result<()> {
        self.lock()
            .send(&[&frame::FRAME_LEN_MAX.to_le_bytes()[..], b"{\"failed\":"].concat());
        Ok(())
    }

    /// Hears a host agent until it is gone.
    fn attend(&self, reader: &mut UnixStream, heard: &mpsc::Sender<ToGuest>) -> Result<()> {
        loop {
            let mut header = [0; frame::HEADER_LEN];
            reader.read_exact(&mut header)?;
            let kind = frame::parse_kind(header)?;
            let (Kind::Message(len) | Kind::Piece(len)) = kind;
            let mut bytes = vec![0; len];
            reader.read_exact(&mut bytes)?;
            match kind {
                Kind::Message(_) => self.hear(frame::parse(&bytes)?, heard)?,
                Kind::Piece(_) => self.take_input(&frame::parse_piece(&bytes)?)?,
            }
        }
    }

    fn hear(&self, message: ToGuest, heard: &mpsc::Sender<ToGuest>) -> Result<()> {
        match message {
            ToGuest::Acknowledge(Received {
                process,
                stream,
                offset,
            }) => {
                let mut state = self.lock();
                if let Some(sender) = state.outputs.get_mut(&(process, stream)) {
                    sender.acknowledge(offset)?;
                }
                self.shared.changed.notify_all();
            }
            ToGuest::Execute(execute) => self.execute(execute.process, &execute.argv)?,
            ToGuest::Measure { request } => self.say(ToHost::Measured {
                request,
                containers: vec![Usage {
                    container: "main".to_owned(),
                    memory_bytes: 7,
                    ..Usage::default()
                }],
            })?,
            ToGuest::List { request, .. } => self.say(ToHost::Listed {
                request,
                processes: vec![ListedProcess {
                    pid: 1,
                    command: vec!["init".to_owned()],
                    ..ListedProcess::default()
                }],
            })?,
            message => {
                self.lock().has_started |= matches!(message, ToGuest::Start(_));
                heard.send(message)?;
            }
        }
        Ok(())
    }

    /// Says its arguments, and exits with the code that its last one is.
    fn execute(&self, process: u32, argv: &[String]) -> Result<()> {
        let code = argv.last().and_then(|word| word.parse().ok()).unwrap_or(0);
        self.lock().send(&frame::encode(&ToHost::Started { process })?);
        self.write(process, Stream::Stdout, argv.join(" ").as_bytes())?;
        self.end(process, Stream::Stdout)?;
        self.end(process, Stream::Stderr)?;
        self.lock().send(&frame::encode(&ToHost::Exited {
            process,
            status: ExitStatus::Code(code),
            out_of_memory: false,
        })?);
        Ok(())
    }

    fn take_input(&self, piece: &Piece<'_>) -> Result<()> {
        let mut state = self.lock();
        let input = state.inputs.entry(piece.process).or_default();
        input.bytes.extend(piece.content);
        input.has_ended |= piece.content.is_empty();
        input.received += u64::try_from(piece.content.len().max(1))?;
        let message = ToHost::Acknowledge(Received {
            process: piece.process,
            stream: Stream::Stdin,
            offset: input.received,
        });
        state.send(&frame::encode(&message)?);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits for a host agent that goes on; one that never began is the end of the microVM.
    fn next_host(&self, listener: &UnixListener, version: u32) -> UnixStream {
        let mut state = self.lock();
        state.connection = None;
        if !state.has_started {
            std::process::exit(0);
        }
        drop(state);
        self.shared.changed.notify_all();
        loop {
            let (connection, _) = listener.accept().unwrap();
            if let Ok(reader) = self.welcome(connection, version) {
                return reader;
            }
        }
    }

    fn welcome(&self, mut connection: UnixStream, version: u32) -> Result<UnixStream> {
        let mut line = String::new();
        BufReader::with_capacity(1, connection.try_clone()?).read_line(&mut line)?;
        // Killed before it said that.
        if line != format!("CONNECT {SESSION_PORT}\n") {
            return Err(format!("a host agent says {line:?}").into());
        }
        connection.write_all(b"OK 1073741824\n")?;
        frame::write(&mut connection, &ToHost::Hello { version })?;
        let Some(ToGuest::Resume { received }) = frame::read(&mut connection)? else {
            return Err("the host agent did not resume".into());
        };
        let mut state = self.lock();
        for (key, sender) in &mut state.outputs {
            let has = |received: &&Received| (received.process, received.stream) == *key;
            match received.iter().find(has) {
                Some(received) => sender.resume(received.offset)?,
                None => sender.rewind(),
            }
        }
        for message in &state.told {
            frame::write(&mut connection, message)?;
        }
        for (process, input) in &state.inputs {
            let message = ToHost::Acknowledge(Received {
                process: *process,
                stream: Stream::Stdin,
                offset: input.received,
            });
            frame::write(&mut connection, &message)?;
        }
        frame::write(&mut connection, &ToHost::Resumed)?;
        let reader = connection.try_clone()?;
        state.connection = Some(connection);
        for key in state.outputs.keys().copied().collect::<Vec<_>>() {
            state.pump(key)?;
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(reader)
    }
}

impl State {
    /// Sends, if anybody is there.
    fn send(&mut self, bytes: &[u8]) {
        if let Some(connection) = &mut self.connection
            && connection.write_all(bytes).is_err()
        {
            self.connection = None;
        }
    }

    fn send_piece(&mut self, piece: &Piece<'_>) -> Result<()> {
        let header = frame::piece_header(piece)?;
        let bytes = [&header[..], piece.content].concat();
        self.send(&bytes);
        Ok(())
    }

    fn pump(&mut self, (process, stream): (u32, Stream)) -> Result<()> {
        while self.connection.is_some() {
            let Some(sender) = self.outputs.get_mut(&(process, stream)) else {
                return Ok(());
            };
            let Some((offset, content)) = sender.next() else {
                return Ok(());
            };
            let content = content.to_vec();
            sender.was_sent(content.len());
            self.send_piece(&Piece {
                process,
                stream,
                offset,
                content: &content,
            })?;
        }
        Ok(())
    }
}
