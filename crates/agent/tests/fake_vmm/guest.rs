//! The guest agent of the fake: speaks over the sockets that a real VMM would connect for it.

use std::collections::HashMap;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use protocol::frame;
use protocol::guest::{
    CONTROL_PORT, Container, ExitStatus, STREAM_PORT, StartFailure, Stream, StreamHello, ToGuest, ToHost,
};

use super::Result;

/// The bytes that a flood repeats: a prime number of them, so that a lost chunk shows.
const PATTERN_LEN: usize = 65_521;

/// What a guest agent knows.
pub struct Guest {
    socket: PathBuf,
    control: Option<UnixStream>,
    container: Option<Container>,
    streams: HashMap<Stream, UnixStream>,
}

impl Guest {
    /// A guest whose vsock leads to sockets named after `socket`.
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            control: None,
            container: None,
            streams: HashMap::new(),
        }
    }

    fn connect(&self, port: u32) -> Result<UnixStream> {
        let mut path = self.socket.clone().into_os_string();
        path.push(format!("_{port}"));
        Ok(UnixStream::connect(path)?)
    }

    fn control(&mut self) -> Result<&mut UnixStream> {
        self.control.as_mut().ok_or_else(|| "no hello was said".into())
    }

    fn say(&mut self, message: &ToHost) -> Result<()> {
        Ok(frame::write(self.control()?, message)?)
    }

    fn hear(&mut self) -> Result<ToGuest> {
        frame::read(self.control()?)?.ok_or_else(|| "the host agent closed the connection".into())
    }

    fn name(&self) -> String {
        self.container
            .as_ref()
            .map_or_else(|| "main".to_owned(), |container| container.name.clone())
    }

    pub fn hello(&mut self, version: u32) -> Result<()> {
        self.control = Some(self.connect(CONTROL_PORT)?);
        self.say(&ToHost::Hello { version })
    }

    pub fn expect_start(&mut self) -> Result<()> {
        let ToGuest::Start(start) = self.hear()? else {
            return Err("no bootstrap message came".into());
        };
        assert!(start.entropy.iter().any(|byte| *byte != 0), "no entropy came");
        self.container = start.containers.into_iter().next();
        Ok(())
    }

    pub fn connect_streams(&mut self) -> Result<()> {
        let container = self.container.as_ref().ok_or("no container is known")?;
        let mut streams = match container.terminal {
            Some(_) => vec![Stream::Terminal],
            None => vec![Stream::Stdout, Stream::Stderr],
        };
        if container.stdin && container.terminal.is_none() {
            streams.push(Stream::Stdin);
        }
        for stream in streams {
            let mut connection = self.connect(STREAM_PORT)?;
            frame::write(
                &mut connection,
                &StreamHello {
                    container: self.name(),
                    stream,
                },
            )?;
            self.streams.insert(stream, connection);
        }
        Ok(())
    }

    pub fn stray_stream(&mut self, words: &str) -> Result<()> {
        let mut connection = self.connect(STREAM_PORT)?;
        connection.write_all(words.as_bytes())?;
        Ok(())
    }

    pub fn prepared(&mut self, container: String) -> Result<()> {
        self.say(&ToHost::Prepared { container })
    }

    pub fn expect_release(&mut self) -> Result<()> {
        match self.hear()? {
            ToGuest::Release { container } if container == self.name() => Ok(()),
            other => Err(format!("no release came but {other:?}").into()),
        }
    }

    pub fn started(&mut self) -> Result<()> {
        let container = self.name();
        self.say(&ToHost::Started { container })
    }

    pub fn start_failed(&mut self, reason: StartFailure, message: String) -> Result<()> {
        let container = self.name();
        self.say(&ToHost::StartFailed {
            container,
            reason,
            message,
        })
    }

    pub fn failed(&mut self, message: String) -> Result<()> {
        self.say(&ToHost::Failed { message })
    }

    fn stdout(&mut self) -> Result<&mut UnixStream> {
        let stream = if self.streams.contains_key(&Stream::Terminal) {
            Stream::Terminal
        } else {
            Stream::Stdout
        };
        self.streams
            .get_mut(&stream)
            .ok_or_else(|| "no streams are connected".into())
    }

    pub fn write_stdout(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stdout()?.write_all(bytes)?)
    }

    pub fn write_stderr(&mut self, bytes: &[u8]) -> Result<()> {
        let stderr = self
            .streams
            .get_mut(&Stream::Stderr)
            .ok_or("no streams are connected")?;
        Ok(stderr.write_all(bytes)?)
    }

    pub fn flood(&mut self, bytes: u64) -> Result<()> {
        let pattern: Vec<u8> = (0..PATTERN_LEN).map(|index| index.to_le_bytes()[index % 2]).collect();
        let mut left = bytes;
        while left > 0 {
            let len = usize::try_from(left)?.min(PATTERN_LEN);
            self.write_stdout(&pattern[..len])?;
            left -= len as u64;
        }
        Ok(())
    }

    pub fn cat(&mut self) -> Result<()> {
        let mut stdin = self
            .streams
            .get(&Stream::Stdin)
            .ok_or("standard input is not connected")?
            .try_clone()?;
        std::io::copy(&mut stdin, self.stdout()?)?;
        Ok(())
    }

    pub fn expect_resize(&mut self) -> Result<()> {
        match self.hear()? {
            ToGuest::Resize { size, .. } => self.write_stdout(format!("{}x{}", size.columns, size.rows).as_bytes()),
            other => Err(format!("no size came but {other:?}").into()),
        }
    }

    pub fn expect_signal(&mut self, expected: u8) -> Result<()> {
        match self.hear()? {
            ToGuest::Signal { signal, .. } if signal == expected => Ok(()),
            other => Err(format!("signal {expected} did not come but {other:?}").into()),
        }
    }

    pub fn close(&mut self) -> Result<()> {
        for (_, stream) in self.streams.drain() {
            stream.shutdown(Shutdown::Both)?;
        }
        Ok(())
    }

    pub fn exited(&mut self, status: ExitStatus) -> Result<()> {
        let container = self.name();
        self.say(&ToHost::Exited {
            container,
            status,
            out_of_memory: false,
        })
    }

    pub fn nonsense(&mut self) -> Result<()> {
        Ok(self.control()?.write_all(b"\x02\0\0\0{}")?)
    }

    pub fn expect_shutdown(&mut self) -> Result<()> {
        match self.hear()? {
            ToGuest::Shutdown => Ok(()),
            other => Err(format!("no shutdown came but {other:?}").into()),
        }
    }
}
