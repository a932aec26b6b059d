//! The standard streams of a container's process: descriptors 0, 1 and 2, and whose they are.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fchown};
use rustix::process::{Gid, Uid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdout};

use super::stage;
use super::user::Identity;
use crate::failure::{Attempt, StepError};

/// Takes the terminal as the session's, where there is one, or standard input, and makes the user the owner of the streams, without which
/// `/dev/stdout` and its like could not be opened.
///
/// # Errors
/// The kernel's.
pub fn take(terminal: Option<String>, input: Option<&OwnedFd>, identity: &Identity) -> Result<(), StepError> {
    if let Some(path) = terminal {
        stage::bind_console(Path::new(&path))?;
        return take_terminal(&open(&path)?, identity);
    }
    if let Some(input) = input {
        give(input, identity, Some(identity.gid))?;
        become_standard(Some(input), None, None)?;
    }
    give(stdout(), identity, Some(identity.gid))?;
    give(stderr(), identity, Some(identity.gid))
}

/// Takes `terminal` as that of this process's session, and for all three streams.
///
/// # Errors
/// The kernel's.
pub fn take_terminal(terminal: &OwnedFd, identity: &Identity) -> Result<(), StepError> {
    rustix::process::ioctl_tiocsctty(terminal).attempting(|| "take the terminal")?;
    // Its group stays that of all terminals.
    give(terminal, identity, None)?;
    become_standard(Some(terminal), Some(terminal), Some(terminal))
}

/// Makes the user the owner of a stream, which is root's.
fn give(stream: impl AsFd, identity: &Identity, group: Option<u32>) -> Result<(), StepError> {
    if identity.uid == 0 && group.unwrap_or(0) == 0 {
        return Ok(());
    }
    fchown(stream, Some(Uid::from_raw(identity.uid)), group.map(Gid::from_raw))
        .attempting(|| "give a stream to the user")
}

/// Puts streams at descriptors 0, 1 and 2.
///
/// # Errors
/// The kernel's.
pub fn become_standard(
    input: Option<&OwnedFd>,
    output: Option<&OwnedFd>,
    errors: Option<&OwnedFd>,
) -> Result<(), StepError> {
    let moved = input
        .map_or(Ok(()), dup2_stdin)
        .and_then(|()| output.map_or(Ok(()), dup2_stdout))
        .and_then(|()| errors.map_or(Ok(()), dup2_stderr));
    moved.attempting(|| "set the standard streams")
}

/// Opens a device for both directions.
///
/// # Errors
/// The kernel's.
pub fn open(path: &str) -> Result<OwnedFd, StepError> {
    let opened = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    opened.attempting(|| format!("open {path}"))
}
