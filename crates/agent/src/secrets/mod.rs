//! The secret store: values that are kept encrypted, and told to nobody but the containers that name them.
//!
//! [`seal`] encrypts, with a key in a file of its own beside the database.

pub mod seal;

use std::fs;
use std::io::Read;
use std::sync::Arc;

use api::identity::{PutSecret, SecretSummary};
use serde_json::Value;

use crate::clock;
use crate::ports::{Failure, Secrets};
use crate::record::SecretSource;
use crate::store::{Store, StoreError};
use seal::{Seal, SealError};

/// The longest name of a secret.
const NAME_LEN_MAX: usize = 512;

/// The longest value of a secret, and the longest file that a secret or an environment may be, in bytes.
const VALUE_LEN_MAX: u64 = 64 << 10;

/// The characters that follow the name in an ARN of Secrets Manager: a hyphen and six.
const ARN_SUFFIX_LEN: usize = 7;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot have that name.
    #[error("{0:?} is no name of a secret: it must be 1 to {NAME_LEN_MAX} letters, digits and any of /_+=.@-")]
    Name(String),
    /// It is too long.
    #[error("the value of the secret {0:?} is too long: it can have {VALUE_LEN_MAX} bytes")]
    Value(String),
    /// It is there already.
    #[error("there is a secret {0:?} already: ask for it to be replaced")]
    Exists(String),
    /// It is not there.
    #[error("there is no secret {0:?} in the host agent's store")]
    Missing(String),
    /// It is no object, or has no such key.
    #[error("the secret {name:?} is no JSON object with a key {key:?}")]
    Key {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// The file is too long.
    #[error("the file {0} is too long: it can have {VALUE_LEN_MAX} bytes")]
    File(String),
    /// The database failed.
    #[error("the secret cannot be kept or read")]
    Store(#[from] StoreError),
    /// It cannot be encrypted or decrypted.
    #[error("the secret cannot be sealed or opened")]
    Seal(#[from] SealError),
}

/// The secret store.
#[derive(Clone)]
pub struct SecretStore {
    store: Store,
    seal: Arc<Seal>,
}

impl SecretStore {
    /// The secrets in `store`, sealed with `seal`.
    #[must_use]
    pub const fn new(store: Store, seal: Arc<Seal>) -> Self {
        Self { store, seal }
    }

    /// Keeps a secret.
    ///
    /// # Errors
    /// [`SecretError::Exists`] unless it is to be replaced; [`SecretError::Name`], [`SecretError::Value`].
    pub fn put(&self, request: &PutSecret) -> Result<SecretSummary, SecretError> {
        let name = request.name.clone();
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
        if !(1..=NAME_LEN_MAX).contains(&name.len()) || !name.bytes().all(is_fine) {
            return Err(SecretError::Name(name.chars().take(NAME_LEN_MAX).collect()));
        }
        if u64::try_from(request.value.len()).is_ok_and(|len| len > VALUE_LEN_MAX) {
            return Err(SecretError::Value(name));
        }
        if !request.replace && self.store.secret(&name)?.is_some() {
            return Err(SecretError::Exists(name));
        }
        let sealed = self.seal.seal(&context(&name), request.value.as_bytes())?;
        self.store.put_secret(&name, &sealed, clock::wall_ms())?;
        let mut all = self.list()?;
        let index = all.iter().position(|summary| summary.name == name);
        index
            .map(|index| all.swap_remove(index))
            .ok_or(SecretError::Missing(name))
    }

    /// All secrets, without their values.
    ///
    /// # Errors
    /// [`SecretError::Store`]
    pub fn list(&self) -> Result<Vec<SecretSummary>, SecretError> {
        let summary = |secret: crate::store::SealedSecret| SecretSummary {
            name: secret.name,
            created_unix_ms: secret.created_ms,
            changed_unix_ms: secret.changed_ms,
        };
        Ok(self.store.secrets()?.into_iter().map(summary).collect())
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// [`SecretError::Missing`]
    pub fn remove(&self, name: &str) -> Result<(), SecretError> {
        let removed = self.store.remove_secret(name)?;
        if removed {
            Ok(())
        } else {
            Err(SecretError::Missing(name.to_owned()))
        }
    }

    /// The value of a secret, or of a key in it.
    fn value(&self, name: &str, key: Option<&str>) -> Result<String, SecretError> {
        let missing = || SecretError::Missing(name.to_owned());
        // An ARN of Secrets Manager has six random characters behind the name.
        let end = name
            .len()
            .checked_sub(ARN_SUFFIX_LEN)
            .filter(|end| name.get(*end..=*end) == Some("-"));
        let names = [Some(name), end.and_then(|end| name.get(..end))];
        for name in names.into_iter().flatten() {
            let Some(sealed) = self.store.secret(name)? else {
                continue;
            };
            let bytes = self.seal.open_bytes(&context(name), &sealed)?;
            let value = String::from_utf8(bytes).map_err(|_| missing())?;
            return match key {
                Some(key) => member(&value, key).ok_or_else(|| SecretError::Key {
                    name: name.to_owned(),
                    key: key.to_owned(),
                }),
                None => Ok(value),
            };
        }
        Err(missing())
    }
}

impl Secrets for SecretStore {
    fn read(&self, source: &SecretSource) -> Result<String, Failure> {
        match source {
            SecretSource::File(path) => {
                let mut value = String::new();
                fs::File::open(path)?
                    .take(VALUE_LEN_MAX + 1)
                    .read_to_string(&mut value)?;
                if u64::try_from(value.len())? > VALUE_LEN_MAX {
                    return Err(SecretError::File(path.clone()).into());
                }
                Ok(value)
            }
            SecretSource::Stored { name, key } => Ok(self.value(name, key.as_deref())?),
        }
    }
}

/// What a sealed value is bound to: it cannot be taken for another's.
fn context(name: &str) -> String {
    format!("secret {name}")
}

/// A member of a JSON object, as text.
fn member(object: &str, key: &str) -> Option<String> {
    let object: Value = serde_json::from_str(object).ok()?;
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir) -> SecretStore {
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        SecretStore::new(
            store,
            Arc::new(Seal::open(&directory.path().join("secret.key")).unwrap()),
        )
    }

    fn put(secrets: &SecretStore, name: &str, value: &str, replace: bool) -> Result<SecretSummary, SecretError> {
        secrets.put(&PutSecret {
            name: name.to_owned(),
            value: value.to_owned(),
            replace,
        })
    }

    #[test]
    fn a_secret_is_read_by_name_key_and_arn_and_is_not_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = open(&directory);
        put(&secrets, "app/db", r#"{"user": "anna", "port": 5}"#, false).unwrap();
        let read = |name: &str, key: Option<&str>| {
            let source = SecretSource::Stored {
                name: name.to_owned(),
                key: key.map(str::to_owned),
            };
            open(&directory).read(&source).ok()
        };
        assert_eq!(read("app/db", None).unwrap(), r#"{"user": "anna", "port": 5}"#);
        assert_eq!(read("app/db", Some("user")).unwrap(), "anna");
        assert_eq!(read("app/db-AbCdEf", Some("port")).unwrap(), "5");
        assert_eq!(read("app/db", Some("none")), None);
        assert_eq!(read("other", None), None);
        for file in fs::read_dir(directory.path()).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(4).any(|window| window == b"anna"));
        }
    }

    #[test]
    fn a_secret_is_replaced_only_when_that_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = open(&directory);
        put(&secrets, "a", "1", false).unwrap();
        assert!(matches!(put(&secrets, "a", "2", false), Err(SecretError::Exists(_))));
        put(&secrets, "a", "2", true).unwrap();
        assert_eq!(secrets.value("a", None).unwrap(), "2");
        secrets.remove("a").unwrap();
        assert!(matches!(secrets.remove("a"), Err(SecretError::Missing(_))));
        assert!(put(&secrets, "a b", "1", false).is_err());
        assert!(put(&secrets, "a", &"x".repeat((64 << 10) + 1), false).is_err());
    }
}
