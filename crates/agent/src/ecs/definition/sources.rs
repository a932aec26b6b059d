//! Where secrets and files of the environment are.

use std::path::PathBuf;

use api::ecs::error::EcsError;

use crate::host_paths;
use crate::record::SecretSource;

/// What says that a value is in a file.
const FILE_SCHEME: &str = "file://";

/// The directories of the host that definitions may name files in.
#[derive(Clone, Debug, Default)]
pub struct HostPaths {
    /// Absolute.
    allowed: Vec<PathBuf>,
}

impl HostPaths {
    /// Everything in these directories, and nothing else.
    #[must_use]
    pub const fn new(allowed: Vec<PathBuf>) -> Self {
        Self { allowed }
    }

    /// `path`, where definitions may name it; `member` is what names it.
    ///
    /// # Errors
    /// Where they may not.
    pub fn check(&self, member: &str, path: &str) -> Result<String, EcsError> {
        match host_paths::allowing(&self.allowed, path) {
            Ok(_) => Ok(path.to_owned()),
            Err(error) => Err(EcsError::client(format!("{member} {error}"))),
        }
    }

    /// The file that `value` names: a path, with or without a scheme.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn file(&self, member: &str, value: &str) -> Result<SecretSource, EcsError> {
        let path = value.strip_prefix(FILE_SCHEME).unwrap_or(value);
        self.check(member, path).map(SecretSource::File)
    }

    /// Where the secret is that `value_from` names: a file, or a secret in the host agent's store by name or ARN.
    ///
    /// # Errors
    /// As [`Self::check`], and where it can be no name.
    pub fn secret(&self, member: &str, value_from: &str) -> Result<SecretSource, EcsError> {
        if value_from.starts_with(FILE_SCHEME) {
            return self.file(member, value_from);
        }
        let stored = stored(value_from).filter(|(name, _)| !name.is_empty());
        let (name, key) = stored.ok_or_else(|| {
            EcsError::client(format!(
                "{member} is neither file:// and a path nor the name or ARN of a secret"
            ))
        })?;
        Ok(SecretSource::Stored { name, key })
    }
}

/// The name and the key in an ARN of Secrets Manager or of a parameter, or the name itself.
fn stored(value_from: &str) -> Option<(String, Option<String>)> {
    if !value_from.starts_with("arn:") {
        return Some((value_from.to_owned(), None));
    }
    let fields: Vec<&str> = value_from.split(':').collect();
    match fields.as_slice() {
        ["arn", _, "secretsmanager", _, _, "secret", name, rest @ ..] => {
            let key = rest.first().filter(|key| !key.is_empty());
            Some(((*name).to_owned(), key.map(|key| (*key).to_owned())))
        }
        ["arn", _, "ssm", _, _, parameter] => Some((parameter.strip_prefix("parameter/")?.to_owned(), None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_in_allowed_directories_may_be_named() {
        let paths = HostPaths::new(vec![PathBuf::from("/etc/app")]);
        for value in ["/etc/app/a.env", "file:///etc/app/a.env"] {
            assert_eq!(
                paths.file("m", value).unwrap(),
                SecretSource::File("/etc/app/a.env".to_owned())
            );
        }
        for value in [
            "/etc/passwd",
            "/etc/app/../passwd",
            "/etc/application/a",
            "a.env",
            "s3://b/a.env",
            "arn:aws:s3:::b/a.env",
        ] {
            assert!(paths.file("m", value).is_err(), "{value}");
        }
    }

    #[test]
    fn secrets_are_named_by_name_or_arn() {
        let paths = HostPaths::default();
        let check = |value: &str, name: &str, key: Option<&str>| {
            let stored = SecretSource::Stored {
                name: name.to_owned(),
                key: key.map(str::to_owned),
            };
            assert_eq!(paths.secret("m", value).unwrap(), stored);
        };
        check("db", "db", None);
        check(
            "arn:aws:secretsmanager:r:000000000000:secret:db-AbCdEf",
            "db-AbCdEf",
            None,
        );
        check(
            "arn:aws:secretsmanager:r:000000000000:secret:db-AbCdEf:user::",
            "db-AbCdEf",
            Some("user"),
        );
        check("arn:aws:ssm:r:000000000000:parameter/app/db", "app/db", None);
        assert!(paths.secret("m", "arn:aws:s3:::a").is_err());
        assert!(paths.secret("m", "").is_err());
        assert!(paths.secret("m", "file:///etc/passwd").is_err());
    }
}
