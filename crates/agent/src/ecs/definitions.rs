//! The operations on task definitions.

use api::ecs::arn::{self, ACCOUNT, Resource};
use api::ecs::definitions::{
    DeleteTaskDefinitionsAnswer, DeleteTaskDefinitionsRequest, DeregisterTaskDefinitionRequest,
    DescribeTaskDefinitionRequest, ListTaskDefinitionFamiliesAnswer, ListTaskDefinitionFamiliesRequest,
    ListTaskDefinitionsAnswer, ListTaskDefinitionsRequest, RegisterTaskDefinitionRequest, TaskDefinition,
    TaskDefinitionAnswer,
};
use api::ecs::error::EcsError;
use api::ecs::json;
use api::ecs::page;
use api::ecs::shapes::{Failure, Timestamp};
use serde_json::Value;

use super::definition::{self, Options};
use super::{Caller, Ecs, failed, tags};
use crate::clock;
use crate::store::{DefinitionKey, DefinitionList, DefinitionStatus};

/// The most definitions that one request may delete.
const DELETE_MAX: usize = 10;

/// The lists that page tokens are of.
const DEFINITIONS: &str = "task definitions";
const FAMILIES: &str = "task definition families";

impl Ecs {
    pub(super) fn register_task_definition(
        &self,
        caller: &Caller,
        request: RegisterTaskDefinitionRequest,
    ) -> Result<TaskDefinitionAnswer, EcsError> {
        let tags = request.tags.clone().unwrap_or_default();
        tags::checked(&tags)?;
        let mut definition = definition::normalise(request)?;
        let options = Options {
            paths: &self.paths,
            can_execute: false,
        };
        definition::plan(&definition, None, options)?;
        definition.registered_at = Some(Timestamp::from_unix_ms(clock::wall_ms()));
        definition.registered_by = Some(format!("arn:aws:iam::{ACCOUNT}:root"));
        let family = definition.family.clone();
        let registered = self.store.add_definition(&family, |revision| {
            definition.revision = revision;
            stored(&definition)
        });
        let definition = read(registered.map_err(failed)?)?;
        self.catalogue.replace_tags(&resource(&definition), &tags)?;
        Ok(TaskDefinitionAnswer {
            task_definition: told(caller, definition),
            tags: Some(tags),
        })
    }

    pub(super) fn describe_task_definition(
        &self,
        caller: &Caller,
        request: &DescribeTaskDefinitionRequest,
    ) -> Result<TaskDefinitionAnswer, EcsError> {
        let definition = self
            .catalogue
            .definition(&request.task_definition, "Unable to describe task definition.")?;
        let wants_tags = request.include.iter().flatten().any(|what| what == "TAGS");
        let tags = wants_tags
            .then(|| self.catalogue.tags_of(&resource(&definition)))
            .transpose()?;
        Ok(TaskDefinitionAnswer {
            task_definition: told(caller, definition),
            tags,
        })
    }

    pub(super) fn deregister_task_definition(
        &self,
        caller: &Caller,
        request: &DeregisterTaskDefinitionRequest,
    ) -> Result<TaskDefinitionAnswer, EcsError> {
        exact(&request.task_definition)?;
        let mut definition = self.catalogue.definition(
            &request.task_definition,
            "The specified task definition does not exist.",
        )?;
        if definition.status == "ACTIVE" {
            definition.deregistered_at = Some(Timestamp::from_unix_ms(clock::wall_ms()));
            self.change_status(&mut definition, DefinitionStatus::Inactive)?;
        }
        Ok(TaskDefinitionAnswer {
            task_definition: told(caller, definition),
            tags: None,
        })
    }

    pub(super) fn delete_task_definitions(
        &self,
        caller: &Caller,
        request: &DeleteTaskDefinitionsRequest,
    ) -> Result<DeleteTaskDefinitionsAnswer, EcsError> {
        if !(1..=DELETE_MAX).contains(&request.task_definitions.len()) {
            return Err(EcsError::invalid(format!(
                "taskDefinitions has to name 1 to {DELETE_MAX} definitions."
            )));
        }
        let mut answer = DeleteTaskDefinitionsAnswer::default();
        for reference in &request.task_definitions {
            let (family, revision) = exact(reference)?;
            let known: Option<TaskDefinition> = self.store.definition(&family, Some(revision)).map_err(failed)?;
            let arn = Resource::TaskDefinition { family, revision }.arn(&caller.region);
            match known {
                None => answer.failures.push(Failure::missing(arn)),
                Some(definition) if definition.status == "ACTIVE" => answer.failures.push(Failure {
                    arn: Some(arn),
                    reason: Some("The specified task definition is still in ACTIVE status. Please deregister the target and try again.".to_owned()),
                    detail: None,
                }),
                Some(mut definition) => {
                    definition.delete_requested_at = Some(Timestamp::from_unix_ms(clock::wall_ms()));
                    self.change_status(&mut definition, DefinitionStatus::DeleteInProgress)?;
                    self.remove_unused(&definition)?;
                    answer.task_definitions.push(told(caller, definition));
                }
            }
        }
        Ok(answer)
    }

