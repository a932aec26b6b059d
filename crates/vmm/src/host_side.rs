//! The host, as a guest's vsock connections reach it: by connections that were made before.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;

use devices::vsock::HostSide;

/// A connection for each port that the guest can connect to, once.
pub struct Streams(BTreeMap<u32, UnixStream>);

impl Streams {
    /// These, by port.
    pub fn of(streams: impl IntoIterator<Item = (u32, UnixStream)>) -> Self {
        Self(streams.into_iter().collect())
    }
}

impl HostSide for Streams {
    fn connect(&mut self, port: u32) -> io::Result<UnixStream> {
        self.0
            .remove(&port)
            .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_port_leads_to_its_stream_once_and_others_nowhere() {
        let (mut host, ours) = UnixStream::pair().unwrap();
        let mut streams = Streams::of([(1024, ours)]);
        assert!(streams.connect(1025).is_err());
        streams.connect(1024).unwrap().write_all(b"x").unwrap();
        let mut heard = [0];
        host.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"x");
        assert!(streams.connect(1024).is_err());
    }
}
