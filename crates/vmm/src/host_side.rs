//! The host, as a guest's vsock connections reach it: port N is the unix socket at the device's path with `_N` appended.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use devices::vsock::HostSide;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// The unix sockets beside a vsock device's own.
pub struct NeighbouringSockets {
    socket: PathBuf,
}

impl NeighbouringSockets {
    /// The neighbours of `socket`.
    pub fn of(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }
}

impl HostSide for NeighbouringSockets {
    fn connect(&mut self, port: u32) -> io::Result<UnixStream> {
        let address = UnixAddr::new(&neighbour(&self.socket, port))?;
        // A program that is slow to accept must not stop the devices: it is then as if nobody listened.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(descriptor.as_raw_fd(), &address)?;
        Ok(descriptor.into())
    }
}

fn neighbour(socket: &Path, port: u32) -> PathBuf {
    let mut name = OsString::from(socket);
    name.push(format!("_{port}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_port_is_the_socket_with_its_number_appended() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("v_1024")).unwrap();
        let mut host = NeighbouringSockets::of(&folder.path().join("v"));
        let mut guest = host.connect(1024).unwrap();
        guest.write_all(b"x").unwrap();
        let mut heard = [0];
        listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"x");
        assert_eq!(host.connect(1025).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_does_not_accept_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(folder.path().join("v_1")).unwrap();
        let mut host = NeighbouringSockets::of(&folder.path().join("v"));
        let mut open = Vec::new();
        let refused = loop {
            match host.connect(1) {
                Ok(stream) => open.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
}
