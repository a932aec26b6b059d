//! SHA-256 digests: the names of blobs, and readers that check them.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is no digest, or why bytes are not the ones that a digest names.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// The text has no `sha256:` in front.
    #[error("digest {0:?} does not begin with sha256:")]
    Algorithm(String),
    /// What follows `sha256:` is not 64 lower-case hexadecimal digits.
    #[error("digest {0:?} is not 64 hexadecimal digits")]
    Hex(String),
    /// The bytes hash to something else.
    #[error("the content has digest {actual}, not {expected}")]
    Mismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// There are more or fewer bytes than the descriptor says.
    #[error("the content of {digest} has {actual_bytes} bytes, not {expected_bytes}")]
    Size {
        /// The blob.
        digest: Digest,
        /// The size of the descriptor.
        expected_bytes: u64,
        /// The size of what came; for too long a stream the place where reading ended.
        actual_bytes: u64,
    },
}

/// The longest text that an error repeats of a malformed digest.
const QUOTED_LEN_MAX: usize = 80;

/// A SHA-256 digest (OCI image spec, descriptor, "Digests"). Other algorithms are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads `sha256:<64 lower-case hexadecimal digits>`.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let quoted = || text.chars().take(QUOTED_LEN_MAX).collect();
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| DigestError::Algorithm(quoted()))?;
        Self::from_hex(hex).ok_or_else(|| DigestError::Hex(quoted()))
    }

    /// Reads 64 lower-case hexadecimal digits, as in file names.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 64 hexadecimal digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl From<Sha256> for Digest {
    fn from(digest: Sha256) -> Self {
        Self(digest.finalize().into())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text)
    }
}

/// Hashes and counts what is read through it.
pub struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    len_bytes: u64,
}

impl<R: Read> HashingReader<R> {
    /// Starts at zero bytes.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            len_bytes: 0,
        }
    }

    /// The digest and the number of the bytes read.
    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.into(), self.len_bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.len_bytes += count as u64;
        Ok(count)
    }
}

/// Checks that `bytes` are exactly the `expected_bytes` bytes that `digest` names.
pub fn verify(bytes: &[u8], digest: Digest, expected_bytes: u64) -> Result<(), DigestError> {
    verify_result((Digest::of(bytes), bytes.len() as u64), digest, expected_bytes)
}

/// Checks a finished [`HashingReader`]'s result against a descriptor.
pub fn verify_result(actual: (Digest, u64), digest: Digest, expected_bytes: u64) -> Result<(), DigestError> {
    let (actual, actual_bytes) = actual;
    if actual_bytes != expected_bytes {
        return Err(DigestError::Size {
            digest,
            expected_bytes,
            actual_bytes,
        });
    }
    if actual != digest {
        return Err(DigestError::Mismatch {
            expected: digest,
            actual,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, the digest of no bytes.
    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_reads_back_what_it_writes() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::parse(EMPTY), Ok(Digest::of(b"")));
    }

    #[test]
    fn other_algorithms_upper_case_and_short_texts_are_refused() {
        assert!(matches!(Digest::parse("sha512:00"), Err(DigestError::Algorithm(_))));
        assert!(matches!(Digest::parse("sha256:00"), Err(DigestError::Hex(_))));
        assert!(matches!(
            Digest::parse(&EMPTY.replace('e', "E")),
            Err(DigestError::Hex(_))
        ));
        assert!(matches!(
            Digest::parse("sha256:../../etc/passwd"),
            Err(DigestError::Hex(_))
        ));
    }

    #[test]
    fn a_reader_hashes_what_passes() {
        let mut reader = HashingReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish(), (Digest::of(b"abc"), 3));
    }

    #[test]
    fn size_is_checked_before_the_digest() {
        assert!(matches!(
            verify(b"abc", Digest::of(b"abc"), 4),
            Err(DigestError::Size { .. })
        ));
        assert!(matches!(
            verify(b"abc", Digest::of(b"abd"), 3),
            Err(DigestError::Mismatch { .. })
        ));
        assert_eq!(verify(b"abc", Digest::of(b"abc"), 3), Ok(()));
    }
}
