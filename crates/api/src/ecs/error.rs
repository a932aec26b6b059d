//! How ECS says no.

use serde::{Deserialize, Serialize};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EcsError {
    /// What kind of refusal it is, for programs.
    pub kind: ErrorKind,
    /// One sentence: what was wrong, where, and what to do.
    pub message: String,
    /// The resources that a [`ErrorKind::Conflict`] is about.
    pub resource_ids: Vec<String>,
}

impl EcsError {
    /// A refusal of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            resource_ids: Vec::new(),
        }
    }

    /// A value of the request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }

    /// The request asks for something that cannot be.
    pub fn client(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Client, message)
    }

    /// The host agent failed.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Server, message)
    }

    /// There is no such cluster.
    #[must_use]
    pub fn cluster_not_found() -> Self {
        Self::new(ErrorKind::ClusterNotFound, "Cluster not found.")
    }

    /// There is no such task.
    #[must_use]
    pub fn task_not_found() -> Self {
        Self::invalid("The referenced task was not found.")
    }

    /// The body of the answer.
    #[must_use]
    pub fn document(&self) -> ErrorDocument {
        ErrorDocument {
            kind: self.kind.name().to_owned(),
            message: self.message.clone(),
            resource_ids: (!self.resource_ids.is_empty()).then(|| self.resource_ids.clone()),
        }
    }
}

/// The body of an answer that is a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The name of its kind.
    #[serde(rename = "__type")]
    pub kind: String,
    /// The sentence.
    #[serde(default)]
    pub message: String,
    /// The resources that a conflict is about.
    #[serde(rename = "resourceIds", default, skip_serializing_if = "Option::is_none")]
    pub resource_ids: Option<Vec<String>>,
}

/// The kinds of refusal: those of ECS's model, and those that all of AWS's JSON protocols share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The key that signed may not do this.
    AccessDenied,
    /// The request asks for something that cannot be.
    Client,
    /// The cluster still has services.
    ClusterContainsServices,
    /// The cluster still has tasks.
    ClusterContainsTasks,
    /// There is no such cluster.
    ClusterNotFound,
    /// The same token came with another request, or the state does not allow this.
    Conflict,
    /// The date, the session or the body is not what was signed.
    IncompleteSignature,
    /// A value of the request is wrong.
    InvalidParameter,
    /// The signature is not the one of this request and key.
    InvalidSignature,
    /// A limit is reached.
    LimitExceeded,
    /// The request is not signed.
    MissingAuthenticationToken,
    /// The platform version and the definition do not fit.
    PlatformTaskDefinitionIncompatibility,
    /// There is no such platform version.
    PlatformUnknown,
    /// There is no such resource.
    ResourceNotFound,
    /// The body is not JSON, or a member has another type.
    Serialization,
    /// The host agent failed.
    Server,
    /// There is no such deployment.
    ServiceDeploymentNotFound,
    /// The service is not `ACTIVE`.
    ServiceNotActive,
    /// There is no such service.
    ServiceNotFound,
    /// Nothing in the container can execute a command now.
    TargetNotConnected,
    /// There is no such operation.
    UnknownOperation,
    /// There is no such access key.
    UnrecognizedClient,
    /// ECS has it, mote does not.
    UnsupportedFeature,
}

impl ErrorKind {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::Client => "ClientException",
            Self::ClusterContainsServices => "ClusterContainsServicesException",
            Self::ClusterContainsTasks => "ClusterContainsTasksException",
            Self::ClusterNotFound => "ClusterNotFoundException",
            Self::Conflict => "ConflictException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidParameter => "InvalidParameterException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::LimitExceeded => "LimitExceededException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::PlatformTaskDefinitionIncompatibility => "PlatformTaskDefinitionIncompatibilityException",
            Self::PlatformUnknown => "PlatformUnknownException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::Server => "ServerException",
            Self::ServiceDeploymentNotFound => "ServiceDeploymentNotFoundException",
            Self::ServiceNotActive => "ServiceNotActiveException",
            Self::ServiceNotFound => "ServiceNotFoundException",
            Self::TargetNotConnected => "TargetNotConnectedException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::UnsupportedFeature => "UnsupportedFeatureException",
        }
    }

    /// The HTTP status that carries it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Server => 500,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_agents_own_failures_are_500() {
        assert_eq!(ErrorKind::Server.http_status(), 500);
        assert_eq!(ErrorKind::InvalidParameter.http_status(), 400);
    }

    #[test]
    fn a_conflict_names_its_resources() {
        let mut error = EcsError::new(ErrorKind::Conflict, "no");
        assert_eq!(
            serde_json::to_string(&error.document()).unwrap(),
            r#"{"__type":"ConflictException","message":"no"}"#
        );
        error.resource_ids.push("a".to_owned());
        assert_eq!(
            serde_json::to_string(&error.document()).unwrap(),
            r#"{"__type":"ConflictException","message":"no","resourceIds":["a"]}"#
        );
    }
}
