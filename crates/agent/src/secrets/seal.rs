//! Encryption of what must not be read from the database alone: XChaCha20-Poly1305, with a key in a file that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

/// The key's length, in bytes.
const KEY_LEN: usize = 32;

/// The length of the random number that comes before what is sealed.
const NONCE_LEN: usize = 24;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key's file cannot be read or made.
    #[error("cannot read or make the key file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a key.
    #[error("the key file {} has not {KEY_LEN} bytes: put the right one in its place", path.display())]
    Length {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner can read it.
    #[error("the key file {} can be read by others: `chmod 600` it", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
    },
    /// There is no randomness.
    #[error("cannot get random bytes")]
    Random(#[source] io::Error),
    /// It was sealed with another key or for something else, or was changed.
    #[error("what was sealed cannot be opened: the key file is another one, or the database was changed")]
    Opening,
}

/// A key that seals and opens.
pub struct Seal {
    cipher: XChaCha20Poly1305,
}

impl Seal {
    /// The key in the file at `path`; makes it where there is none.
    ///
    /// # Errors
    /// Where the file is not a key, or is for everybody to read.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let file = |source| SealError::File {
            path: path.to_owned(),
            source,
        };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(file(error)),
            Ok(metadata) if metadata.mode() & 0o077 != 0 => return Err(SealError::Mode { path: path.to_owned() }),
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(file)?;
        let bytes: [u8; KEY_LEN] = bytes
            .try_into()
            .map_err(|_| SealError::Length { path: path.to_owned() })?;
        let cipher = XChaCha20Poly1305::new(&Key::from(bytes));
        Ok(Self { cipher })
    }

    /// Seals `content`; it can be opened with the same `context` only.
    ///
    /// # Errors
    /// [`SealError::Random`]
    pub fn seal(&self, context: &str, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let payload = Payload {
            msg: content,
            aad: context.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Opening)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed with this `context`.
    ///
    /// # Errors
    /// [`SealError::Opening`]
    pub fn open_bytes(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Opening)?;
        let payload = Payload {
            msg: sealed,
            aad: context.as_bytes(),
        };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError::Opening)
    }
}

/// Makes a key file that only its owner can read, whole or not at all.
fn make(path: &Path) -> Result<(), SealError> {
    let file = |source| SealError::File {
        path: path.to_owned(),
        source,
    };
    let unfinished = path.with_extension("new");
    let key: [u8; KEY_LEN] = random()?;
    let mut made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(file)?;
    made.write_all(&key).and_then(|()| made.sync_all()).map_err(file)?;
    fs::rename(&unfinished, path).map_err(file)
}

/// Random bytes of the kernel's.
///
/// # Errors
/// [`SealError::Random`]
pub fn random<const LEN: usize>() -> Result<[u8; LEN], SealError> {
    let mut bytes = [0; LEN];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map(|_| bytes).map_err(|errno| SealError::Random(errno.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let sealed = Seal::open(&path).unwrap().seal("a", b"value").unwrap();
        let seal = Seal::open(&path).unwrap();
        assert_eq!(seal.open_bytes("a", &sealed).unwrap(), b"value");
        assert!(seal.open_bytes("b", &sealed).is_err());
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(seal.open_bytes("a", &changed).is_err());
        assert!(seal.open_bytes("a", &sealed[..10]).is_err());
        let other = Seal::open(&directory.path().join("other.key")).unwrap();
        assert!(other.open_bytes("a", &sealed).is_err());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        drop(Seal::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Seal::open(&path), Err(SealError::Mode { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Seal::open(&path), Err(SealError::Length { .. })));
    }
}
