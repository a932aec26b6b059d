//! What stands before every route that is reached over TCP: only what is signed with a key that may do it passes.

use std::sync::Arc;

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::{REQUEST_LEN_MAX, TARGET_HEADER};
use api::error::{ApiError, ErrorCode};
use api::identity::Role;
use api::route;
use api::sigv4::{BODY_HASH_HEADER, UNSIGNED_PAYLOAD};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{refused, respond};
use crate::clock;
use crate::credentials::Credentials;
use crate::ecs::{Caller, access};
use crate::sentence::sentence;
use crate::sigv4::{self, Signed};

/// Routes that are answered on the unix socket alone: keys, secrets and passwords.
const LOCAL_ROUTES: [&str; 4] = [
    route::CREDENTIALS,
    route::SECRETS,
    route::REGISTRY_LOGIN,
    route::REGISTRY_LOGOUT,
];

/// Where requests begin that change tasks, and nothing that outlives them.
const TASK_ROUTES: [&str; 2] = [route::TASKS, route::RUN];

/// Who may pass. Clones are the same.
#[derive(Clone)]
pub struct Gate {
    credentials: Arc<Credentials>,
}

impl Gate {
    /// Lets through who has one of these keys.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials: Arc::new(credentials),
        }
    }

    /// Who signed a request.
    fn caller(&self, request: Signed<'_>) -> Result<Caller, EcsError> {
        let signature = sigv4::parse(request.headers)?;
        let key = self
            .credentials
            .find(&signature.key)
            .map_err(|error| EcsError::server(sentence(&error)))?;
        let key = key.ok_or_else(sigv4::unrecognized)?;
        let target = request.headers.get(TARGET_HEADER).and_then(|value| value.to_str().ok());
        let service = route::service(request.uri.path(), target.unwrap_or_default());
        sigv4::verify(request, &signature, &key.secret_access_key, service, clock::wall_ms())?;
        Ok(Caller {
            region: signature.region,
            role: key.role,
        })
    }
}

/// Lets a request through that was signed by who may make it, with its [`Caller`].
pub async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_own = parts.uri.path() != route::AWS;
    let body_hash = parts.headers.get(BODY_HASH_HEADER);
    if body_hash.is_some_and(|hash| hash.as_bytes() == UNSIGNED_PAYLOAD.as_bytes()) {
        let message =
            "the body of this request is not signed: send it to the unix socket, or load the image from a registry";
        return say(is_own, &EcsError::new(ErrorKind::InvalidSignature, message));
    }
    let Ok(body) = axum::body::to_bytes(body, REQUEST_LEN_MAX).await else {
        let message = format!(
            "a request over TCP can have a body of {REQUEST_LEN_MAX} bytes: send longer ones to the unix socket"
        );
        return say(is_own, &EcsError::new(ErrorKind::Serialization, message));
    };
    let signed = Signed {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body: &body,
    };
    let passed = gate.caller(signed).and_then(|caller| {
        if is_own {
            check_route(caller.role, &parts.method, parts.uri.path())?;
        }
        Ok(caller)
    });
    match passed {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, Body::from(body))).await
        }
        Err(error) => say(is_own, &error),
    }
}

/// Checks that a role may use one of mote's own routes.
fn check_route(role: Role, method: &Method, path: &str) -> Result<(), EcsError> {
    let is_below = |route: &str| path == route || path.strip_prefix(route).is_some_and(|rest| rest.starts_with('/'));
    let denied = |message: String| Err(EcsError::new(ErrorKind::AccessDenied, message));
    if LOCAL_ROUTES.into_iter().any(is_below) {
        return denied(format!("{path} is answered on the unix socket alone"));
    }
    let needed = match *method {
        Method::GET | Method::HEAD => Role::ReadOnly,
        _ if TASK_ROUTES.into_iter().any(is_below) => Role::Run,
        _ => Role::Admin,
    };
    if access::allows(role, needed) {
        return Ok(());
    }
    denied(format!(
        "the access key is of role {}, and {method} {path} needs role {}",
        role.name(),
        needed.name()
    ))
}

/// A refusal in the words of the route that it is for.
fn say(is_own: bool, error: &EcsError) -> Response {
    if !is_own {
        let (status, document) = refused(error);
        return respond(status, &document);
    }
    let code = if error.kind == ErrorKind::Server {
        ErrorCode::Internal
    } else {
        ErrorCode::AccessDenied
    };
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    let message = error.message.clone();
    (status, Json(ApiError { code, message })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_secrets_are_for_the_unix_socket_alone() {
        let may = |role, method: Method, path: &str| check_route(role, &method, path).is_ok();
        assert!(!may(Role::Admin, Method::GET, "/v1/credentials"));
        assert!(!may(Role::Admin, Method::DELETE, "/v1/secrets/a"));
        assert!(may(Role::ReadOnly, Method::GET, "/v1/tasks"));
        assert!(!may(Role::ReadOnly, Method::POST, "/v1/tasks/a/stop"));
        assert!(may(Role::Run, Method::POST, "/v1/tasks/a/stop"));
        assert!(!may(Role::Run, Method::POST, "/v1/images/pull"));
        assert!(may(Role::Admin, Method::POST, "/v1/images/pull"));
    }
}
