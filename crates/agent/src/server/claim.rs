//! The claim on the directories and the socket: one host agent at a time.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, chmod, fcntl_lock};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::net::UnixListener;

use crate::config::Config;

/// Connections that wait to be taken: as many as Linux allows where nobody says otherwise (`net.core.somaxconn`). One too many is refused, or has to
/// wait in its `connect`, and many clients may come in the moment in which this process computes.
const BACKLOG: i32 = 4096;

/// Why a host agent cannot have its place.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another one has a directory.
    #[error("another host agent ({process}) already uses {}; stop it, or give this one its own --runtime, --state and --socket", directory.display())]
    Taken {
        /// What the other one wrote down of itself.
        process: String,
        /// The directory.
        directory: PathBuf,
    },
    /// Something answers on the socket.
    #[error("something already answers on {}; stop it, or name another socket with --socket", path.display())]
    Answered {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket is in the socket's place.
    #[error("{} exists and is no socket; name another one with --socket", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// A file or directory.
    #[error("cannot {attempted} {}", path.display())]
    Io {
        /// `make`, `lock`, …
        attempted: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to be the only host agent here; given back when this value goes, or its process.
#[derive(Debug)]
pub struct Claim {
    socket: Option<PathBuf>,
    _locks: [File; 2],
}

impl Claim {
    /// Makes the directories and locks those that no two host agents may share: what one has in memory of them would be wrong.
    ///
    /// # Errors
    /// [`ClaimError`]
    pub fn take(config: &Config) -> Result<Self, ClaimError> {
        for directory in [&config.state, &config.runtime].into_iter().chain(&config.consoles) {
            make_directory(directory, 0o700)?;
        }
        Ok(Self {
            socket: None,
            _locks: [lock(&config.runtime)?, lock(&config.state)?],
        })
    }

    /// Listens at `path`, for the owner alone. A socket that a dead host agent left is replaced.
    ///
    /// # Errors
    /// [`ClaimError`]
    pub fn listen(&mut self, path: &Path) -> Result<UnixListener, ClaimError> {
        let failed = |source: io::Error| ClaimError::Io {
            attempted: "listen on",
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            make_directory(directory, 0o755)?;
        }
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let socket = socket.map_err(|errno| failed(errno.into()))?;
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
        rustix::net::bind(&socket, &address).map_err(|errno| failed(errno.into()))?;
        self.socket = Some(path.to_owned());
        // Nobody can connect before it listens, so nobody can before its mode is right.
        chmod(path, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
        rustix::net::listen(&socket, BACKLOG).map_err(|errno| failed(errno.into()))?;
        UnixListener::from_std(socket.into()).map_err(failed)
    }

    /// Gives it back.
    pub fn release(self) {}
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(path) = &self.socket
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), "the socket is left over: {error}");
        }
    }
}

/// Locks a directory, by a file in it that says who has it.
fn lock(directory: &Path) -> Result<File, ClaimError> {
    let path = directory.join("agent.lock");
    let failed = |source| ClaimError::Io {
        attempted: "lock",
        path: path.clone(),
        source,
    };
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    // A lock of the process, which a VMM that is just forked does not inherit: it would hold it when the host agent is killed meanwhile.
    if fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut process = String::new();
        // Who it is only helps; that it is there is known.
        let _ = lock.read_to_string(&mut process);
        return Err(ClaimError::Taken {
            process: process.trim().to_owned(),
            directory: directory.to_owned(),
        });
    }
    let written = lock.set_len(0).and_then(|()| lock.rewind());
    written
        .and_then(|()| writeln!(lock, "process {}", std::process::id()))
        .map_err(failed)?;
    Ok(lock)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), ClaimError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| ClaimError::Io {
        attempted: "make the directory",
        path: path.to_owned(),
        source,
    })
}

fn remove_stale(path: &Path) -> Result<(), ClaimError> {
    let failed = |source| ClaimError::Io {
        attempted: "replace",
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ClaimError::NoSocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(connection) if listener_lives(&connection) => Err(ClaimError::Answered { path: path.to_owned() }),
        _ => fs::remove_file(path).map_err(failed),
    }
}

/// Whether the process that listens at the other end lives. What it forked may hold the socket for an instant longer, and answers nobody.
fn listener_lives(connection: &UnixStream) -> bool {
    let Ok(listener) = socket_peercred(connection) else {
        return true;
    };
    let Ok(process) = pidfd_open(listener.pid, PidfdFlags::empty()) else {
        return false;
    };
    // Readable once it has ended, also where nobody has waited for it yet (pidfd_open(2)).
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut ended, Some(&now)), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than come at once to a host, and fewer than this process may have open.
    const CLIENTS: usize = 400;

    #[tokio::test]
    async fn many_clients_may_come_before_one_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["state", "run"] {
            make_directory(&at(name), 0o700).unwrap();
        }
        let mut claim = Claim {
            socket: None,
            _locks: [lock(&at("run")).unwrap(), lock(&at("state")).unwrap()],
        };
        let _listener = claim.listen(&at("mote.sock")).unwrap();
        let address = SocketAddrUnix::new(at("mote.sock")).unwrap();
        let connect = |_| {
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
            rustix::net::connect(&socket, &address).map(|()| socket)
        };
        let clients: Result<Vec<_>, _> = (0..CLIENTS).map(connect).collect();
        clients.unwrap();
    }
}
