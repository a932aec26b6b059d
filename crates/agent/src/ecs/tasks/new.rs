//! From a definition and who wants a task of it to the task that the core is given.

use api::ecs::definitions::TaskDefinition;
use api::ecs::error::EcsError;
use api::ecs::tasks::{ContainerOverride, TaskOverride};
use serde_json::{Map, Value, json};

use crate::core::NewTask;
use crate::ecs::definition::{HostPaths, Options, plan};
use crate::record::ServiceOrigin;

/// The longest overrides, in bytes of JSON, as ECS has it.
const OVERRIDES_LEN_MAX: usize = 8192;

/// What is told again of a task, by member.
pub mod echo {
    /// The definition's `networkMode`.
    pub const NETWORK_MODE: &str = "networkMode";
    /// What the request changed, with an entry for every container.
    pub const OVERRIDES: &str = "overrides";
    /// The request's `clientToken`, by which its tasks are found again.
    pub const CLIENT_TOKEN: &str = "clientToken";
    /// The request's `capacityProviderStrategy`.
    pub const STRATEGY: &str = "capacityProviderStrategy";
    /// The request's `launchType`.
    pub const LAUNCH_TYPE: &str = "launchType";
    /// The request's `networkConfiguration`.
    pub const NETWORK: &str = "networkConfiguration";
}

/// A task that a service wants.
#[derive(Clone, Debug)]
pub struct ServiceTask<'a> {
    /// The name of its cluster.
    pub cluster: &'a str,
    /// The service and its deployment.
    pub origin: ServiceOrigin,
    /// Whether commands may be executed in it.
    pub can_execute: bool,
    /// Its tags, all of them.
    pub tags: Vec<(String, String)>,
    /// What is only told again: `networkConfiguration`, `capacityProviderStrategy` and so on.
    pub echoed: Map<String, Value>,
}

/// What the core is given to run a task for a service.
///
/// # Errors
/// What is wrong with the definition on this host.
pub fn new_task_for_service(
    definition: &TaskDefinition,
    paths: &HostPaths,
    wanted: ServiceTask<'_>,
) -> Result<NewTask, EcsError> {
    let mut task = new_task(
        definition,
        None,
        Options {
            paths,
            can_execute: wanted.can_execute,
        },
        wanted.echoed,
    )?;
    wanted.cluster.clone_into(&mut task.cluster);
    task.group = format!("service:{}", wanted.origin.service);
    task.started_by = Some(wanted.origin.deployment.clone());
    task.service = Some(wanted.origin);
    task.tags = wanted.tags;
    Ok(task)
}

/// A task of a definition, of nobody's cluster yet.
pub(super) fn new_task(
    definition: &TaskDefinition,
    changes: Option<&TaskOverride>,
    options: Options<'_>,
    mut echoed: Map<String, Value>,
) -> Result<NewTask, EcsError> {
    let overrides = overrides(definition, changes)?;
    let plan = plan(definition, changes, options)?;
    echoed.insert(echo::OVERRIDES.to_owned(), overrides);
    echoed.insert(echo::NETWORK_MODE.to_owned(), json!(definition.network_mode));
    let name = format!("{}:{}", definition.family, definition.revision);
    Ok(NewTask {
        cluster: String::new(),
        name: None,
        group: format!("family:{}", definition.family),
        definition: name,
        started_by: None,
        service: None,
        tags: Vec::new(),
        echoed,
        plan,
        is_removed_when_stopped: false,
        waits_for_start: false,
    })
}

/// What the request changes, with an entry for every container, as ECS tells it.
fn overrides(definition: &TaskDefinition, changes: Option<&TaskOverride>) -> Result<Value, EcsError> {
    let mut told = changes.cloned().unwrap_or_default();
    let given = api::ecs::json::document(&told).map_err(|error| EcsError::server(error.to_string()))?;
    if given.to_string().len() > OVERRIDES_LEN_MAX {
        return Err(EcsError::invalid(format!(
            "Overrides length must be at most {OVERRIDES_LEN_MAX}."
        )));
    }
    let entries = told.container_overrides.get_or_insert_default();
    for container in &definition.container_definitions {
        if !entries.iter().any(|entry| entry.name == container.name) {
            entries.push(ContainerOverride {
                name: container.name.clone(),
                ..ContainerOverride::default()
            });
        }
    }
    told.inference_accelerator_overrides = Some(Vec::new());
    api::ecs::json::document(&told).map_err(|error| EcsError::server(error.to_string()))
}
