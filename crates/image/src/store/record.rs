//! An image as the store knows it, and its form on disk.

use serde::{Deserialize, Serialize};

use crate::config::ProcessConfig;
use crate::digest::Digest;
use crate::platform::Platform;

/// The version of the form on disk.
const RECORD_VERSION: u32 = 1;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not what this program writes.
    #[error("the image record is malformed")]
    Json(#[source] serde_json::Error),
    /// Written by a newer program.
    #[error("the image record has the unknown version {0}")]
    Version(u32),
}

/// A layer of a stored image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    /// The digest of its uncompressed tar stream: its name in the store.
    pub diff_id: Digest,
    /// The digest of its blob, as the manifest names it.
    pub blob: Digest,
    /// The blob's compressed size.
    pub blob_bytes: u64,
    /// What it takes in the store.
    pub stored_bytes: u64,
}

/// What the store keeps of an image. The manifest and the configuration are also kept as they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The manifest's digest: the image's id.
    pub digest: Digest,
    /// The configuration's digest: Docker's image id.
    pub config_digest: Digest,
    /// Whom the image is for.
    pub platform: Platform,
    /// When it was made, as it says (RFC 3339); empty where it does not.
    pub created: String,
    /// When it came into the store, in milliseconds since the Unix epoch; 0 where that is not known.
    #[serde(default)]
    pub stored_unix_ms: u64,
    /// The layers, lowest first.
    pub layers: Vec<StoredLayer>,
    /// What to run.
    pub process: ProcessConfig,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    image: T,
}

impl Record {
    /// What all layers take in the store, one that occurs twice counted once.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let sizes: std::collections::BTreeMap<_, _> = self
            .layers
            .iter()
            .map(|layer| (layer.diff_id, layer.stored_bytes))
            .collect();
        sizes.values().sum()
    }

    /// The layers' diff IDs, lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id).collect()
    }

    /// The form on disk.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        serde_json::to_vec_pretty(&Versioned {
            version: RECORD_VERSION,
            image: self,
        })
        .map_err(RecordError::Json)
    }

    /// Reads the form on disk.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Versioned<serde_json::Value> = serde_json::from_slice(bytes).map_err(RecordError::Json)?;
        if record.version != RECORD_VERSION {
            return Err(RecordError::Version(record.version));
        }
        serde_json::from_value(record.image).map_err(RecordError::Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let layer = StoredLayer {
            diff_id: Digest::of(b"a"),
            blob: Digest::of(b"b"),
            blob_bytes: 1,
            stored_bytes: 4096,
        };
        Record {
            digest: Digest::of(b"m"),
            config_digest: Digest::of(b"c"),
            platform: Platform::parse("linux/arm64/v8").unwrap(),
            created: "2026-01-02T03:04:05Z".into(),
            stored_unix_ms: 7,
            layers: vec![layer, layer],
            process: ProcessConfig {
                cmd: vec!["sh".into()],
                ..ProcessConfig::default()
            },
        }
    }

    #[test]
    fn a_record_reads_back_what_it_writes() {
        assert_eq!(Record::parse(&record().to_json().unwrap()).unwrap(), record());
    }

    #[test]
    fn a_layer_that_occurs_twice_is_stored_once() {
        assert_eq!(record().size_bytes(), 4096);
    }

    #[test]
    fn a_record_of_the_future_is_refused() {
        assert!(matches!(
            Record::parse(br#"{"version":2,"image":{}}"#),
            Err(RecordError::Version(2))
        ));
        assert!(matches!(Record::parse(b""), Err(RecordError::Json(_))));
    }
}
