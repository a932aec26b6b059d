//! A client of the API: one connection per request, over whatever leads to the host agent.

mod attached;
mod aws;
mod body;
mod images;
mod lines;
mod networks;
mod signer;
mod system;
mod tasks;
mod templates;
mod transport;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

pub use attached::{Attached, AttachedReader, AttachedWriter};
pub use lines::Lines;
pub use signer::Signer;
pub use transport::{Connect, Connecting, Transport};

use crate::error::{ApiError, ErrorCode};
use crate::route;
use crate::task::Version;
use body::{Outgoing, OutgoingBody};

/// The longest JSON answer that is read, in bytes.
const ANSWER_LEN_MAX: usize = 16 << 20;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers where the host agent should be.
    #[error("cannot connect to the host agent at {endpoint}")]
    Connect {
        /// Where.
        endpoint: String,
        /// Why.
        source: std::io::Error,
    },
    /// The host agent refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The host agent refused, in the way of Amazon ECS.
    #[error("{message}")]
    Aws {
        /// The kind of refusal: `ClientException`.
        kind: String,
        /// One sentence.
        message: String,
    },
    /// The request is longer than what is signed, and the host agent takes nothing else over this connection.
    #[error(
        "an archive is too long to be signed: load it over the host agent's unix socket, on its own host, or pull the image from a registry"
    )]
    TooLongToSign,
    /// The connection failed.
    #[error("the connection to the host agent failed during {operation}")]
    Http {
        /// Method and path.
        operation: String,
        /// Why.
        source: hyper::Error,
    },
    /// What the host agent gives cannot be written.
    #[error("cannot write what the host agent sends")]
    Write(#[source] std::io::Error),
    /// The answer is not what the contract says.
    #[error("the host agent's answer to {operation} is not understood: {what}")]
    Answer {
        /// Method and path.
        operation: String,
        /// What is wrong with it.
        what: String,
    },
    /// The stream of an attached task failed.
    #[error("the stream of the task failed")]
    Stream(#[source] std::io::Error),
}

/// A client. Every call opens its own connection, so one client serves any number of calls at once.
#[derive(Clone)]
pub struct Client {
    connect: Connect,
    endpoint: String,
    /// Who signs requests and what the `Host` header says, where they go over TCP.
    signer: Option<(Arc<Signer>, String)>,
    // Shared by the client's clones, so that whichever calls first takes the connection; locked for moments, never while waiting.
    opened: Arc<Mutex<Option<Box<dyn Transport>>>>,
}

impl Client {
    /// A client of the host agent that listens on the unix socket at `path`.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self::over(transport::unix(path.to_owned()), path.display().to_string())
    }

    /// A client over connections that `connect` makes; `endpoint` names their other end in errors.
    #[must_use]
    pub fn over(connect: Connect, endpoint: String) -> Self {
        let opened = Arc::default();
        Self {
            connect,
            endpoint,
            signer: None,
            opened,
        }
    }

    /// A client of the host agent at the TCP address `HOST:PORT`, with requests that `signer` signs.
    #[must_use]
    pub fn tcp(address: &str, signer: Signer) -> Self {
        let signer = Some((Arc::new(signer), address.to_owned()));
        Self {
            signer,
            ..Self::over(transport::tcp(address.to_owned()), address.to_owned())
        }
    }

    /// Connects, and keeps the connection for the next call: the cheapest way to learn whether a host agent is there.
    ///
    /// # Errors
    /// [`ClientError::Connect`]
    pub async fn open(&self) -> Result<(), ClientError> {
        let stream = self.connect().await?;
        *self.lock() = Some(stream);
        Ok(())
    }

    async fn connect(&self) -> Result<Box<dyn Transport>, ClientError> {
        (self.connect)().await.map_err(|source| ClientError::Connect {
            endpoint: self.endpoint.clone(),
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Transport>>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host agent's version.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.json(Method::GET, route::VERSION, Outgoing::empty()).await
    }

    /// Sends a request that turns the connection into an attached task's; also the answer's headers.
    async fn upgrade(&self, path: &str, body: Outgoing) -> Result<(HeaderMap, Attached), ClientError> {
        let operation = format!("POST {path}");
        let response = self.send(Method::POST, path, body.upgrading()).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(answer(&operation, "the connection was not upgraded"));
        }
        let headers = response.headers().clone();
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|source| ClientError::Http { operation, source })?;
        Ok((headers, Attached::new(upgraded)))
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Outgoing) -> Result<T, ClientError> {
        let operation = format!("{method} {path}");
        let response = self.send(method, path, body).await?;
        let bytes = read_whole(&operation, response).await?;
        serde_json::from_slice(&bytes).map_err(|error| answer(&operation, &error.to_string()))
    }

    /// Sends one request; an answer that is not a success becomes its error.
    async fn send(&self, method: Method, path: &str, body: Outgoing) -> Result<Response<Incoming>, ClientError> {
        let operation = format!("{method} {path}");
        let response = self.send_any(method, path, body).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let bytes = read_whole(&operation, response).await?;
        Err(serde_json::from_slice::<ApiError>(&bytes).map_or_else(|_| answer(&operation, status.as_str()), Into::into))
    }

    /// Sends one request; whatever the answer is.
    async fn send_any(&self, method: Method, path: &str, body: Outgoing) -> Result<Response<Incoming>, ClientError> {
        let operation = format!("{method} {path}");
        let opened = self.lock().take();
        let stream = match opened {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let failed = |source| ClientError::Http {
            operation: operation.clone(),
            source,
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tokio::spawn(connection.with_upgrades());

        let request = self
            .request(method, path, body)
            .map_err(|error| answer(&operation, &error.to_string()))?;
        sender.send_request(request).await.map_err(failed)
    }
}

impl Client {
    fn request(&self, method: Method, path: &str, body: Outgoing) -> Result<Request<OutgoingBody>, hyper::http::Error> {
        let host = self.signer.as_ref().map_or("mote", |(_, host)| host);
        let mut request = Request::builder().method(method.clone()).uri(path).header(HOST, host);
        if let Some(kind) = body.content_type {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(target) = &body.target {
            request = request.header(crate::ecs::TARGET_HEADER, target);
        }
        if body.upgrade {
            request = request
                .header(CONNECTION, "upgrade")
                .header(UPGRADE, route::ATTACH_PROTOCOL);
        }
        if let (Some((signer, _)), Some(headers)) = (&self.signer, request.headers_mut()) {
            signer.sign(headers, method.as_str(), path, &body)?;
        }
        request.body(body.body)
    }
}

impl ClientError {
    /// The kind of refusal, where the host agent gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(error) => Some(error.code),
            _ => None,
        }
    }
}

fn answer(operation: &str, what: &str) -> ClientError {
    ClientError::Answer {
        operation: operation.to_owned(),
        what: what.to_owned(),
    }
}

async fn read_whole(operation: &str, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_LEN_MAX);
    let collected = body
        .collect()
        .await
        .map_err(|error| answer(operation, &error.to_string()))?;
    Ok(collected.to_bytes())
}

/// Encodes everything but the unreserved characters of RFC 3986, 2.3, so that the result is one path segment or query value.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_becomes_one_path_segment() {
        assert_eq!(
            percent_encode("localhost:5000/app@sha256:0a"),
            "localhost%3A5000%2Fapp%40sha256%3A0a"
        );
    }

    #[tokio::test]
    async fn an_open_connection_serves_the_next_call() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mote.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let client = Client::unix(&path);
        client.open().await.unwrap();
        let (mut connection, _) = listener.accept().await.unwrap();
        let answer = tokio::spawn(async move {
            let mut request = [0; 16];
            connection.read_exact(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"version\":\"7\"}";
            connection.write_all(answer).await.unwrap();
            connection
        });
        assert_eq!(client.version().await.unwrap().version, "7");
        drop(answer);
    }

    #[tokio::test]
    async fn a_missing_agent_is_named_by_its_socket() {
        let error = Client::unix(Path::new("/nonexistent/mote.sock"))
            .version()
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot connect to the host agent at /nonexistent/mote.sock"
        );
    }
}
