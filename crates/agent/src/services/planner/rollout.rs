//! What becomes of deployments: given up, returned to, complete, over.

use super::Planning;
use crate::services::account::completed_before;
use crate::services::service::{Ending, Hold, Rollback, Rollout, Service};

/// Gives up the primary deployment where too many of its tasks failed, and returns to the last one that was completed where the service wants that.
pub fn break_failed(planning: &mut Planning<'_>) {
    let breaker = planning.service.policy.breaker;
    let threshold = breaker.threshold(planning.service.desired);
    let Some(primary) = planning.service.primary() else {
        return;
    };
    // What worked before, and is returned to, is not given up.
    let is_broken = breaker.is_enabled
        && primary.rollout == Rollout::InProgress
        && primary.rolls_back.is_none()
        && primary.failed >= threshold;
    if !is_broken {
        return;
    }
    let id = primary.id.clone();
    let reason = "ECS deployment circuit breaker: tasks failed to start.";
    give_up(&mut planning.service, Ending::Broken, reason, planning.now_ms);
    planning.note(&format!("(deployment {id}) deployment failed: tasks failed to start."));
    if breaker.rolls_back
        && let Some(to) = roll_back(&mut planning.service, "ECS deployment circuit breaker", planning.now_ms)
    {
        planning.note(&format!("rolling back to (deployment {to})."));
    }
}

/// Marks the primary deployment as failed.
pub fn give_up(service: &mut Service, ending: Ending, reason: &str, now_ms: u64) {
    service.is_steady = false;
    service.hold = Hold::default();
    if let Some(primary) = service.deployments.first_mut() {
        primary.rollout = Rollout::Failed;
        primary.ending = Some(ending);
        reason.clone_into(&mut primary.reason);
        primary.updated_ms = now_ms;
        primary.finished_ms = Some(now_ms);
    }
}

/// Makes the last deployment that was completed the primary one again: its id, where there is one.
pub fn roll_back(service: &mut Service, who: &str, now_ms: u64) -> Option<String> {
    let to = completed_before(service)?.id.clone();
    let index = service.deployments.iter().position(|deployment| deployment.id == to)?;
    let failed = service.deployments.first_mut()?;
    failed.rollback = Some(Rollback {
        to: to.clone(),
        started_ms: now_ms,
        finished_ms: None,
    });
    let from = failed.id.clone();
    let mut target = service.deployments.remove(index);
    target.rollout = Rollout::InProgress;
    target.reason = format!("{who}: rolling back to deploymentId {to}");
    target.failed = 0;
    target.rolls_back = Some(from);
    target.updated_ms = now_ms;
    target.finished_ms = None;
    target.ending = None;
    service.deployments.insert(0, target);
    Some(to)
}

/// Takes note of a deployment that is complete and of those that are over.
pub fn complete(planning: &mut Planning<'_>) {
    let desired = planning.service.desired as usize;
    let Some(primary) = planning.service.primary().cloned() else {
        return;
    };
    let healthy = (planning.staying(|task| task.deployment == primary.id).iter())
        .filter(|task| planning.is_healthy(task))
        .count();
    let others = planning.service.open.iter().any(|task| task.deployment != primary.id);
    let is_whole = healthy >= desired && !others;
    if is_whole && primary.rollout == Rollout::InProgress {
        finish_primary(&mut planning.service, planning.now_ms);
        planning.note(&format!("(deployment {}) deployment completed.", primary.id));
    }
    retire(&mut planning.service);
    let is_steady = (planning.service.primary()).is_some_and(|primary| primary.rollout == Rollout::Completed)
        && is_whole
        && planning.service.open.len() == desired;
    if is_steady && !planning.service.is_steady {
        planning.note("has reached a steady state.");
    }
    planning.service.is_steady = is_steady;
}

fn finish_primary(service: &mut Service, now_ms: u64) {
    let Some(primary) = service.deployments.first_mut() else {
        return;
    };
    primary.rollout = Rollout::Completed;
    primary.was_completed = true;
    primary.reason = format!("ECS deployment {} completed.", primary.id);
    primary.failed = 0;
    primary.updated_ms = now_ms;
    primary.finished_ms = Some(now_ms);
    if let Some(failed) = primary.rolls_back.take() {
        let known = service.deployments.iter_mut().chain(service.history.iter_mut());
        for rollback in known
            .filter(|known| known.id == failed)
            .filter_map(|known| known.rollback.as_mut())
        {
            rollback.finished_ms = Some(now_ms);
        }
    }
}

/// Puts away the deployments that have no tasks left, but for the one that a failure of the primary one would return to.
fn retire(service: &mut Service) {
    let is_done = service
        .primary()
        .is_some_and(|primary| primary.rollout == Rollout::Completed);
    let kept = completed_before(service)
        .filter(|_| !is_done)
        .map(|deployment| deployment.id.clone());
    let has_tasks = |service: &Service, id: &str| service.open.iter().any(|task| task.deployment == id);
    let mut index = 1;
    while let Some(deployment) = service.deployments.get(index) {
        if Some(&deployment.id) == kept.as_ref() || has_tasks(service, &deployment.id) {
            index += 1;
        } else {
            let deployment = service.deployments.remove(index);
            service.retire(deployment);
        }
    }
}
