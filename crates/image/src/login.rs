//! Credentials that stay: where Docker's configuration says that they go, in its form.
//!
//! A registry with a credential helper of its own (`credHelpers`), or else a store for all (`credsStore`), is a program's
//! matter: `docker-credential-NAME`. Otherwise the password is in the file itself, for its owner alone to read.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::credentials::DOCKER_HUB_KEY;

/// The longest answer of a helper that is shown.
const SHOWN_LEN_MAX: usize = 200;

/// Why credentials could not be kept or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The configuration cannot be read or written.
    #[error("cannot {action} the Docker configuration {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It is not Docker's.
    #[error("the Docker configuration {} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why, where that is known.
        source: Option<serde_json::Error>,
    },
    /// A credential helper cannot be run.
    #[error("cannot run the credential helper {program}")]
    Helper {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A credential helper refuses.
    #[error("the credential helper {program} refuses: {message:?}")]
    HelperRefuses {
        /// The program.
        program: String,
        /// What it says.
        message: String,
    },
}

/// Keeps a name and a password for the registry `domain` (as in a [`crate::Reference`]) in the configuration at `path`,
/// which is made if there is none. Runs helpers, so it may block.
///
/// # Errors
/// If the configuration or its helper refuses; it is then as before.
pub fn keep(path: &Path, domain: &str, username: &str, password: &str) -> Result<(), LoginError> {
    let mut config = read(path)?;
    let key = key(domain);
    if let Some(program) = helper(&config, key) {
        let entry = json!({"ServerURL": key, "Username": username, "Secret": password});
        run(&program, "store", entry.to_string().as_bytes())?;
        // As Docker does it: who looks at the file sees for what there is a password.
        auths(&mut config, path)?.insert(key.into(), json!({}));
    } else {
        let auth = STANDARD.encode(format!("{username}:{password}"));
        auths(&mut config, path)?.insert(key.into(), json!({"auth": auth}));
    }
    write(path, &config)
}

/// Forgets what is kept for the registry `domain`. Answers whether there was anything.
///
/// # Errors
/// If the configuration or its helper refuses.
pub fn forget(path: &Path, domain: &str) -> Result<bool, LoginError> {
    let mut config = read(path)?;
    let key = key(domain);
    let had_entry = auths(&mut config, path)?.remove(key).is_some();
    let erased = match helper(&config, key) {
        None => false,
        Some(program) => match run(&program, "erase", key.as_bytes()) {
            Ok(()) => true,
            // Nothing to forget is no failure.
            Err(LoginError::HelperRefuses { .. }) if !had_entry => false,
            Err(error) => return Err(error),
        },
    };
    if had_entry {
        write(path, &config)?;
    }
    Ok(had_entry || erased)
}

fn key(domain: &str) -> &str {
    if domain == "docker.io" { DOCKER_HUB_KEY } else { domain }
}

fn read(path: &Path) -> Result<Map<String, Value>, LoginError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(source) => return Err(failed("read", path)(source)),
    };
    serde_json::from_slice(&bytes).map_err(|source| LoginError::Malformed {
        path: path.into(),
        source: Some(source),
    })
}

/// Replaces the configuration by a whole one. A link stays a link.
fn write(path: &Path, config: &Map<String, Value>) -> Result<(), LoginError> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let directory = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed("make the directory of", path))?;
    let written = || {
        // Only its owner can read a temporary file.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(format!("{:#}\n", Value::Object(config.clone())).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&target).map(drop).map_err(|error| error.error)
    };
    written().map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LoginError {
    let path = path.to_owned();
    move |source| LoginError::File { action, path, source }
}

fn auths<'a>(config: &'a mut Map<String, Value>, path: &Path) -> Result<&'a mut Map<String, Value>, LoginError> {
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    auths.as_object_mut().ok_or_else(|| LoginError::Malformed {
        path: path.into(),
        source: None,
    })
}

/// The program that keeps the credentials of `key`.
fn helper(config: &Map<String, Value>, key: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(|helpers| helpers.get(key));
    let name = own.or_else(|| config.get("credsStore"))?.as_str()?;
    (!name.is_empty()).then(|| format!("docker-credential-{name}"))
}

/// Runs a helper (docker-credential-helpers protocol).
fn run(program: &str, verb: &str, input: &[u8]) -> Result<(), LoginError> {
    let failed = |source| LoginError::Helper {
        program: program.into(),
        source,
    };
    let mut child = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    // A helper that reads nothing says by its exit what it thinks of it.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stdout);
    Err(LoginError::HelperRefuses {
        program: program.into(),
        message: message.trim().chars().take(SHOWN_LEN_MAX).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Credentials;
    use crate::credentials::from_docker_config;

    #[test]
    fn what_is_kept_is_found_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker/config.json");
        for domain in ["docker.io", "localhost:5000"] {
            keep(&path, domain, "ann", "pa:ss").unwrap();
            let kept = Credentials::new("ann".into(), "pa:ss".into());
            assert_eq!(from_docker_config(&path, domain).unwrap(), Some(kept));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(forget(&path, "docker.io").unwrap());
        assert!(!forget(&path, "docker.io").unwrap());
        assert_eq!(from_docker_config(&path, "docker.io").unwrap(), None);
        assert!(from_docker_config(&path, "localhost:5000").unwrap().is_some());
    }

    #[test]
    fn what_others_keep_in_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(
            &path,
            r#"{"proxies":{"default":{}},"auths":{"a.example":{"auth":"YTpi"}}}"#,
        )
        .unwrap();
        keep(&path, "b.example", "ann", "secret").unwrap();
        let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(config["proxies"], json!({"default": {}}));
        assert_eq!(config["auths"]["a.example"]["auth"], "YTpi");
    }

    #[test]
    fn a_malformed_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        for text in ["{", r#"{"auths":7}"#] {
            fs::write(&path, text).unwrap();
            assert!(matches!(keep(&path, "a", "b", "c"), Err(LoginError::Malformed { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_missing_helper_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, r#"{"credsStore":"mote-test-none"}"#).unwrap();
        let refused = keep(&path, "a.example", "ann", "secret").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot run the credential helper docker-credential-mote-test-none"
        );
    }
}
