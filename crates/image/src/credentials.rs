//! Registry credentials: as a request carries them, or as Docker's configuration and its helpers keep them.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};

/// Docker's name of its own registry in configurations.
pub(crate) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that marks the password as an identity token (docker-credential-helpers protocol).
const TOKEN_USER: &str = "<token>";

/// Why no credentials could be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The configuration exists and cannot be opened.
    #[error("cannot open the Docker configuration {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration or its helper gave no usable answer.
    #[error("cannot get the credentials of {registry} from {}", path.display())]
    Read {
        /// Whose credentials.
        registry: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: CredentialRetrievalError,
    },
}

/// What to sign in to a registry with.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password (or personal access token).
    Password {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// An OAuth 2 refresh token, as `docker login` keeps for some registries.
    IdentityToken(String),
}

impl Credentials {
    /// From a name and a password; the name `<token>` makes the password an identity token.
    #[must_use]
    pub fn new(username: String, password: String) -> Self {
        if username == TOKEN_USER {
            Self::IdentityToken(password)
        } else {
            Self::Password { username, password }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(f, "Password of {username:?}"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// The Docker configuration of this process's user: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
#[must_use]
pub fn docker_config_path() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    Some(directory.or_else(home)?.join("config.json"))
}

/// What the Docker configuration at `path` has for the registry `domain` (as in a [`crate::Reference`]):
/// its credential helper's answer, its `auths` entry, or the credential store's answer, in this order.
/// Nothing if there is no such file or no entry. Runs helpers, so it may block.
pub fn from_docker_config(path: &Path, domain: &str) -> Result<Option<Credentials>, CredentialsError> {
    let key = if domain == "docker.io" { DOCKER_HUB_KEY } else { domain };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CredentialsError::Open {
                path: path.into(),
                source,
            });
        }
    };
    match docker_credential::get_credential_from_reader(io::BufReader::new(file), key) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(Credentials::new(username, password))),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credentials::IdentityToken(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // Helpers have no other way to say that they know nothing (docker-credential-helpers, `ErrCredentialsNotFound`).
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(source) => Err(CredentialsError::Read {
            registry: domain.into(),
            path: path.into(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, domain: &str, expected: Option<Credentials>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        assert_eq!(from_docker_config(&path, domain).unwrap(), expected, "{config}");
    }

    fn user(username: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password {
            username: username.into(),
            password: password.into(),
        })
    }

    #[test]
    fn an_auths_entry_is_decoded() {
        // base64 of "ann:pa:ss"
        check(
            r#"{"auths":{"localhost:5000":{"auth":"YW5uOnBhOnNz"}}}"#,
            "localhost:5000",
            user("ann", "pa:ss"),
        );
    }

    #[test]
    fn docker_hub_has_a_key_of_its_own() {
        check(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5uOnBhOnNz"}}}"#,
            "docker.io",
            user("ann", "pa:ss"),
        );
    }

    #[test]
    fn an_unknown_registry_or_a_missing_file_is_nothing() {
        check(r#"{"auths":{"a.example":{"auth":"YW5uOnBhOnNz"}}}"#, "b.example", None);
        check("{}", "b.example", None);
        assert_eq!(
            from_docker_config(Path::new("/nonexistent/config.json"), "a").unwrap(),
            None
        );
    }

    #[test]
    fn an_identity_token_is_kept_apart() {
        let token = Some(Credentials::IdentityToken("t".into()));
        check(
            r#"{"auths":{"a.example":{"auth":"YW5uOg==","identitytoken":"t"}}}"#,
            "a.example",
            token.clone(),
        );
        assert_eq!(Some(Credentials::new("<token>".into(), "t".into())), token);
    }

    #[test]
    fn a_broken_configuration_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, "{").unwrap();
        let error = from_docker_config(&path, "a.example").unwrap_err();
        assert!(error.to_string().contains("config.json"), "{error}");
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!(
            "{:?}{:?}",
            user("ann", "secret"),
            Credentials::IdentityToken("secret".into())
        );
        assert!(!shown.contains("secret"));
    }
}
