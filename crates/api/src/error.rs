//! How the API says no.

use serde::{Deserialize, Serialize};

/// The body of every answer whose status is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of refusal this is, for programs.
    pub code: ErrorCode,
    /// One sentence: what was wrong, where, and what to do.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The request is malformed or asks for something impossible.
    InvalidParameter,
    /// No image of that name is in the store or the registry.
    ImageNotFound,
    /// The registry refused the credentials, or wants some.
    Unauthorized,
    /// The image cannot be used: corrupt, truncated, of another architecture, of an unknown format.
    InvalidImage,
    /// The registry could not be reached or failed.
    RegistryUnavailable,
    /// No task has that name or id.
    TaskNotFound,
    /// No template has that key.
    TemplateNotFound,
    /// A container, access key or secret of that name does not exist.
    NotFound,
    /// The signature is missing or wrong, or the key allows less, or the route is for the unix socket alone.
    AccessDenied,
    /// The name is taken, or the task is not in a state that allows this.
    Conflict,
    /// The host lacks something: disk space, memory, `/dev/kvm`.
    HostUnable,
    /// Nothing answers at that path.
    NoSuchRoute,
    /// The host agent failed.
    Internal,
}

impl ErrorCode {
    /// The HTTP status that carries it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidParameter | Self::InvalidImage => 400,
            Self::Unauthorized => 401,
            Self::AccessDenied => 403,
            Self::ImageNotFound | Self::TaskNotFound | Self::TemplateNotFound | Self::NotFound | Self::NoSuchRoute => {
                404
            }
            Self::Conflict => 409,
            Self::RegistryUnavailable => 502,
            Self::HostUnable => 507,
            Self::Internal => 500,
        }
    }
}
