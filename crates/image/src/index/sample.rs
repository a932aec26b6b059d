//! Indexes in memory, for the tests of all who read them.

use super::{Index, IndexError, Writer};
use crate::layer::Entry;
use crate::limits::Limits;

/// A layer by its entries and the blocks of its data file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    pub data_blocks: u64,
    pub entries: Vec<Entry>,
}

impl Layer {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for entry in &self.entries {
            writer.push(entry.clone()).unwrap();
        }
        writer.finish(self.data_blocks).unwrap()
    }

    pub fn index(&self) -> Index {
        open(self.encode()).unwrap()
    }

    /// All that an index says.
    pub fn read(index: &Index) -> Self {
        let entries = index.entries().map(|entry| entry.unwrap().0).collect();
        Self {
            data_blocks: index.data_blocks(),
            entries,
        }
    }
}

pub fn open(bytes: Vec<u8>) -> Result<Index, IndexError> {
    let len_bytes = bytes.len() as u64;
    Index::open(Box::new(bytes), len_bytes, &Limits::default())
}
