//! How many tasks of which deployment are started and stopped.

use super::{Phase, Planning};
use crate::services::account::launching;
use crate::services::service::{OpenTask, Rollout, Stopping};

/// Brings the tasks closer to what the service is to be.
pub fn deploy(planning: &mut Planning<'_>) {
    let Some(launched) = launching(&planning.service).map(|deployment| deployment.id.clone()) else {
        // A first deployment that failed: what runs of it, runs on, but no more than are wanted.
        stop_excess(planning, |_| true);
        return;
    };
    let is_fallback = (planning.service.primary()).is_some_and(|primary| primary.rollout == Rollout::Failed);
    if is_fallback {
        stop_failed(planning, &launched);
        stop_excess(planning, |_| true);
    } else {
        stop_excess(planning, |task| task.deployment == launched);
        stop_others(planning, &launched);
    }
    // Where a failed deployment is fallen back from, its healthy tasks count.
    let staying = count(
        planning
            .staying(|task| is_fallback || task.deployment == launched)
            .len(),
    );
    start(planning, &launched, planning.service.desired.saturating_sub(staying));
}

/// Of the tasks that are meant, no more stay than are wanted.
fn stop_excess(planning: &mut Planning<'_>, is_meant: impl Fn(&OpenTask) -> bool) {
    let staying = planning.staying(is_meant);
    let excess = staying.len().saturating_sub(planning.service.desired as usize);
    let going: Vec<_> = (staying.iter())
        .filter(|task| planning.may_go(task))
        .take(excess)
        .collect();
    for task in going {
        planning.stop(&task.id, Stopping::Scaling);
    }
}

/// Of a failed deployment, only what is healthy stays.
fn stop_failed(planning: &mut Planning<'_>, launched: &str) {
    for task in planning.staying(|task| task.deployment != launched) {
        if !planning.is_healthy(&task) && planning.may_go(&task) {
            planning.stop(&task.id, Stopping::Scaling);
        }
    }
}

/// Stops tasks of other deployments: those that are not healthy, since nobody relies on them, and so many of the healthy ones that the minimum
/// stays. That may be before others have taken their place: what is stopped makes room for them.
fn stop_others(planning: &mut Planning<'_>, launched: &str) {
    let minimum = planning.service.policy.minimum(planning.service.desired);
    let healthy = planning
        .staying(|_| true)
        .iter()
        .filter(|task| planning.is_healthy(task))
        .count();
    let mut spare = count(healthy).saturating_sub(minimum);
    // The healthy ones come last, and the oldest last of those.
    for task in planning.staying(|task| task.deployment != launched) {
        if !planning.may_go(&task) {
            continue;
        }
        if !planning.is_healthy(&task) {
            planning.stop(&task.id, Stopping::Scaling);
        } else if spare > 0 {
            spare -= 1;
            planning.stop(&task.id, Stopping::Scaling);
        }
    }
}

/// Starts so many tasks, as far as there may be more of them and nothing holds them back.
fn start(planning: &mut Planning<'_>, launched: &str, wanted: u32) {
    if wanted == 0 {
        return;
    }
    let until_ms = planning.service.hold.until_ms;
    if until_ms > planning.now_ms {
        planning.wake_at(until_ms);
        return;
    }
    let maximum = planning.service.policy.maximum(planning.service.desired);
    let room = maximum.saturating_sub(count(planning.service.open.len()));
    let starts = wanted.min(room);
    if starts > 0 {
        planning.starts = Some((starts, launched.to_owned()));
    } else {
        tell_if_stuck(planning);
    }
}

/// Says so where nothing can be started for want of room, nothing may be stopped, and nothing is on its way that would change that.
fn tell_if_stuck(planning: &mut Planning<'_>) {
    let all_stay = (planning.service.open.iter()).all(|task| {
        task.stopping.is_none() && matches!(planning.phase(task), Phase::Running { .. }) && planning.is_healthy(task)
    });
    if all_stay && !planning.service.is_stuck {
        planning.service.is_stuck = true;
        planning.note(
            "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the \
             minimumHealthyPercent or maximumPercent value and try again.",
        );
    }
}

fn count(tasks: usize) -> u32 {
    u32::try_from(tasks).unwrap_or(u32::MAX)
}
