//! Listening unix sockets: bound here, or inherited.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};

/// Why there is no listening socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path is taken, too long, or may not be written.
    #[error("cannot listen on the socket {}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The number is none of a listening unix socket.
    #[error("descriptor {descriptor} is not a listening unix socket")]
    NotListening {
        /// The descriptor.
        descriptor: RawFd,
    },
    /// The socket cannot be used without waiting.
    #[error("cannot make a listening socket non-blocking")]
    Prepare(#[source] io::Error),
}

/// Listens on `path`, without blocking. Whoever named the path removes the socket.
///
/// # Errors
/// Where the path is taken, too long, or may not be written.
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let listener = UnixListener::bind(path).map_err(|source| SocketError::Bind {
        path: path.to_owned(),
        source,
    })?;
    listener.set_nonblocking(true).map_err(SocketError::Prepare)?;
    Ok(listener)
}

/// Takes over the listening socket that this process inherited as `descriptor`. To be called once, before a socket is made here.
///
/// # Errors
/// Where it is something else.
pub fn inherit(descriptor: RawFd) -> Result<UnixListener, SocketError> {
    if descriptor < 0 {
        return Err(SocketError::NotListening { descriptor });
    }
    // SAFETY: the process has made no socket yet, so a listening one behind the number was inherited and has no other owner; where
    // something else is behind it, or nothing, the value is given up again below without being closed.
    let listener = unsafe { UnixListener::from_raw_fd(descriptor) };
    let listening = getsockopt(&listener, sockopt::AcceptConn).unwrap_or(false) && listener.local_addr().is_ok();
    if !listening {
        let _ = listener.into_raw_fd();
        return Err(SocketError::NotListening { descriptor });
    }
    listener.set_nonblocking(true).map_err(SocketError::Prepare)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_taken_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Bind { .. })));
    }

    #[test]
    fn an_inherited_listening_socket_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let descriptor = UnixListener::bind(folder.path().join("s")).unwrap().into_raw_fd();
        assert!(
            inherit(descriptor)
                .unwrap()
                .accept()
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        );
    }

    #[test]
    fn nothing_but_a_listening_socket_is_taken_over() {
        let file = tempfile::tempfile().unwrap().into_raw_fd();
        for descriptor in [-1, 0, file, 1 << 20] {
            assert!(
                matches!(inherit(descriptor), Err(SocketError::NotListening { .. })),
                "{descriptor}"
            );
        }
    }
}
