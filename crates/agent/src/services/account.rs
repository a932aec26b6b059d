//! Tasks as a service sees them, and what it makes of those that became healthy or ended.

use super::journal::{self, Random};
use super::policy::{self, SETTLE_MS};
use super::service::{Deployment, Hold, OpenTask, Rollout, Service, Stopping};

/// A task, as far as a service minds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Its id.
    pub id: String,
    /// The id of the deployment that wanted it.
    pub deployment: String,
    /// How far it is.
    pub phase: Phase,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is on its way to run.
    Starting,
    /// It runs.
    Running {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
        /// What its health checks say; none where it has no such checks.
        health: Option<Health>,
    },
    /// It is on its way to stop, whoever asked for that.
    Stopping,
    /// It has stopped.
    Stopped {
        /// How long it ran, in milliseconds; none where it never did.
        ran_ms: Option<u64>,
        /// Whether its health was checked.
        is_checked: bool,
        /// Whether it ended by itself or could not start: neither a client nor the host's end had it stop.
        by_itself: bool,
    },
}

/// What the health checks of a task's essential containers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not all have an answer.
    Unknown,
    /// All are well.
    Healthy,
    /// One is not.
    Unhealthy,
}

impl Phase {
    /// Whether it counts as healthy.
    #[must_use]
    pub const fn is_healthy(self, now_ms: u64) -> bool {
        match self {
            Self::Running { since_ms, health: None } => since_ms.saturating_add(SETTLE_MS) <= now_ms,
            Self::Running {
                health: Some(health), ..
            } => matches!(health, Health::Healthy),
            Self::Starting | Self::Stopping | Self::Stopped { .. } => false,
        }
    }

    /// Whether it goes on unless somebody asks it to stop.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Starting | Self::Running { .. })
    }
}

/// Notes that tasks of a deployment were started.
pub fn started(service: &mut Service, random: &mut dyn Random, deployment: &str, tasks: &[String], now_ms: u64) {
    if tasks.is_empty() {
        return;
    }
    for task in tasks {
        adopt(service, task, deployment, now_ms);
    }
    journal::note(service, random, now_ms, &journal::named("has started", tasks));
}

/// Answers for a task of a deployment from now on.
pub fn adopt(service: &mut Service, task: &str, deployment: &str, now_ms: u64) {
    if service.open.iter().all(|open| open.id != task) {
        service.is_steady = false;
        service.open.push(OpenTask {
            id: task.to_owned(),
            deployment: deployment.to_owned(),
            asked_ms: now_ms,
            was_healthy: false,
            stopping: None,
            protected_until_ms: None,
        });
    }
}

/// Notes that `task` became healthy.
pub fn became_healthy(service: &mut Service, task: &str) {
    let Some(open) = service.open.iter_mut().find(|open| open.id == task) else {
        return;
    };
    if std::mem::replace(&mut open.was_healthy, true) {
        return;
    }
    let id = open.deployment.clone();
    let (resets, is_primary) = (
        service.policy.breaker.resets,
        service.primary().is_some_and(|primary| primary.id == id),
    );
    if is_primary {
        service.hold = Hold::default();
    }
    if let Some(deployment) = service.deployment_mut(&id)
        && resets
    {
        deployment.failed = 0;
    }
}

/// Notes that `task` has stopped.
pub fn stopped(service: &mut Service, random: &mut dyn Random, task: &OpenTask, phase: Phase, now_ms: u64) {
    service.open.retain(|open| open.id != task.id);
    service.is_steady = false;
    let Phase::Stopped {
        ran_ms,
        is_checked,
        by_itself,
    } = phase
    else {
        return;
    };
    let settled = task.was_healthy || !is_checked && ran_ms.is_some_and(|ran_ms| ran_ms >= SETTLE_MS);
    let failed = match task.stopping {
        Some(Stopping::Unhealthy) => true,
        Some(Stopping::Scaling) => false,
        None => by_itself && !settled,
    };
    if failed {
        count_failure(service, random, &task.deployment, now_ms);
    }
}

/// Notes that a task of a deployment could not even be asked for, and why.
pub fn refused(service: &mut Service, random: &mut dyn Random, deployment: &str, why: &str, now_ms: u64) {
    service.is_steady = false;
    if service.hold.rounds == 0 {
        let why = why.trim_end_matches('.');
        journal::note(
            service,
            random,
            now_ms,
            &format!("was unable to place a task. Reason: {why}."),
        );
    }
    count_failure(service, random, deployment, now_ms);
}

fn count_failure(service: &mut Service, random: &mut dyn Random, deployment: &str, now_ms: u64) {
    let is_current = launching(service).is_some_and(|current| current.id == deployment);
    if let Some(deployment) = service.deployment_mut(deployment)
        && deployment.rollout == Rollout::InProgress
    {
        deployment.failed = deployment.failed.saturating_add(1);
        deployment.updated_ms = now_ms;
    }
    // Tasks of a deployment that is on its way out say nothing of those that are to come, and those that were asked for before the last
    // failure nothing new.
    if !is_current || now_ms < service.hold.until_ms {
        return;
    }
    service.hold.rounds = service.hold.rounds.saturating_add(1);
    service.hold.until_ms = now_ms.saturating_add(policy::hold_ms(service.hold.rounds));
    if service.hold.rounds == ROUNDS_UNTIL_TOLD {
        journal::note(
            service,
            random,
            now_ms,
            "is unable to consistently start tasks successfully.",
        );
    }
}

/// So many rounds of failures are told of.
const ROUNDS_UNTIL_TOLD: u32 = 3;

/// The deployment whose tasks are started: the primary one, and where that failed and nothing is rolled back, the last that was completed.
#[must_use]
pub fn launching(service: &Service) -> Option<&Deployment> {
    let primary = service.primary()?;
    if primary.rollout == Rollout::Failed {
        completed_before(service)
    } else {
        Some(primary)
    }
}

/// The last deployment before the primary one that was completed.
#[must_use]
pub fn completed_before(service: &Service) -> Option<&Deployment> {
    service
        .deployments
        .iter()
        .skip(1)
        .find(|deployment| deployment.was_completed)
}
