//! Access keys: who may ask over TCP, and for what.

use std::sync::Arc;

use api::identity::{AccessKey, CreateAccessKey, Role};

use crate::clock;
use crate::secrets::seal::{self, Seal, SealError};
use crate::store::{self, Store, StoreError};

/// What the keys' ids begin with, as AWS's do; no such id is ever AWS's own, which have 20 characters.
const ID_PREFIX: &str = "AKIA";

/// The letters and digits of ids (RFC 4648's base 32) and of secrets.
const ID_CHARACTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Characters of an id behind its prefix, and of a secret.
const ID_LEN: usize = 16;
const SECRET_LEN: usize = 40;

/// The most keys.
const KEYS_MAX: usize = 100;

/// The longest description, in characters.
const DESCRIPTION_LEN_MAX: usize = 256;

/// What the first key is for.
const FIRST_DESCRIPTION: &str = "made when the host agent was first started";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There are too many.
    #[error("there are {KEYS_MAX} access keys: remove one first")]
    TooMany,
    /// The description is too long.
    #[error("the description is too long: it can have {DESCRIPTION_LEN_MAX} characters")]
    Description,
    /// There is no such key.
    #[error("there is no access key {0:?}")]
    Missing(String),
    /// The database failed.
    #[error("the access keys cannot be kept or read")]
    Store(#[from] StoreError),
    /// It cannot be encrypted or decrypted.
    #[error("the access key cannot be sealed or opened")]
    Seal(#[from] SealError),
}

/// The access keys.
#[derive(Clone)]
pub struct Credentials {
    store: Store,
    seal: Arc<Seal>,
}

impl Credentials {
    /// The keys in `store`, sealed with `seal`. The first time, one is made that may do everything.
    ///
    /// # Errors
    /// Where the store cannot be read or written, or the keys there cannot be opened: then the key file is not theirs.
    pub fn open(store: Store, seal: Arc<Seal>) -> Result<Self, CredentialError> {
        let credentials = Self { store, seal };
        if credentials.list()?.is_empty() {
            let description = Some(FIRST_DESCRIPTION.to_owned());
            credentials.create(CreateAccessKey {
                role: Role::Admin,
                description,
            })?;
        }
        Ok(credentials)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`CredentialError::TooMany`], [`CredentialError::Description`]
    pub fn create(&self, request: CreateAccessKey) -> Result<AccessKey, CredentialError> {
        if self.store.keys()?.len() >= KEYS_MAX {
            return Err(CredentialError::TooMany);
        }
        if request
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > DESCRIPTION_LEN_MAX)
        {
            return Err(CredentialError::Description);
        }
        let id: [u8; ID_LEN] = seal::random()?;
        let secret: [u8; SECRET_LEN] = seal::random()?;
        let key = AccessKey {
            access_key_id: format!("{ID_PREFIX}{}", characters(&id, ID_CHARACTERS)),
            secret_access_key: characters(&secret, SECRET_CHARACTERS),
            role: request.role,
            description: request.description,
            created_unix_ms: clock::wall_ms(),
        };
        self.store.add_key(&store::AccessKey {
            id: key.access_key_id.clone(),
            role: key.role,
            description: key.description.clone(),
            sealed: self
                .seal
                .seal(&context(&key.access_key_id), key.secret_access_key.as_bytes())?,
            created_ms: key.created_unix_ms,
        })?;
        Ok(key)
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// Where they cannot be read or opened.
    pub fn list(&self) -> Result<Vec<AccessKey>, CredentialError> {
        self.store.keys()?.into_iter().map(|key| self.opened(key)).collect()
    }

    /// The key with this id.
    ///
    /// # Errors
    /// Where it cannot be read or opened.
    pub fn find(&self, id: &str) -> Result<Option<AccessKey>, CredentialError> {
        self.store.key(id)?.map(|key| self.opened(key)).transpose()
    }

    /// Removes a key: whatever was signed with it is refused from now on.
    ///
    /// # Errors
    /// [`CredentialError::Missing`]
    pub fn remove(&self, id: &str) -> Result<(), CredentialError> {
        let removed = self.store.remove_key(id)?;
        if removed {
            Ok(())
        } else {
            Err(CredentialError::Missing(id.to_owned()))
        }
    }

    fn opened(&self, key: store::AccessKey) -> Result<AccessKey, CredentialError> {
        let secret = self.seal.open_bytes(&context(&key.id), &key.sealed)?;
        Ok(AccessKey {
            access_key_id: key.id,
            secret_access_key: String::from_utf8(secret).map_err(|_| SealError::Opening)?,
            role: key.role,
            description: key.description,
            created_unix_ms: key.created_ms,
        })
    }
}

/// What a sealed key is bound to: it cannot be taken for another's.
fn context(id: &str) -> String {
    format!("access key {id}")
}

/// Characters of an alphabet whose length is a power of two: each as likely as any other.
fn characters(random: &[u8], alphabet: &[u8]) -> String {
    random
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir, key: &str) -> Result<Credentials, CredentialError> {
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        Credentials::open(store, Arc::new(Seal::open(&directory.path().join(key)).unwrap()))
    }

    #[test]
    fn the_first_start_makes_a_key_and_the_next_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(&directory, "a.key").unwrap().list().unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].role, Role::Admin);
        assert_eq!(
            (first[0].access_key_id.len(), first[0].secret_access_key.len()),
            (20, 40)
        );
        assert_eq!(open(&directory, "a.key").unwrap().list().unwrap(), first);
        // Another key file must not make the keys of this one be replaced.
        assert!(matches!(
            open(&directory, "b.key"),
            Err(CredentialError::Seal(SealError::Opening))
        ));
    }

    #[test]
    fn a_key_that_is_removed_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = open(&directory, "a.key").unwrap();
        let key = credentials
            .create(CreateAccessKey {
                role: Role::ReadOnly,
                description: None,
            })
            .unwrap();
        assert_eq!(credentials.find(&key.access_key_id).unwrap(), Some(key.clone()));
        credentials.remove(&key.access_key_id).unwrap();
        assert_eq!(credentials.find(&key.access_key_id).unwrap(), None);
        assert!(matches!(
            credentials.remove(&key.access_key_id),
            Err(CredentialError::Missing(_))
        ));
    }
}
