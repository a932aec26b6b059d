//! Registries, as the host agent is configured for them and its user has signed in to them.

use std::path::PathBuf;

use api::error::{ApiError, ErrorCode};
use api::image::LoginRequest;
use image::credentials::{docker_config_path, from_docker_config};
use image::login::{self, LoginError};
use image::{Credentials, Mirror, PullOptions};

use super::StoredImages;
use super::refusal::{refuse, refuse_import};

impl StoredImages {
    /// How to speak to the registry `domain`.
    pub(super) fn options(&self, domain: &str, credentials: Option<Credentials>, is_insecure: bool) -> PullOptions {
        let mut insecure = self.config.insecure_registries.clone();
        if is_insecure {
            insecure.push(domain.to_owned());
        }
        PullOptions {
            credentials,
            insecure,
            ..PullOptions::default()
        }
    }

    /// Who is asked before the registry `domain`, each with its own credentials.
    pub(super) async fn mirrors(&self, domain: &str) -> Result<Vec<Mirror>, ApiError> {
        let mut mirrors = vec![];
        for mirror in self.config.mirrors.iter().filter(|mirror| mirror.registry == domain) {
            let host = mirror.location.split('/').next().unwrap_or_default();
            mirrors.push(Mirror {
                location: mirror.location.clone(),
                credentials: own_credentials(host.to_owned()).await?,
            });
        }
        Ok(mirrors)
    }

    /// Signs in to a registry, and keeps what it let in with.
    ///
    /// # Errors
    /// Where the registry or the Docker configuration refuses.
    pub async fn login(&self, request: LoginRequest) -> Result<(), ApiError> {
        let path = config_path()?;
        let credentials = Credentials::new(request.username.clone(), request.password.clone());
        let options = self.options(&request.registry, Some(credentials), request.insecure);
        let let_in = self.store.sign_in(&request.registry, &options).await;
        let_in.map_err(|error| refuse_import(&error))?;
        let keep = move || login::keep(&path, &request.registry, &request.username, &request.password);
        blocking(keep).await
    }

    /// Forgets what is kept for a registry. Answers whether there was anything.
    ///
    /// # Errors
    /// Where the Docker configuration refuses.
    pub async fn logout(&self, registry: String) -> Result<bool, ApiError> {
        let path = config_path()?;
        blocking(move || login::forget(&path, &registry)).await
    }
}

/// Where sign-ins are kept.
fn config_path() -> Result<PathBuf, ApiError> {
    docker_config_path().ok_or_else(|| ApiError {
        code: ErrorCode::HostUnable,
        message: "the host agent has no home directory to keep sign-ins in: set HOME or DOCKER_CONFIG for it"
            .to_owned(),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoginError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| refuse(ErrorCode::HostUnable, &error)),
        Err(error) => Err(refuse(ErrorCode::Internal, &error)),
    }
}

/// What this process's user signed in with before. Credential helpers are programs, so they are waited for elsewhere.
pub(super) async fn own_credentials(domain: String) -> Result<Option<Credentials>, ApiError> {
    let Some(path) = docker_config_path() else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || from_docker_config(&path, &domain)).await;
    match read {
        Ok(credentials) => credentials.map_err(|error| refuse(ErrorCode::Unauthorized, &error)),
        Err(error) => Err(refuse(ErrorCode::Internal, &error)),
    }
}
