//! Tags of resources.

use serde::{Deserialize, Serialize};

use super::shapes::Tag;

/// The most tags that a resource may have.
pub const TAGS_MAX: usize = 50;

/// The request of `TagResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagResourceRequest {
    /// The resource.
    pub resource_arn: String,
    /// What is added or changed.
    pub tags: Vec<Tag>,
}

/// The request of `UntagResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UntagResourceRequest {
    /// The resource.
    pub resource_arn: String,
    /// What is removed.
    pub tag_keys: Vec<String>,
}

/// The request of `ListTagsForResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTagsForResourceRequest {
    /// The resource.
    pub resource_arn: String,
}

/// The answer of `ListTagsForResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTagsForResourceAnswer {
    /// By key.
    pub tags: Vec<Tag>,
}

/// The answer of operations that have nothing to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NothingAnswer {}
