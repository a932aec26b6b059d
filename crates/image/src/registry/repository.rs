//! One repository of one registry: manifests and blobs by name, signed in where the registry wants it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};

use super::retry::{self, Outcome};
use super::sign_in;
use super::{ERROR_BODY_LEN_MAX, Patience, REDIRECTS_MAX, RegistryError, challenge, endpoint, tls};
use crate::credentials::Credentials;
use crate::digest::Digest;
use crate::manifest::{MANIFEST_LEN_MAX, MANIFEST_MEDIA_TYPES};
use crate::reference::Reference;

/// The HTTP client of a store: connections, TLS, proxies from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// For this host itself, which no proxy could reach.
    http_without_proxy: reqwest::Client,
    has_authorities: bool,
    patience: Patience,
}

impl Client {
    /// Reads the host's certificate authorities, and those in `authority_files`.
    pub fn new(patience: Patience, authority_files: &[PathBuf]) -> Result<Self, RegistryError> {
        let (tls, authorities) = tls::client_config(authority_files)?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(redirects())
                .connect_timeout(patience.connect_timeout)
                .read_timeout(patience.read_timeout)
                .user_agent(concat!("mote/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            http: builder().build().map_err(RegistryError::Client)?,
            http_without_proxy: builder().no_proxy().build().map_err(RegistryError::Client)?,
            has_authorities: authorities > 0,
            patience,
        })
    }
}

/// Few redirects, and none from an encrypted connection to an unencrypted one.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let was_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else if was_encrypted && attempt.url().scheme() != "https" {
            attempt.error("the registry redirects to an unencrypted connection")
        } else {
            attempt.follow()
        }
    })
}

/// Who asks, and with whom plain HTTP may be spoken.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What to sign in with if the registry wants it.
    pub credentials: Option<Credentials>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS, besides this host itself.
    pub insecure: Vec<String>,
    /// Who is asked instead of the reference's own registry: `host[:port][/prefix]`. The credentials are its own.
    pub mirror: Option<String>,
}

/// One repository. Clones share the sign-in.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(super) http: reqwest::Client,
    pub(super) patience: Patience,
    pub(super) access: Arc<Access>,
    pub(super) reference: Reference,
    /// Who is asked, in errors.
    name: String,
    /// Scheme and authority.
    base: String,
    /// The repository's path there.
    pub(super) path: String,
    pub(super) is_plain: bool,
    /// The `Authorization` that worked last; shared by the image's parallel downloads, which renew it on a 401.
    authorization: Arc<Mutex<Option<HeaderValue>>>,
}

impl Repository {
    /// Finds out how to speak with `reference`'s registry: encrypted, or plainly if that is allowed and TLS is not spoken.
    pub async fn connect(client: &Client, reference: &Reference, access: Access) -> Result<Self, RegistryError> {
        let (name, path) = match access.mirror.as_deref().map(|mirror| mirror.split_once('/')) {
            None => (reference.domain().to_owned(), reference.path().to_owned()),
            Some(None) => (access.mirror.clone().unwrap_or_default(), reference.path().to_owned()),
            Some(Some((name, prefix))) => (name.to_owned(), format!("{prefix}/{}", reference.path())),
        };
        let authority = endpoint::authority(&name);
        let encrypted = format!("https://{authority}");
        // Nothing but this question is asked before the scheme is settled: no name, no password.
        let http = if endpoint::is_loopback(authority) {
            &client.http_without_proxy
        } else {
            &client.http
        };
        let is_plain = endpoint::may_be_plain(authority, &access.insecure)
            && http.get(format!("{encrypted}/v2/")).send().await.is_err();
        if !is_plain && !client.has_authorities {
            return Err(RegistryError::NoAuthorities { registry: name });
        }
        let base = if is_plain {
            format!("http://{authority}")
        } else {
            encrypted
        };
        Ok(Self {
            http: http.clone(),
            patience: client.patience.clone(),
            access: Arc::new(access),
            reference: reference.clone(),
            name,
            base,
            path,
            is_plain,
            authorization: Arc::default(),
        })
    }

    /// Asks for nothing but to be let in.
    pub async fn knock(&self) -> Result<(), RegistryError> {
        self.get_url(&format!("{}/v2/", self.base), None, 0).await.map(drop)
    }

    /// The manifest or index with the tag or digest `version`, unverified, at most [`MANIFEST_LEN_MAX`] long.
    pub async fn manifest(&self, version: &str) -> Result<Vec<u8>, RegistryError> {
        let accept = MANIFEST_MEDIA_TYPES.join(", ");
        match self.get(&format!("manifests/{version}"), Some(&accept), 0).await {
            Ok(response) => self.body(response, "a manifest", MANIFEST_LEN_MAX).await,
            Err(RegistryError::Status { status: 404, .. }) => Err(RegistryError::NotFound {
                reference: self.reference.familiar(),
            }),
            Err(error) => Err(error),
        }
    }

