//! What clients change of a service, as functions of the service: the planner then finds out what follows.

use thiserror::Error;

use super::account::completed_before;
use super::journal::{self, Random};
use super::planner::rollout;
use super::policy::Policy;
use super::service::{Deployment, Ending, Hold, Rollout, Service, ServiceStatus, TaskOptions};

/// Why a change is refused, in the words of ECS where it has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It is deleted.
    #[error("Service was not ACTIVE.")]
    NotActive,
    /// It is to have tasks, and the request does not insist.
    #[error("The service cannot be stopped while it is scaled above 0.")]
    ScaledAboveZero,
    /// It is over.
    #[error("the deployment is not in progress: only one that is can be stopped")]
    NotInProgress,
    /// No deployment before it was complete.
    #[error("there is no completed deployment to roll back to: stop the deployment with stopType ABORT")]
    NothingToReturnTo,
    /// The service answers for no such task.
    #[error("the task is none of the service's")]
    NoSuchTask,
}

/// What a service is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewService {
    /// The name of its cluster.
    pub cluster: String,
    /// Its own.
    pub name: String,
    /// `family:revision`.
    pub definition: String,
    /// So many tasks are to run.
    pub desired: u32,
    /// How its deployments go.
    pub policy: Policy,
    /// What its tasks are given beside their definition.
    pub tasks: TaskOptions,
    /// Seconds after a task's start in which failed health checks do not count.
    pub grace_seconds: u32,
    /// What is only told again.
    pub echoed: serde_json::Map<String, serde_json::Value>,
    /// A digest of the request.
    pub fingerprint: String,
}

/// What is to change; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// So many tasks are to run.
    pub desired: Option<u32>,
    /// `family:revision`.
    pub definition: Option<String>,
    /// Whether there is a deployment even if nothing changes that needs one.
    pub forces_deployment: bool,
    /// How its deployments go.
    pub policy: Option<Policy>,
    /// What its tasks are given; tasks that run keep what they were given.
    pub tasks: Option<TaskOptions>,
    /// Seconds after a task's start in which failed health checks do not count.
    pub grace_seconds: Option<u32>,
    /// What is only told again, by member.
    pub echoed: serde_json::Map<String, serde_json::Value>,
}

/// How a deployment is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopDeployment {
    /// The last one that was completed follows.
    RollBack,
    /// It is left as it is.
    Abort,
}

/// A new service, which has no task yet.
#[must_use]
pub fn create(new: NewService, now_ms: u64, random: &mut dyn Random) -> Service {
    let mut service = Service {
        cluster: new.cluster,
        name: new.name,
        status: ServiceStatus::Active,
        desired: new.desired,
        policy: new.policy,
        tasks: new.tasks,
        grace_seconds: new.grace_seconds,
        echoed: new.echoed,
        created_ms: now_ms,
        fingerprint: new.fingerprint,
        deployments: Vec::new(),
        history: Vec::new(),
        open: Vec::new(),
        hold: Hold::default(),
        is_steady: false,
        is_stuck: false,
        notes: Vec::new(),
    };
    begin_deployment(&mut service, new.definition, now_ms, random);
    service
}

/// Changes a service; a new deployment begins where its tasks are to be others.
///
/// # Errors
/// [`RequestError::NotActive`]
pub fn update(service: &mut Service, update: Update, now_ms: u64, random: &mut dyn Random) -> Result<(), RequestError> {
    if service.status != ServiceStatus::Active {
        return Err(RequestError::NotActive);
    }
    let definition = service
        .primary()
        .map(|primary| primary.definition.clone())
        .unwrap_or_default();
    let is_new = update.definition.as_ref().is_some_and(|wanted| *wanted != definition);
    service.desired = update.desired.unwrap_or(service.desired);
    service.policy = update.policy.unwrap_or(service.policy);
    service.grace_seconds = update.grace_seconds.unwrap_or(service.grace_seconds);
    if let Some(tasks) = update.tasks {
        service.tasks = tasks;
    }
    service.echoed.extend(update.echoed);
    service.is_steady = false;
    service.is_stuck = false;
    if is_new || update.forces_deployment {
        begin_deployment(service, update.definition.unwrap_or(definition), now_ms, random);
    }
    Ok(())
}

fn begin_deployment(service: &mut Service, definition: String, now_ms: u64, random: &mut dyn Random) {
    let id = journal::deployment_id(random);
    if let Some(previous) = service.deployments.first_mut()
        && previous.rollout == Rollout::InProgress
    {
        previous.ending = Some(Ending::Replaced);
        previous.updated_ms = now_ms;
        previous.finished_ms = Some(now_ms);
    }
    service.hold = Hold::default();
    service.deployments.insert(
        0,
        Deployment {
            reason: format!("ECS deployment {id} in progress."),
            id,
            definition,
            rollout: Rollout::InProgress,
            was_completed: false,
            failed: 0,
            rolls_back: None,
            rollback: None,
            created_ms: now_ms,
            updated_ms: now_ms,
            finished_ms: None,
            ending: None,
        },
    );
}

/// Protects a task from being stopped for there being too many tasks, or newer ones, until then; [`None`] ends the protection.
///
/// # Errors
/// [`RequestError::NoSuchTask`]
pub fn protect(service: &mut Service, task: &str, until_ms: Option<u64>) -> Result<(), RequestError> {
    let open = service.open.iter_mut().find(|open| open.id == task);
    open.ok_or(RequestError::NoSuchTask)?.protected_until_ms = until_ms;
    Ok(())
}

/// Deletes a service: it drains.
///
/// # Errors
/// [`RequestError::ScaledAboveZero`] where it is to have tasks, unless `force`. One that is deleted already is not minded.
pub fn delete(service: &mut Service, force: bool) -> Result<(), RequestError> {
    if service.status != ServiceStatus::Active {
        return Ok(());
    }
    if service.desired > 0 && !force {
        return Err(RequestError::ScaledAboveZero);
    }
    service.status = ServiceStatus::Draining;
    service.desired = 0;
    service.is_steady = false;
    Ok(())
}

/// Stops the deployment `id`.
///
/// # Errors
/// [`RequestError::NotInProgress`] where it is not the primary one or not in progress, [`RequestError::NothingToReturnTo`].
pub fn stop_deployment(
    service: &mut Service,
    id: &str,
    how: StopDeployment,
    now_ms: u64,
    random: &mut dyn Random,
) -> Result<(), RequestError> {
    let is_under_way = service.status == ServiceStatus::Active
        && (service.primary()).is_some_and(|primary| primary.id == id && primary.rollout == Rollout::InProgress);
    if !is_under_way {
        return Err(RequestError::NotInProgress);
    }
    if how == StopDeployment::RollBack && completed_before(service).is_none() {
        return Err(RequestError::NothingToReturnTo);
    }
    rollout::give_up(
        service,
        Ending::Stopped,
        "ECS deployment was stopped by a client.",
        now_ms,
    );
    journal::note(
        service,
        random,
        now_ms,
        &format!("(deployment {id}) deployment stopped."),
    );
    if how == StopDeployment::RollBack
        && let Some(to) = rollout::roll_back(service, "ECS deployment was stopped", now_ms)
    {
        journal::note(service, random, now_ms, &format!("rolling back to (deployment {to})."));
    }
    Ok(())
}
