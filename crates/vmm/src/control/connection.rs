//! One controller: what it says, cut into requests; what it is told.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use protocol::attachments;
use protocol::frame::{self, FrameError, HEADER_LEN};
use protocol::vmm::Request;

/// The longest request, in bytes: bounds what one controller can make us keep.
pub const REQUEST_LEN_MAX: usize = 256 << 10;

/// The most bytes that are read at once, so that no controller keeps the loop from the devices.
const READ_LEN_MAX: usize = 4096;

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The controller has closed it.
    #[error("the controller closed the connection")]
    Closed,
    /// The socket failed, or the controller does not take what it is told.
    #[error("cannot reach the controller")]
    Io(#[from] io::Error),
    /// What came is no request.
    #[error("the controller sent no valid request")]
    Malformed(#[from] FrameError),
    /// What came is too long for a request.
    #[error("the controller sent a request of {len} bytes, more than {REQUEST_LEN_MAX}")]
    TooLong {
        /// The length in bytes.
        len: usize,
    },
}

/// A connection to a controller. The socket does not block.
pub struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    /// Descriptors that came with what is incoming.
    attached: Vec<OwnedFd>,
}

impl Connection {
    /// A connection that has not said anything.
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            incoming: Vec::new(),
            attached: Vec::new(),
        }
    }

    /// Its socket.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends `frames`. All events together are smaller than a socket's buffer, so this only fails for who never reads.
    ///
    /// # Errors
    /// Where the socket does not take all at once.
    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// Reads what has come; gives the requests that are complete, and the descriptors that came with them.
    ///
    /// # Errors
    /// Where the connection is over, or should be.
    pub fn receive(&mut self) -> Result<(Vec<Request>, Vec<OwnedFd>), ConnectionError> {
        let mut buffer = [0; READ_LEN_MAX];
        match attachments::receive(&self.stream, &mut buffer, &mut self.attached) {
            Ok(0) => return Err(ConnectionError::Closed),
            Ok(count) => self.incoming.extend(&buffer[..count]),
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {}
            Err(error) => return Err(error.into()),
        }
        let mut requests = Vec::new();
        while let Some(request) = take_request(&mut self.incoming)? {
            requests.push(request);
        }
        // What belongs to a request that is not complete waits for the rest.
        let attached = if requests.is_empty() {
            Vec::new()
        } else {
            std::mem::take(&mut self.attached)
        };
        Ok((requests, attached))
    }
}

/// Takes the first request out of `incoming`; `None` where it is not complete.
fn take_request(incoming: &mut Vec<u8>) -> Result<Option<Request>, ConnectionError> {
    let Some((header, rest)) = incoming.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let len = frame::parse_header(*header)?;
    if len > REQUEST_LEN_MAX {
        return Err(ConnectionError::TooLong { len });
    }
    let Some(message) = rest.get(..len) else {
        return Ok(None);
    };
    let request = frame::parse(message)?;
    incoming.drain(..HEADER_LEN + len);
    Ok(Some(request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> (UnixStream, Connection) {
        let (controller, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (controller, Connection::new(ours))
    }

    #[test]
    fn a_request_that_comes_byte_by_byte_is_one_request() {
        let (mut controller, mut connection) = pair();
        let bytes = frame::encode(&Request::Stop).unwrap();
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            controller.write_all(&[*byte]).unwrap();
            assert_eq!(connection.receive().unwrap().0, []);
        }
        controller.write_all(&[*last]).unwrap();
        assert_eq!(connection.receive().unwrap().0, [Request::Stop]);
    }

    #[test]
    fn nonsense_ends_the_connection() {
        for nonsense in [&[0xff; 8][..], &[2, 0, 0, 0, b'{', b'}'], &[1, 0, 4, 0]] {
            let (mut controller, mut connection) = pair();
            controller.write_all(nonsense).unwrap();
            assert!(connection.receive().is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn who_never_reads_is_given_up_and_not_waited_for() {
        let (_controller, mut connection) = pair();
        let frame = vec![0; 64 << 10];
        assert!((0..64).any(|_| connection.send(&frame).is_err()));
    }

    #[test]
    fn a_closed_connection_is_told_apart_from_silence() {
        let (controller, mut connection) = pair();
        assert_eq!(connection.receive().unwrap().0, []);
        drop(controller);
        assert!(matches!(connection.receive(), Err(ConnectionError::Closed)));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut incoming = bytes;
            while let Ok(Some(_)) = take_request(&mut incoming) {}
            prop_assert!(incoming.len() <= REQUEST_LEN_MAX + HEADER_LEN);
        }
    }
}
