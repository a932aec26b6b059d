//! What requests name: clusters, definitions and the tags of resources, as the store has them.

use api::ecs::arn;
use api::ecs::clusters::Cluster;
use api::ecs::definitions::TaskDefinition;
use api::ecs::error::EcsError;
use api::ecs::shapes::Tag;
use api::ecs::tags::TAGS_MAX;

use super::{failed, tags};
use crate::store::Store;

/// What requests name. Clones are the same.
#[derive(Clone)]
pub struct Catalogue {
    store: Store,
}

impl Catalogue {
    /// What is in `store`.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The name of the active cluster that a request means; `default` where it names none.
    ///
    /// # Errors
    /// `Cluster not found.`
    pub fn active_cluster(&self, reference: Option<&str>) -> Result<String, EcsError> {
        let name = arn::cluster(reference)?;
        self.stored_cluster(&name).map(|_| name)
    }

    /// The active cluster with this name.
    pub(super) fn stored_cluster(&self, name: &str) -> Result<Cluster, EcsError> {
        let cluster: Option<Cluster> = self.store.cluster(name).map_err(failed)?;
        cluster
            .filter(|cluster| cluster.status == "ACTIVE")
            .ok_or_else(EcsError::cluster_not_found)
    }

    /// The definition that a request means, active or not.
    ///
    /// # Errors
    /// `message` where there is none.
    pub(super) fn definition(&self, reference: &str, message: &str) -> Result<TaskDefinition, EcsError> {
        let (family, revision) = arn::task_definition(reference)?;
        let definition: Option<TaskDefinition> = self.store.definition(&family, revision).map_err(failed)?;
        definition.ok_or_else(|| EcsError::client(message))
    }

    /// The definition that a request means to make tasks of.
    ///
    /// # Errors
    /// ECS's own, where there is none, or where it is not active.
    pub fn active_definition(&self, reference: &str) -> Result<TaskDefinition, EcsError> {
        let definition = self.definition(reference, "TaskDefinition not found.")?;
        match definition.status.as_str() {
            "ACTIVE" => Ok(definition),
            _ => Err(EcsError::client("TaskDefinition is inactive")),
        }
    }

    /// The tags of a resource, named by the last part of its ARN.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn tags_of(&self, resource: &str) -> Result<Vec<Tag>, EcsError> {
        let tags = self.store.tags(resource).map_err(failed)?;
        Ok(tags.into_iter().map(|(key, value)| Tag { key, value }).collect())
    }

    /// Gives a resource these tags and no others.
    ///
    /// # Errors
    /// Where they are too many or not of the form of tags.
    pub fn replace_tags(&self, resource: &str, tags: &[Tag]) -> Result<(), EcsError> {
        let tags = tags::checked(tags)?;
        if tags.len() > TAGS_MAX {
            return Err(tags::too_many());
        }
        self.store.untag(resource, None).map_err(failed)?;
        self.store.tag(resource, &tags, TAGS_MAX).map_err(failed)?;
        Ok(())
    }
}
