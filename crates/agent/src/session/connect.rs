//! The way to a guest agent from the host: through the VMM's vsock device, which asks for the guest's port by a line.

use std::io;
use std::path::Path;

use protocol::guest::SESSION_PORT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The longest answer that is read, in bytes: `OK` and a port.
const ANSWER_LEN_MAX: usize = 32;

/// Connects to the guest agent of a microVM whose first session has ended. `socket` is the vsock device's.
///
/// Waits as long as the guest agent does to accept it; a guest agent that has not had its bootstrap message never does. It may be given up by dropping the future.
///
/// # Errors
/// There is no VMM, or nobody in the guest listens.
pub async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let mut connection = UnixStream::connect(socket).await?;
    connection
        .write_all(format!("CONNECT {SESSION_PORT}\n").as_bytes())
        .await?;
    let mut answer = Vec::with_capacity(ANSWER_LEN_MAX);
    // Byte by byte: what follows the line is the guest agent's.
    while answer.last() != Some(&b'\n') {
        if answer.len() == ANSWER_LEN_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the vsock device's answer has no end",
            ));
        }
        match connection.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "the guest agent does not listen",
                ));
            }
            Err(error) => return Err(error),
        }
    }
    if answer.starts_with(b"OK ") {
        Ok(connection)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the vsock device did not answer OK",
        ))
    }
}
