//! `RunTask`.

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::shapes::{Failure, Tag};
use api::ecs::tags::TAGS_MAX;
use api::ecs::tasks::{RUN_COUNT_MAX, RunTaskAnswer, RunTaskRequest};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::describe::describe;
use super::new::{echo, new_task};
use crate::clock;
use crate::core::{CoreError, NewTask, Resource};
use crate::ecs::definition::Options;
use crate::ecs::{Caller, Ecs, failed, tags};
use crate::record::TaskRecord;

const OPERATION: &str = "RunTask";

/// Requests with different tokens rarely wait for each other among so many.
const LOCK_COUNT: usize = 64;

/// The longest token, name of a group and `startedBy`, as ECS has them.
const TOKEN_LEN_MAX: usize = 64;
const GROUP_LEN_MAX: usize = 255;
const STARTED_BY_LEN_MAX: usize = 128;

/// Keeps requests with the same token apart.
#[derive(Debug)]
pub struct Runs {
    locks: Vec<Mutex<()>>,
}

impl Default for Runs {
    fn default() -> Self {
        let locks = std::iter::repeat_with(Mutex::default).take(LOCK_COUNT);
        Self { locks: locks.collect() }
    }
}

impl Ecs {
    pub(in crate::ecs) async fn run_task(
        &self,
        caller: &Caller,
        request: &RunTaskRequest,
    ) -> Result<RunTaskAnswer, EcsError> {
        let count = request.count.unwrap_or(1);
        if !(1..=RUN_COUNT_MAX).contains(&count) {
            return Err(EcsError::invalid(format!(
                "The value of count, {count}, has to be 1 to {RUN_COUNT_MAX}."
            )));
        }
        let count = usize::try_from(count).unwrap_or_default();
        let cluster = self.catalogue.active_cluster(request.cluster.as_deref())?;
        check_lengths(request)?;
        let Some(token) = &request.client_token else {
            let task = self.wanted(&cluster, request)?;
            let (records, failure) = self.submit(task, count).await?;
            return self.answer(caller, records, failure, count);
        };
        // Locks are picked by a digest: nobody else's tokens can be made to collide by hand.
        let digest = Sha256::digest(token.as_bytes());
        let lock = &self.runs.locks[usize::from(digest[0]) % LOCK_COUNT];
        let _alone = lock.lock().await;
        self.run_once(caller, request, &cluster, token, count).await
    }

    /// Runs the tasks of a token that was not there before, or finds those that it stands for.
    async fn run_once(
        &self,
        caller: &Caller,
        request: &RunTaskRequest,
        cluster: &str,
        token: &str,
        count: usize,
    ) -> Result<RunTaskAnswer, EcsError> {
        let now_ms = clock::wall_ms();
        let digest = digest(request)?;
        let mut records = Vec::new();
        match self.store.token(OPERATION, token, now_ms).map_err(failed)? {
            None => {
                // What is wrong with the request is found before the token is taken.
                self.wanted(cluster, request)?;
                self.store
                    .begin_token(OPERATION, token, &digest, &[], now_ms)
                    .map_err(failed)?;
            }
            Some(known) if known.digest != digest => {
                let mut error = EcsError::new(
                    ErrorKind::Conflict,
                    "The client token was used before, with another request.",
                );
                error.resource_ids = known.resources;
                return Err(error);
            }
            Some(known) if known.is_complete => {
                for id in &known.resources {
                    records.extend(self.store.task(id).map_err(failed)?);
                }
                let made = known.resources.len();
                return self.answer(caller, records, None, made);
            }
            // The host agent died meanwhile: what it made is found, and the rest made.
            Some(_) => records = self.store.tasks_with_token(token).map_err(failed)?,
        }
        let task = self.wanted(cluster, request)?;
        let submitted = self.submit(task, count.saturating_sub(records.len())).await;
        let (made, failure) = match submitted {
            Ok(submitted) => submitted,
            Err(error) => {
                self.store.end_token(OPERATION, token, None).map_err(failed)?;
                return Err(error);
            }
        };
        records.extend(made);
        let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        // Who was told of a failure may try again with the same token.
        let done = failure.is_none().then_some(ids.as_slice());
        self.store.end_token(OPERATION, token, done).map_err(failed)?;
        self.answer(caller, records, failure, count)
    }

    /// One of the tasks that a request wants.
    fn wanted(&self, cluster: &str, request: &RunTaskRequest) -> Result<NewTask, EcsError> {
        let definition = self.catalogue.active_definition(&request.task_definition)?;
        let fits_fargate = definition.network_mode.as_deref().unwrap_or("awsvpc") == "awsvpc";
        if request.launch_type.is_some() && !fits_fargate {
            return Err(EcsError::invalid(
                "Task definition does not support launch_type FARGATE.",
            ));
        }
        let options = Options {
            paths: &self.paths,
            can_execute: request.enable_execute_command.unwrap_or(false),
        };
        let mut task = new_task(&definition, request.overrides.as_ref(), options, echoed(request)?)?;
        cluster.clone_into(&mut task.cluster);
        if let Some(group) = request.group.clone().filter(|group| !group.is_empty()) {
            task.group = group;
        }
        task.started_by.clone_from(&request.started_by);
        let own = request.tags.as_deref().unwrap_or_default();
        let propagated = match request.propagate_tags.as_deref() {
            Some("TASK_DEFINITION") => self
                .catalogue
                .tags_of(&format!("task-definition/{}", task.definition))?,
            Some("SERVICE") => return Err(EcsError::invalid("propagateTags SERVICE is for tasks of services.")),
            _ => Vec::new(),
        };
        task.tags = merged(tags::checked(own)?, propagated);
        if request.enable_ecs_managed_tags.unwrap_or(false) {
            task.tags.push(("aws:ecs:clusterName".to_owned(), cluster.to_owned()));
        }
        if task.tags.len() > TAGS_MAX {
            return Err(EcsError::invalid(format!(
                "A resource can have {TAGS_MAX} tags at the most."
            )));
        }
        Ok(task)
    }

