//! The labels of metrics.

use std::fmt;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};

/// A few labels, by name; their number is bounded by who makes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Labels<const COUNT: usize>(pub [(&'static str, String); COUNT]);

impl<const COUNT: usize> Labels<COUNT> {
    /// These.
    pub fn new(labels: [(&'static str, &str); COUNT]) -> Self {
        Self(labels.map(|(name, value)| (name, value.to_owned())))
    }
}

impl<const COUNT: usize> EncodeLabelSet for Labels<COUNT> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, value) in &self.0 {
            (*name, value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
