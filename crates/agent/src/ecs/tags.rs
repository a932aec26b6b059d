//! Tags of resources.

use api::ecs::arn::{self, Resource};
use api::ecs::clusters::Cluster;
use api::ecs::definitions::TaskDefinition;
use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::shapes::Tag;
use api::ecs::tags::{
    ListTagsForResourceAnswer, ListTagsForResourceRequest, NothingAnswer, TAGS_MAX, TagResourceRequest,
    UntagResourceRequest,
};
use serde_json::Value;

use super::{Ecs, failed};

/// The longest key of a tag, in characters.
const KEY_LEN_MAX: usize = 128;

/// The longest value of a tag, in characters.
const VALUE_LEN_MAX: usize = 256;

impl Ecs {
    pub(super) fn tag_resource(&self, request: &TagResourceRequest) -> Result<NothingAnswer, EcsError> {
        let resource = self.taggable(&request.resource_arn)?;
        let added = self
            .store
            .tag(&resource, &checked(&request.tags)?, TAGS_MAX)
            .map_err(failed)?;
        if added { Ok(NothingAnswer {}) } else { Err(too_many()) }
    }

    pub(super) fn untag_resource(&self, request: &UntagResourceRequest) -> Result<NothingAnswer, EcsError> {
        let resource = self.taggable(&request.resource_arn)?;
        self.store.untag(&resource, Some(&request.tag_keys)).map_err(failed)?;
        Ok(NothingAnswer {})
    }

    pub(super) fn list_tags_for_resource(
        &self,
        request: &ListTagsForResourceRequest,
    ) -> Result<ListTagsForResourceAnswer, EcsError> {
        let resource = self.taggable(&request.resource_arn)?;
        let tags = self.catalogue.tags_of(&resource)?;
        Ok(ListTagsForResourceAnswer { tags })
    }

    /// The last part of the ARN of a resource that is there and can have tags.
    fn taggable(&self, arn: &str) -> Result<String, EcsError> {
        let resource = arn::parse(arn)?;
        let is_there = match &resource {
            Resource::Cluster { name } => self.store.cluster::<Cluster>(name).map_err(failed)?.is_some(),
            Resource::TaskDefinition { family, revision } => {
                let definition: Option<TaskDefinition> =
                    self.store.definition(family, Some(*revision)).map_err(failed)?;
                definition.is_some()
            }
            Resource::Task { cluster, id } => {
                let task = self.store.task(id).map_err(failed)?;
                task.is_some_and(|task| task.cluster == *cluster)
            }
            Resource::Service { cluster, name } => {
                self.store.service::<Value>(cluster, name).map_err(failed)?.is_some()
            }
            _ => {
                return Err(EcsError::invalid(
                    "Only clusters, services, tasks and task definitions have tags.",
                ));
            }
        };
        if !is_there {
            return Err(EcsError::invalid("The specified resource could not be found."));
        }
        Ok(arn.splitn(6, ':').nth(5).unwrap_or_default().to_owned())
    }
}

/// Keys and values of tags, where they are of the form of tags.
///
/// # Errors
/// The first that is not.
pub fn checked(tags: &[Tag]) -> Result<Vec<(String, String)>, EcsError> {
    let check = |tag: &Tag| {
        let has_form = |text: &str| {
            text.chars()
                .all(|character| character.is_alphanumeric() || " _.:/=+-@".contains(character))
        };
        let (key_len, value_len) = (tag.key.chars().count(), tag.value.chars().count());
        if !(1..=KEY_LEN_MAX).contains(&key_len)
            || value_len > VALUE_LEN_MAX
            || !has_form(&tag.key)
            || !has_form(&tag.value)
        {
            return Err(EcsError::invalid(format!(
                "A tag's key has 1 to {KEY_LEN_MAX} and its value at most {VALUE_LEN_MAX} letters, digits, spaces and _.:/=+-@, which {:?} does not.",
                tag.key.chars().take(KEY_LEN_MAX).collect::<String>()
            )));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(EcsError::invalid(format!(
                "The key {:?} begins with aws:, as only ECS's own do.",
                tag.key
            )));
        }
        Ok((tag.key.clone(), tag.value.clone()))
    };
    tags.iter().map(check).collect()
}

/// A resource would have more tags than it can.
pub fn too_many() -> EcsError {
    EcsError::new(
        ErrorKind::InvalidParameter,
        format!("A resource can have {TAGS_MAX} tags at the most."),
    )
}