    /// Has the core run `count` such tasks: their records, or why there are none.
    async fn submit(&self, task: NewTask, count: usize) -> Result<(Vec<TaskRecord>, Option<Failure>), EcsError> {
        let records = match self.core.submit(vec![task; count]).await {
            Ok(records) => records,
            Err(CoreError::NeverFits { resource, message }) => {
                let failure = Failure {
                    arn: None,
                    reason: Some(reason(resource).to_owned()),
                    detail: Some(message),
                };
                return Ok((Vec::new(), Some(failure)));
            }
            Err(CoreError::Refused(error)) => return Err(refused(error)),
        };
        for record in &records {
            let resource = format!("task/{}/{}", record.cluster, record.id);
            self.store.tag(&resource, &record.tags, TAGS_MAX).map_err(failed)?;
        }
        Ok((records, None))
    }

    fn answer(
        &self,
        caller: &Caller,
        records: Vec<TaskRecord>,
        failure: Option<Failure>,
        count: usize,
    ) -> Result<RunTaskAnswer, EcsError> {
        let missing = count.saturating_sub(records.len());
        let tell = |record: &TaskRecord| {
            let tags = self
                .catalogue
                .tags_of(&format!("task/{}/{}", record.cluster, record.id))?;
            Ok(describe(record, &caller.region, tags))
        };
        Ok(RunTaskAnswer {
            tasks: records.iter().map(tell).collect::<Result<_, EcsError>>()?,
            failures: failure.map(|failure| vec![failure; missing]).unwrap_or_default(),
        })
    }
}

/// What the core refuses, in the words of ECS.
pub fn refused(error: api::error::ApiError) -> EcsError {
    use api::error::ErrorCode;
    match error.code {
        ErrorCode::Internal | ErrorCode::HostUnable => EcsError::server(error.message),
        ErrorCode::TaskNotFound => EcsError::task_not_found(),
        ErrorCode::InvalidParameter => EcsError::invalid(error.message),
        _ => EcsError::client(error.message),
    }
}

const fn reason(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "RESOURCE:CPU",
        Resource::Memory => "RESOURCE:MEMORY",
    }
}

fn check_lengths(request: &RunTaskRequest) -> Result<(), EcsError> {
    let lengths = [
        ("clientToken", &request.client_token, TOKEN_LEN_MAX),
        ("group", &request.group, GROUP_LEN_MAX),
        ("startedBy", &request.started_by, STARTED_BY_LEN_MAX),
    ];
    for (member, value, len_max) in lengths {
        let Some(value) = value else { continue };
        if value.len() > len_max || value.chars().any(char::is_control) {
            return Err(EcsError::invalid(format!(
                "{member} has to have at most {len_max} characters that can be printed."
            )));
        }
    }
    let group = request.group.as_deref().unwrap_or_default();
    if ["family:", "service:"].iter().any(|prefix| group.starts_with(prefix)) {
        return Err(EcsError::invalid(
            "group cannot begin with family: or service:, which are the names of ECS's own groups.",
        ));
    }
    Ok(())
}

fn echoed(request: &RunTaskRequest) -> Result<Map<String, Value>, EcsError> {
    fn put(echoed: &mut Map<String, Value>, name: &str, value: Option<&impl Serialize>) -> Result<(), EcsError> {
        if let Some(value) = value {
            let value = api::ecs::json::document(value).map_err(|error| EcsError::server(error.to_string()))?;
            echoed.insert(name.to_owned(), value);
        }
        Ok(())
    }
    let mut echoed = Map::new();
    put(&mut echoed, echo::STRATEGY, request.capacity_provider_strategy.as_ref())?;
    put(&mut echoed, echo::LAUNCH_TYPE, request.launch_type.as_ref())?;
    put(&mut echoed, echo::NETWORK, request.network_configuration.as_ref())?;
    if let Some(token) = &request.client_token {
        echoed.insert(echo::CLIENT_TOKEN.to_owned(), json!(token));
    }
    Ok(echoed)
}

/// A digest of what a request says, by which the same request is known.
fn digest(request: &RunTaskRequest) -> Result<String, EcsError> {
    let bytes = serde_json::to_vec(request).map_err(|error| EcsError::server(error.to_string()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The request's own tags, and those of others whose keys it does not have.
fn merged(mut own: Vec<(String, String)>, others: Vec<Tag>) -> Vec<(String, String)> {
    for tag in others {
        if !own.iter().any(|(key, _)| *key == tag.key) {
            own.push((tag.key, tag.value));
        }
    }
    own
}
