//! Layers in, rootfs snapshot out: a metadata file that belongs to the image, and the data files of its layers.

use std::fs::File;
use std::io::{self, Seek};

use crate::erofs::{self, ErofsError};
use crate::index::{Index, ReadAt};
use crate::layer::BLOCK_BYTES;
use crate::merge::{MergeError, merge};

/// Most layers in one image. Docker's storage drivers stop at 127.
pub const LAYERS_MAX: usize = 512;

/// Why layers make no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// More layers than [`LAYERS_MAX`].
    #[error("image has {layers} layers, more than {LAYERS_MAX}")]
    Layers {
        /// How many it has.
        layers: usize,
    },
    /// A layer's data file is not the one its index was made with.
    #[error("data of layer {layer} has {bytes} bytes but its index tells of {expected}")]
    DataLength {
        /// The layer, counted from the lowest, which is 0.
        layer: usize,
        /// Length of the data file.
        bytes: u64,
        /// Length by the index.
        expected: u64,
    },
    /// The layers do not fit on top of one another.
    #[error("cannot merge layers")]
    Merge {
        /// Why.
        #[from]
        source: MergeError,
    },
    /// The tree cannot be written.
    #[error("cannot write snapshot")]
    Erofs {
        /// Why.
        #[from]
        source: ErofsError,
    },
    /// The metadata file cannot be used.
    #[error("cannot use metadata file")]
    Metadata {
        /// The failure.
        source: io::Error,
    },
}

/// A converted layer.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// Its index.
    pub index: &'a Index,
    /// Its data file.
    pub data: &'a dyn ReadAt,
    /// Length of the data file.
    pub bytes: u64,
}

/// How the flat image is put together: metadata first, then each layer's data file in turn, each part as long as it is
/// here, in blocks of [`BLOCK_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotLayout {
    /// Length of the metadata file.
    pub metadata_blocks: u64,
    /// Length of each layer's data file, the lowest layer first; 0 for a layer without file contents.
    pub layer_blocks: Vec<u64>,
}

impl SnapshotLayout {
    /// Length of the flat image in bytes.
    pub fn bytes(&self) -> u64 {
        self.layer_blocks
            .iter()
            .fold(self.metadata_blocks, |sum, blocks| sum + blocks)
            * BLOCK_BYTES
    }
}

/// Merges `layers`, the lowest first, and writes the metadata of the
/// flat image to `metadata`, an empty file. The same layers always make the same bytes.
pub fn build(layers: &[Layer], metadata: &mut File) -> Result<SnapshotLayout, SnapshotError> {
    if layers.len() > LAYERS_MAX {
        return Err(SnapshotError::Layers { layers: layers.len() });
    }
    for (layer, Layer { index, bytes, .. }) in layers.iter().enumerate() {
        let expected = index.data_blocks().saturating_mul(BLOCK_BYTES);
        if *bytes != expected {
            return Err(SnapshotError::DataLength {
                layer,
                bytes: *bytes,
                expected,
            });
        }
    }
    let indexes: Vec<&Index> = layers.iter().map(|layer| layer.index).collect();
    let data: Vec<&dyn ReadAt> = layers.iter().map(|layer| layer.data).collect();
    let layer_blocks: Vec<u64> = indexes.iter().map(|index| index.data_blocks()).collect();
    let tree = merge(&indexes)?;
    metadata.rewind().map_err(|source| SnapshotError::Metadata { source })?;
    let metadata_blocks = erofs::write(&tree, &indexes, &data, metadata)?;
    Ok(SnapshotLayout {
        metadata_blocks,
        layer_blocks,
    })
}