    /// Removes the definitions that were asked to go and that no task uses any more.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn remove_deleted_definitions(&self) -> Result<(), EcsError> {
        let going: Vec<TaskDefinition> = self
            .store
            .definitions_with(DefinitionStatus::DeleteInProgress)
            .map_err(failed)?;
        going.iter().try_for_each(|definition| self.remove_unused(definition))
    }

    fn remove_unused(&self, definition: &TaskDefinition) -> Result<(), EcsError> {
        let name = format!("{}:{}", definition.family, definition.revision);
        if self.store.is_definition_used(&name).map_err(failed)? {
            return Ok(());
        }
        self.store.remove_definition(&key(definition)).map_err(failed)?;
        self.store.untag(&resource(definition), None).map_err(failed)
    }

    fn change_status(&self, definition: &mut TaskDefinition, status: DefinitionStatus) -> Result<(), EcsError> {
        status.name().clone_into(&mut definition.status);
        self.store
            .put_definition(&key(definition), status, &stored(definition))
            .map_err(failed)
    }

    pub(super) fn list_task_definitions(
        &self,
        caller: &Caller,
        request: &ListTaskDefinitionsRequest,
    ) -> Result<ListTaskDefinitionsAnswer, EcsError> {
        let size = page::size(request.max_results, 100)?;
        let behind = page::behind(DEFINITIONS, request.next_token.as_deref())?;
        let behind = behind.map(|name| arn::task_definition(&name)).transpose()?;
        let list = DefinitionList {
            family: request.family_prefix.as_deref().filter(|family| !family.is_empty()),
            status: match request.status.as_deref() {
                Some("INACTIVE") => DefinitionStatus::Inactive,
                Some("DELETE_IN_PROGRESS") => DefinitionStatus::DeleteInProgress,
                _ => DefinitionStatus::Active,
            },
            is_descending: request.sort.as_deref() == Some("DESC"),
            behind: behind.map(|(family, revision)| DefinitionKey {
                family,
                revision: revision.unwrap_or_default(),
            }),
            count_max: size + 1,
        };
        let keys = self.store.list_definitions(&list).map_err(failed)?;
        let name = |key: &DefinitionKey| format!("{}:{}", key.family, key.revision);
        let (keys, next_token) = page::cut(DEFINITIONS, keys, size, name);
        let arn = |key: DefinitionKey| {
            Resource::TaskDefinition {
                family: key.family,
                revision: key.revision,
            }
            .arn(&caller.region)
        };
        Ok(ListTaskDefinitionsAnswer {
            task_definition_arns: keys.into_iter().map(arn).collect(),
            next_token,
        })
    }

    pub(super) fn list_task_definition_families(
        &self,
        request: &ListTaskDefinitionFamiliesRequest,
    ) -> Result<ListTaskDefinitionFamiliesAnswer, EcsError> {
        let size = page::size(request.max_results, 100)?;
        let behind = page::behind(FAMILIES, request.next_token.as_deref())?.unwrap_or_default();
        let prefix = request.family_prefix.as_deref().unwrap_or_default();
        let is_active = match request.status.as_deref() {
            Some("ALL") => None,
            Some("INACTIVE") => Some(false),
            _ => Some(true),
        };
        let families = self
            .store
            .list_families(prefix, is_active, &behind, size + 1)
            .map_err(failed)?;
        let (families, next_token) = page::cut(FAMILIES, families, size, String::clone);
        Ok(ListTaskDefinitionFamiliesAnswer { families, next_token })
    }
}

/// The family and revision of a reference that names one.
fn exact(reference: &str) -> Result<(String, u64), EcsError> {
    let (family, revision) = arn::task_definition(reference)?;
    let revision = revision
        .ok_or_else(|| EcsError::invalid(format!("Revision is missing: {family} needs one, as in {family}:1.")))?;
    Ok((family, revision))
}

fn key(definition: &TaskDefinition) -> DefinitionKey {
    DefinitionKey {
        family: definition.family.clone(),
        revision: definition.revision,
    }
}

/// What tags of a definition are of.
fn resource(definition: &TaskDefinition) -> String {
    format!("task-definition/{}:{}", definition.family, definition.revision)
}

/// A definition as it is stored: without what is absent.
fn stored(definition: &TaskDefinition) -> Value {
    // A definition has no keys that are not strings.
    json::document(definition).unwrap_or_default()
}

fn read(stored: Value) -> Result<TaskDefinition, EcsError> {
    serde_json::from_value(stored).map_err(|error| EcsError::server(error.to_string()))
}

/// A definition with its ARN.
fn told(caller: &Caller, mut definition: TaskDefinition) -> TaskDefinition {
    let resource = Resource::TaskDefinition {
        family: definition.family.clone(),
        revision: definition.revision,
    };
    definition.task_definition_arn = resource.arn(&caller.region);
    definition
}
