//! Access keys and secrets: routes that are answered on the unix socket alone.

use api::error::{ApiError, ErrorCode};
use api::identity::{AccessKey, AccessKeyList, CreateAccessKey, PutSecret, SecretList, SecretSummary};
use api::route;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};

use super::body::Document;
use super::refusal::Refusal;
use crate::credentials::{CredentialError, Credentials};
use crate::ecs::DEFAULT_REGION;
use crate::secrets::{SecretError, SecretStore};
use crate::sentence::sentence;

/// What the routes answer from.
#[derive(Clone)]
pub struct Identity {
    /// The access keys.
    pub credentials: Credentials,
    /// The secrets.
    pub secrets: SecretStore,
    /// Where clients of Amazon ECS reach the host agent, as a URL.
    pub endpoint: Option<String>,
}

/// The routes.
pub fn router(identity: Identity) -> Router {
    Router::new()
        .route(route::CREDENTIALS, get(list_keys).post(create_key))
        .route(route::CREDENTIAL, delete(remove_key))
        .route(route::SECRETS, get(list_secrets).post(put_secret))
        .route(route::SECRET, delete(remove_secret))
        .with_state(identity)
}

async fn list_keys(State(identity): State<Identity>) -> Result<Json<AccessKeyList>, Refusal> {
    Ok(Json(AccessKeyList {
        credentials: identity.credentials.list()?,
        endpoint: identity.endpoint,
        region: DEFAULT_REGION.to_owned(),
    }))
}

async fn create_key(
    State(identity): State<Identity>,
    Document(request): Document<CreateAccessKey>,
) -> Result<Json<AccessKey>, Refusal> {
    Ok(Json(identity.credentials.create(request)?))
}

async fn remove_key(State(identity): State<Identity>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    identity.credentials.remove(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_secrets(State(identity): State<Identity>) -> Result<Json<SecretList>, Refusal> {
    let secrets = identity.secrets.list()?;
    Ok(Json(SecretList { secrets }))
}

async fn put_secret(
    State(identity): State<Identity>,
    Document(request): Document<PutSecret>,
) -> Result<Json<SecretSummary>, Refusal> {
    Ok(Json(identity.secrets.put(&request)?))
}

async fn remove_secret(State(identity): State<Identity>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    identity.secrets.remove(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<CredentialError> for Refusal {
    fn from(error: CredentialError) -> Self {
        let code = match error {
            CredentialError::TooMany => ErrorCode::Conflict,
            CredentialError::Description => ErrorCode::InvalidParameter,
            CredentialError::Missing(_) => ErrorCode::NotFound,
            CredentialError::Store(_) | CredentialError::Seal(_) => ErrorCode::Internal,
        };
        let message = sentence(&error);
        Self(ApiError { code, message })
    }
}

impl From<SecretError> for Refusal {
    fn from(error: SecretError) -> Self {
        let code = match error {
            SecretError::Exists(_) => ErrorCode::Conflict,
            SecretError::Missing(_) => ErrorCode::NotFound,
            SecretError::Store(_) | SecretError::Seal(_) => ErrorCode::Internal,
            SecretError::Name(_) | SecretError::Value(_) | SecretError::Key { .. } | SecretError::File(_) => {
                ErrorCode::InvalidParameter
            }
        };
        let message = sentence(&error);
        Self(ApiError { code, message })
    }
}
