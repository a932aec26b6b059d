//! The guest agent of the fake: what a script has it say and do.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;

use protocol::guest::{Container, ExitStatus, StartFailure, Stream, ToGuest, ToHost};

use super::Result;
use super::session::Session;

/// The bytes that a flood repeats: a prime number of them, so that a lost chunk shows.
const PATTERN_LEN: usize = 65_521;

/// What a guest agent knows.
pub struct Guest {
    /// Where hosts come in, and the way to the first one, until they are used.
    ways: Option<(UnixListener, UnixStream)>,
    session: Option<(Session, mpsc::Receiver<ToGuest>)>,
    containers: Vec<Container>,
}

impl Guest {
    /// A guest whose vsock leads there.
    pub fn new(listener: UnixListener, door: UnixStream) -> Self {
        Self {
            ways: Some((listener, door)),
            ..Self::nowhere()
        }
    }

    /// A guest that has no vsock yet.
    pub fn nowhere() -> Self {
        Self {
            ways: None,
            session: None,
            containers: vec![],
        }
    }

    fn session(&self) -> Result<&Session> {
        self.session
            .as_ref()
            .map(|(session, _)| session)
            .ok_or_else(|| "no hello was said".into())
    }

    fn say(&self, message: ToHost) -> Result<()> {
        self.session()?.say(message)
    }

    fn hear(&self) -> Result<ToGuest> {
        let (_, heard) = self.session.as_ref().ok_or("no hello was said")?;
        Ok(heard.recv()?)
    }

    pub fn hello(&mut self, version: u32) -> Result<()> {
        let (listener, door) = self.ways.take().ok_or("the guest has no vsock")?;
        // They came as a VMM wants them.
        listener.set_nonblocking(false)?;
        door.set_nonblocking(false)?;
        self.session = Some(Session::begin(door, listener, version)?);
        Ok(())
    }

    pub fn expect_start(&mut self) -> Result<()> {
        let ToGuest::Start(start) = self.hear()? else {
            return Err("no bootstrap message came".into());
        };
        assert!(start.entropy.iter().any(|byte| *byte != 0), "no entropy came");
        self.containers = start.containers;
        Ok(())
    }

    pub fn stray_piece(&self, process: u32) -> Result<()> {
        self.session()?.stray_piece(process, 0)
    }

    pub fn piece_at(&self, offset: u64) -> Result<()> {
        self.session()?.stray_piece(0, offset)
    }

    pub fn prepared(&self, process: u32) -> Result<()> {
        self.say(ToHost::Prepared { process })
    }

    pub fn expect_release(&self, expected: u32) -> Result<()> {
        match self.hear()? {
            ToGuest::Release { process } if process == expected => Ok(()),
            other => Err(format!("no release of {expected} came but {other:?}").into()),
        }
    }

    pub fn expect_restart(&self, expected: u32) -> Result<()> {
        match self.hear()? {
            ToGuest::Restart { process, .. } if process == expected => Ok(()),
            other => Err(format!("no restart as {expected} came but {other:?}").into()),
        }
    }

    pub fn started(&self, process: u32) -> Result<()> {
        self.say(ToHost::Started { process })
    }

    pub fn start_failed(&self, process: u32, reason: StartFailure, message: String) -> Result<()> {
        self.say(ToHost::StartFailed {
            process,
            reason,
            message,
        })
    }

    pub fn failed(&self, message: String) -> Result<()> {
        self.say(ToHost::Failed { message })
    }

    fn has_terminal(&self, process: u32) -> bool {
        let mut containers = self.containers.iter();
        containers.any(|container| container.process == process && container.terminal.is_some())
    }

    pub fn write(&self, process: u32, stream: Stream, bytes: &[u8]) -> Result<()> {
        self.session()?.write(process, stream, bytes)
    }

    pub fn flood(&self, bytes: u64) -> Result<()> {
        let pattern: Vec<u8> = (0..PATTERN_LEN).map(|index| index.to_le_bytes()[index % 2]).collect();
        let mut left = bytes;
        while left > 0 {
            let len = usize::try_from(left)?.min(PATTERN_LEN);
            self.write(0, Stream::Stdout, &pattern[..len])?;
            left -= len as u64;
        }
        Ok(())
    }

    pub fn cat(&self) -> Result<()> {
        while let Some(bytes) = self.session()?.input(0) {
            self.write(0, Stream::Stdout, &bytes)?;
        }
        Ok(())
    }

    pub fn expect_resize(&self) -> Result<()> {
        match self.hear()? {
            ToGuest::Resize { size, .. } => {
                let text = format!("{}x{}", size.columns, size.rows);
                self.write(0, Stream::Stdout, text.as_bytes())
            }
            other => Err(format!("no size came but {other:?}").into()),
        }
    }

    pub fn expect_signal(&self, expected: (u32, u8)) -> Result<()> {
        match self.hear()? {
            ToGuest::Signal { process, signal } if (process, signal) == expected => Ok(()),
            other => Err(format!("signal {expected:?} did not come but {other:?}").into()),
        }
    }

    pub fn close(&self, process: u32) -> Result<()> {
        let session = self.session()?;
        session.end(process, Stream::Stdout)?;
        if !self.has_terminal(process) {
            session.end(process, Stream::Stderr)?;
        }
        Ok(())
    }

    pub fn exited(&self, process: u32, status: ExitStatus) -> Result<()> {
        self.say(ToHost::Exited {
            process,
            status,
            out_of_memory: false,
        })
    }

    pub fn repeat(&self, message: &ToHost, times: u64) -> Result<()> {
        self.session()?.repeat(message, times)
    }

    pub fn half(&self) -> Result<()> {
        self.session()?.half()
    }

    pub fn nonsense(&self) -> Result<()> {
        self.session()?.nonsense()
    }

    pub fn expect_shutdown(&self) -> Result<()> {
        match self.hear()? {
            ToGuest::Shutdown => Ok(()),
            other => Err(format!("no shutdown came but {other:?}").into()),
        }
    }

    pub fn expect_gone(&self) -> Result<()> {
        self.session()?.wait_until_gone();
        Ok(())
    }
}