    /// A blob as a whole, unverified, at most `bytes_max` long.
    pub async fn small_blob(&self, digest: Digest, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
        let response = self.blob(digest, 0).await?;
        self.body(response, "an image configuration", bytes_max).await
    }

    /// The response with a blob's bytes from `offset` on, or (status 200) with all of them.
    pub(super) async fn blob(&self, digest: Digest, offset: u64) -> Result<Response, RegistryError> {
        match self.get(&format!("blobs/{digest}"), None, offset).await {
            Err(RegistryError::Status { status: 404, .. }) => Err(RegistryError::BlobNotFound {
                registry: self.registry(),
                digest,
            }),
            result => result,
        }
    }

    pub(super) fn registry(&self) -> String {
        self.name.clone()
    }

    pub(super) fn network(&self, error: reqwest::Error) -> RegistryError {
        // The URL of a redirect may hold a signature that is as good as a password.
        RegistryError::Network {
            registry: self.registry(),
            source: error.without_url(),
        }
    }

    async fn get(&self, path: &str, accept: Option<&str>, offset: u64) -> Result<Response, RegistryError> {
        let url = format!("{}/v2/{}/{path}", self.base, self.path);
        self.get_url(&url, accept, offset).await
    }

    /// One request, signed in when the registry demands it.
    async fn get_url(&self, url: &str, accept: Option<&str>, offset: u64) -> Result<Response, RegistryError> {
        let tried = self.authorization();
        let response = self.send(url, accept, offset, tried.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.successful(response).await;
        }
        let header = response
            .headers()
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok());
        let challenge = header.and_then(challenge::parse).ok_or(RegistryError::Challenge {
            registry: self.registry(),
        })?;
        let signed_in = sign_in::authorize(self, &challenge).await?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(signed_in.clone());
        let response = self.send(url, accept, offset, Some(&signed_in)).await?;
        match (response.status(), &challenge) {
            (StatusCode::UNAUTHORIZED, challenge::Challenge::Basic) => Err(RegistryError::WrongCredentials {
                registry: self.registry(),
            }),
            (StatusCode::UNAUTHORIZED, challenge::Challenge::Bearer { .. }) => Err(RegistryError::Denied {
                reference: self.reference.familiar(),
            }),
            _ => self.successful(response).await,
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends a GET.
    async fn send(
        &self,
        url: &str,
        accept: Option<&str>,
        offset: u64,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request = self.http.get(url);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        self.send_again(request).await
    }

    /// Sends a request, again and again while its failure may pass.
    pub(super) async fn send_again(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        let mut retries = 0;
        loop {
            // Bodies are short texts, which can be sent twice.
            let Some(attempt) = request.try_clone() else {
                return request.send().await.map_err(|error| self.network(error));
            };
            let result = attempt.send().await;
            let Some(pause) = retry::pause(outcome(&result), retries, &self.patience) else {
                return result.map_err(|error| self.network(error));
            };
            tokio::time::sleep(pause).await;
            retries += 1;
        }
    }

    /// The response if it is a success, else what it stands for.
    async fn successful(&self, response: Response) -> Result<Response, RegistryError> {
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            StatusCode::FORBIDDEN => Err(RegistryError::Denied {
                reference: self.reference.familiar(),
            }),
            _ => {
                // The message is a courtesy: without one the status still stands.
                let body = self
                    .body(response, "an error", ERROR_BODY_LEN_MAX)
                    .await
                    .unwrap_or_default();
                Err(RegistryError::Status {
                    registry: self.registry(),
                    status: status.as_u16(),
                    message: error_message(&body),
                })
            }
        }
    }

    /// Reads a body of at most `bytes_max`.
    pub(super) async fn body(
        &self,
        mut response: Response,
        what: &'static str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.network(error))? {
            if (body.len() + chunk.len()) as u64 > bytes_max {
                return Err(RegistryError::TooLarge {
                    registry: self.registry(),
                    what,
                    bytes_max,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn outcome(result: &reqwest::Result<Response>) -> Outcome {
    match result {
        Ok(response) => {
            let header = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok());
            let seconds = header.and_then(|text| retry::parse_after(text, SystemTime::now()));
            Outcome::Status(response.status().as_u16(), seconds)
        }
        Err(error) if error.is_connect() || error.is_redirect() || error.is_builder() => Outcome::Unreachable,
        Err(_) => Outcome::Broken,
    }
}

/// The first message of an error's JSON (OCI distribution spec, "Error codes"), cut short; empty if there is none.
fn error_message(body: &[u8]) -> String {
    const MESSAGE_LEN_MAX: usize = 200;
    let message = || {
        let value: serde_json::Value = serde_json::from_slice(body).ok()?;
        let error = value.get("errors")?.get(0)?;
        let text = error.get("message").or_else(|| error.get("code"))?.as_str()?;
        Some(text.chars().take(MESSAGE_LEN_MAX).collect())
    };
    message().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_message_is_found_in_its_envelope() {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
        assert_eq!(error_message(body), "pull rate limit");
        assert_eq!(error_message(b"<html>"), "");
    }
}
