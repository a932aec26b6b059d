//! The head of a relay connection: one request, one response, each as JSON behind its length.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest request or response in bytes: bounds what a stranger can make the init keep in memory. Linux allows more for arguments and
/// environment, but nobody types it.
pub const MESSAGE_LEN_MAX: u32 = 1 << 20;

/// What a relay connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Request {
    /// Run a program; [`super::frame`]s follow in both directions.
    Exec(ExecRequest),
    /// Connect to a unix socket in the machine; its bytes follow in both directions.
    Connect {
        /// The socket's path in the machine.
        path: PathBuf,
    },
    /// End every process, unmount and power off. The response comes before the work.
    Shutdown {},
}

/// A program to run in the machine, as root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program (looked up in the `PATH` of `env` if it has no slash) and its arguments; at least one string.
    pub argv: Vec<String>,
    /// Environment variables, added to the init's own few (`PATH`, `HOME`, `TERM`).
    pub env: Vec<(String, String)>,
    /// The working directory; `/` if absent.
    pub working_directory: Option<PathBuf>,
    /// A terminal of this size for the program. Its output then comes as standard output alone.
    pub terminal: Option<TerminalSize>,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The init's answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The request is being carried out.
    Accepted,
    /// It is not, and the connection ends here.
    Refused {
        /// Why, for a program.
        refusal: Refusal,
        /// Why, for a person.
        message: String,
    },
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such program or socket.
    NotFound,
    /// The file is there, but it cannot be executed.
    NotExecutable,
    /// The working directory cannot be entered.
    WorkingDirectory,
    /// Anything else.
    Failed,
}

/// A message that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    #[error("a relay message of {length} bytes is longer than the {MESSAGE_LEN_MAX} allowed")]
    TooLong {
        /// The length found.
        length: usize,
    },
    /// Not the JSON expected.
    #[error("a relay message is malformed")]
    Malformed(#[source] serde_json::Error),
    /// A request to run nothing.
    #[error("a request to run a program names no program")]
    NoProgram,
}

/// The bytes of a message: its length (32 bits, big endian), then its JSON.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, RequestError> {
    let json = serde_json::to_vec(message).map_err(RequestError::Malformed)?;
    let length = u32::try_from(json.len())
        .ok()
        .filter(|length| *length <= MESSAGE_LEN_MAX)
        .ok_or(RequestError::TooLong { length: json.len() })?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// Reads the length in front of a message.
pub fn parse_length(prefix: [u8; 4]) -> Result<usize, RequestError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > usize::try_from(MESSAGE_LEN_MAX).unwrap_or(usize::MAX) {
        return Err(RequestError::TooLong { length });
    }
    Ok(length)
}

/// Reads the JSON of a request.
pub fn parse_request(json: &[u8]) -> Result<Request, RequestError> {
    let request = serde_json::from_slice(json).map_err(RequestError::Malformed)?;
    match &request {
        Request::Exec(exec) if exec.argv.is_empty() => Err(RequestError::NoProgram),
        Request::Exec(_) | Request::Connect { .. } | Request::Shutdown {} => Ok(request),
    }
}

/// Reads the JSON of a response.
pub fn parse_response(json: &[u8]) -> Result<Response, RequestError> {
    serde_json::from_slice(json).map_err(RequestError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(request: &Request) {
        let bytes = encode(request).unwrap();
        let length = parse_length(bytes[..4].try_into().unwrap()).unwrap();
        assert_eq!(length, bytes.len() - 4);
        assert_eq!(&parse_request(&bytes[4..]).unwrap(), request);
    }

    #[test]
    fn every_request_reads_back_as_written() {
        check(&Request::Shutdown {});
        check(&Request::Connect {
            path: "/run/mote/agent.sock".into(),
        });
        check(&Request::Exec(ExecRequest {
            argv: vec!["echo".into(), "ä\n\"".into()],
            env: vec![("A".into(), "b=c".into())],
            working_directory: Some("/tmp".into()),
            terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        }));
    }

    #[test]
    fn a_length_over_the_limit_is_refused() {
        assert!(parse_length((MESSAGE_LEN_MAX + 1).to_be_bytes()).is_err());
        assert!(parse_length(MESSAGE_LEN_MAX.to_be_bytes()).is_ok());
    }

    #[test]
    fn a_request_without_a_program_is_refused() {
        let json = br#"{"exec":{"argv":[],"env":[],"working_directory":null,"terminal":null}}"#;
        assert!(matches!(parse_request(json), Err(RequestError::NoProgram)));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(matches!(
            parse_request(br#"{"shutdown":{"now":true}}"#),
            Err(RequestError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse_request(&bytes);
            let _ = parse_response(&bytes);
        }
    }
}
