//! epoll with names instead of numbers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// The events taken at once.
const EVENTS_MAX: usize = 32;

/// Whose descriptor became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The control connection.
    Control,
    /// The descriptor of `SIGCHLD`.
    Children,
    /// What the process with this number reports.
    Report(u32),
    /// The output with this index.
    Output(u32),
    /// The input with this index.
    Input(u32),
    /// The port at which hosts come back.
    Listener,
    /// The kernel's announcements.
    Uevents,
}

/// The descriptors that the event loop waits for.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    /// Reports `token` whenever `descriptor` is ready for what `flags` say.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&self, descriptor: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, data_of(token), flags)?)
    }

    /// Changes what `descriptor` is waited for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn modify(&self, descriptor: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, descriptor, data_of(token), flags)?)
    }

    /// Forgets `descriptor`: to be called before it is closed, since a duplicate in another process would keep it here.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, descriptor)?)
    }

    /// Waits until something is ready, and tells what.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self) -> io::Result<Vec<Token>> {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS_MAX];
        match epoll::wait(&self.epoll, &mut events, None) {
            Ok((ready, _)) => Ok(ready.iter().filter_map(|event| token_of(event.data)).collect()),
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A token as the kernel keeps it: the kind above, the index below.
fn data_of(token: Token) -> EventData {
    let (kind, index) = match token {
        Token::Control => (0, 0),
        Token::Children => (1, 0),
        Token::Report(index) => (2, index),
        Token::Output(index) => (3, index),
        Token::Input(index) => (5, index),
        Token::Listener => (6, 0),
        Token::Uevents => (4, 0),
    };
    EventData::new_u64(u64::from(index) | kind << 32)
}

/// The reverse of [`data_of`].
fn token_of(data: EventData) -> Option<Token> {
    let data = data.u64();
    let index = u32::try_from(data & u64::from(u32::MAX)).ok()?;
    match data >> 32 {
        0 => Some(Token::Control),
        1 => Some(Token::Children),
        2 => Some(Token::Report(index)),
        3 => Some(Token::Output(index)),
        4 => Some(Token::Uevents),
        5 => Some(Token::Input(index)),
        6 => Some(Token::Listener),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        for token in [
            Token::Control,
            Token::Children,
            Token::Report(0),
            Token::Output(u32::MAX),
            Token::Input(1),
            Token::Listener,
            Token::Uevents,
        ] {
            assert_eq!(token_of(data_of(token)), Some(token));
        }
    }
}
