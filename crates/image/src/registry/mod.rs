//! Pulls from registries (OCI distribution spec, Docker's token authentication). The registry is a stranger:
//! every body is bounded, credentials go to nobody but it and the token server it names, and nothing goes plainly that
//! began encrypted.

pub mod blob;
pub mod challenge;
pub mod endpoint;
pub mod repository;
pub mod retry;
mod sign_in;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;

/// The most redirects of one request.
const REDIRECTS_MAX: usize = 8;
/// The most bytes of an error's body that are read for its message.
const ERROR_BODY_LEN_MAX: u64 = 16 << 10;

/// How patient the client is.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For the next bytes of a response.
    pub read_timeout: Duration,
    /// Before the first retry; doubled for each further one.
    pub retry_pause: Duration,
    /// Retries of one request, or of one broken download, if the failure may pass.
    pub retries_max: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(60),
            retry_pause: Duration::from_millis(500),
            retries_max: 4,
        }
    }
}

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The TLS configuration cannot be made.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A file of certificate authorities that was named is none.
    #[error("cannot read the certificate authorities in {}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// No TLS connection can be trusted on this host.
    #[error(
        "cannot check registry {registry}'s certificate: this host has no certificate authorities (package ca-certificates)"
    )]
    NoAuthorities {
        /// The registry.
        registry: String,
    },
    /// No connection, or it broke.
    #[error("cannot talk to registry {registry}")]
    Network {
        /// The registry.
        registry: String,
        /// Why.
        source: reqwest::Error,
    },
    /// There is no such image.
    #[error("{reference} is not in the registry")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// The registry lacks a blob that the image's manifest names.
    #[error("registry {registry} lacks a part of the image, {digest}")]
    BlobNotFound {
        /// The registry.
        registry: String,
        /// The blob.
        digest: Digest,
    },
    /// The registry wants to know who asks.
    #[error("registry {registry} wants a user name and a password; give them or sign in with mote login")]
    CredentialsNeeded {
        /// The registry.
        registry: String,
    },
    /// It knows who asks, and does not believe it.
    #[error("wrong user name or password for registry {registry}; check them or sign in again")]
    WrongCredentials {
        /// The registry.
        registry: String,
    },
    /// It knows who asks, or need not, and refuses. Registries say no more, to not tell what exists.
    #[error("{reference} does not exist, or access to it is denied")]
    Denied {
        /// What was asked for.
        reference: String,
    },
    /// A challenge that cannot be met.
    #[error("registry {registry} wants a way of signing in that is not supported")]
    Challenge {
        /// The registry.
        registry: String,
    },
    /// A token server that would get credentials, or give a token, unencrypted.
    #[error("registry {registry} wants its token fetched from {realm:?} without encryption, which is refused")]
    PlainTokenServer {
        /// The registry.
        registry: String,
        /// The token server.
        realm: String,
    },
    /// The token server gave something else than a token.
    #[error("the token server of registry {registry} gave no token")]
    NoToken {
        /// The registry.
        registry: String,
    },
    /// Another answer than success.
    #[error("registry {registry} answers {status}{}", detail(message))]
    Status {
        /// The registry.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What the registry says of it, if it does.
        message: String,
    },
    /// A body beyond its bound.
    #[error("registry {registry} sends more than the {bytes_max} bytes that {what} may have")]
    TooLarge {
        /// The registry.
        registry: String,
        /// What was read.
        what: &'static str,
        /// The bound.
        bytes_max: u64,
    },
    /// A blob's download ended early, also after retries.
    #[error("the download of {digest} ended after {received_bytes} of {expected_bytes} bytes")]
    Truncated {
        /// The blob.
        digest: Digest,
        /// What came.
        received_bytes: u64,
        /// What the manifest says.
        expected_bytes: u64,
    },
}

fn detail(message: &str) -> String {
    // Debug keeps a stranger's text from steering a terminal.
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message:?}")
    }
}
