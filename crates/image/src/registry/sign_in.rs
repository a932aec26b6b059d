//! Meets a registry's challenge: a password, or a token fetched with one or anonymously.

use std::fmt::Write as _;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, StatusCode, Url};

use super::RegistryError;
use super::challenge::{self, Challenge};
use super::endpoint;
use super::repository::Repository;
use crate::credentials::Credentials;

/// Our name at token servers that ask for one (OAuth 2 `client_id`).
const CLIENT_ID: &str = "mote";

/// The `Authorization` that meets `challenge`.
pub(super) async fn authorize(repository: &Repository, challenge: &Challenge) -> Result<HeaderValue, RegistryError> {
    let registry = || repository.registry();
    let credentials = repository.access.credentials.as_ref();
    match (challenge, credentials) {
        (Challenge::Basic, Some(Credentials::Password { username, password })) => {
            // Built by the HTTP client, which knows the encoding and marks the header as secret.
            let request = repository
                .http
                .get("http://localhost/")
                .basic_auth(username, Some(password))
                .build();
            let header = request
                .ok()
                .and_then(|request| request.headers().get("authorization").cloned());
            header.ok_or_else(|| RegistryError::WrongCredentials { registry: registry() })
        }
        (Challenge::Basic, Some(Credentials::IdentityToken(_))) => {
            Err(RegistryError::Challenge { registry: registry() })
        }
        (Challenge::Basic, None) => Err(RegistryError::CredentialsNeeded { registry: registry() }),
        (Challenge::Bearer { realm, service, scope }, credentials) => {
            let realm = realm_url(repository, realm)?;
            let own_scope = format!("repository:{}:pull", repository.path);
            let scope = scope.as_deref().unwrap_or(&own_scope);
            let request = token_request(repository, realm, service.as_deref(), scope, credentials);
            let token = fetch_token(repository, request).await?;
            let mut header = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| RegistryError::NoToken { registry: registry() })?;
            header.set_sensitive(true);
            Ok(header)
        }
    }
}

fn realm_url(repository: &Repository, realm: &str) -> Result<Url, RegistryError> {
    let url = Url::parse(realm).map_err(|_| RegistryError::Challenge {
        registry: repository.registry(),
    })?;
    if endpoint::may_authorize_at(&url, repository.is_plain, &repository.access.insecure) {
        Ok(url)
    } else {
        Err(RegistryError::PlainTokenServer {
            registry: repository.registry(),
            realm: realm.chars().take(200).collect(),
        })
    }
}

/// A GET with the password or without (distribution's token authentication), or for an identity token OAuth 2's POST.
fn token_request(
    repository: &Repository,
    mut realm: Url,
    service: Option<&str>,
    scope: &str,
    credentials: Option<&Credentials>,
) -> RequestBuilder {
    let mut fields = vec![("scope", scope)];
    fields.extend(service.map(|service| ("service", service)));
    if let Some(Credentials::IdentityToken(token)) = credentials {
        fields.extend([
            ("grant_type", "refresh_token"),
            ("client_id", CLIENT_ID),
            ("refresh_token", token),
        ]);
        let body = form(&fields);
        return repository
            .http
            .post(realm)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
    }
    realm.query_pairs_mut().extend_pairs(fields);
    let request = repository.http.get(realm);
    match credentials {
        Some(Credentials::Password { username, password }) => request.basic_auth(username, Some(password)),
        _ => request,
    }
}

async fn fetch_token(repository: &Repository, request: RequestBuilder) -> Result<String, RegistryError> {
    let registry = || repository.registry();
    let response = repository.send_again(request).await?;
    match response.status() {
        StatusCode::OK => {
            let body = repository.body(response, "a token", challenge::TOKEN_LEN_MAX).await?;
            challenge::parse_token(&body).ok_or_else(|| RegistryError::NoToken { registry: registry() })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
            if repository.access.credentials.is_some() =>
        {
            Err(RegistryError::WrongCredentials { registry: registry() })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(RegistryError::CredentialsNeeded { registry: registry() })
        }
        status => Err(RegistryError::Status {
            registry: registry(),
            status: status.as_u16(),
            message: String::new(),
        }),
    }
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_escapes_what_would_end_a_field() {
        assert_eq!(
            form(&[("a", "x y&z=1"), ("b", "ü-._~")]),
            "a=x%20y%26z%3D1&b=%C3%BC-._~"
        );
    }
}
