//! How `CloudWatch` Logs says no.

use serde::Serialize;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LogsError {
    /// What kind of refusal it is, for programs.
    pub kind: ErrorKind,
    /// One sentence: what was wrong, where, and what to do.
    pub message: String,
}

/// The body of an answer that is a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorDocument {
    /// The name of its kind.
    #[serde(rename = "__type")]
    pub kind: &'static str,
    /// The sentence.
    pub message: String,
}

/// The kinds of refusal: those of the service's model, and those that all of AWS's JSON protocols share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A value of the request is wrong.
    InvalidParameter,
    /// The resource is in use.
    OperationAborted,
    /// There is such a resource already.
    ResourceAlreadyExists,
    /// There is no such resource.
    ResourceNotFound,
    /// The body is not JSON, or a member has another type.
    Serialization,
    /// The host agent failed.
    ServiceUnavailable,
    /// More tags than a resource can have.
    TooManyTags,
    /// There is no such operation.
    UnknownOperation,
}

impl LogsError {
    /// A refusal of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }

    /// A value of the request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }

    /// There is no such group.
    #[must_use]
    pub fn group_not_found() -> Self {
        Self::new(ErrorKind::ResourceNotFound, "The specified log group does not exist.")
    }

    /// There is no such stream.
    #[must_use]
    pub fn stream_not_found() -> Self {
        Self::new(ErrorKind::ResourceNotFound, "The specified log stream does not exist.")
    }

    /// The body of the answer.
    #[must_use]
    pub fn document(&self) -> ErrorDocument {
        ErrorDocument {
            kind: self.kind.name(),
            message: self.message.clone(),
        }
    }
}

impl ErrorKind {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidParameter => "InvalidParameterException",
            Self::OperationAborted => "OperationAbortedException",
            Self::ResourceAlreadyExists => "ResourceAlreadyExistsException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::TooManyTags => "TooManyTagsException",
            Self::UnknownOperation => "UnknownOperationException",
        }
    }

    /// The HTTP status that carries it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::ServiceUnavailable => 500,
            _ => 400,
        }
    }
}
