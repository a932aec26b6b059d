//! From the life cycle's state to what clients see, and what of that is news.

use api::task::Status;

use crate::clock;
use crate::lifecycle::{Container, Phase, Stage, State};
use crate::record::{ContainerRecord, ContainerStatus, TaskRecord};

/// Writes into the record where the task is now.
pub fn note(record: &mut TaskRecord, state: &State) {
    let (now_ms, monotonic_ms) = (clock::wall_ms(), clock::monotonic_ms());
    for (told, container) in record.containers.iter_mut().zip(&state.containers) {
        note_container(told, container, now_ms);
    }
    record.status = state.status();
    record.is_wanted = state.is_wanted();
    if record.stop != state.stop {
        record.stop.clone_from(&state.stop);
    }
    let times = &mut record.times;
    if matches!(state.phase, Phase::Activating(_) | Phase::Running) {
        times.connected_ms.get_or_insert(now_ms);
        times.connected_monotonic_ms.get_or_insert(monotonic_ms);
    }
    if state.phase == Phase::Running {
        times.started_ms.get_or_insert(now_ms);
    }
    if state.stop.is_some() {
        times.stopping_ms.get_or_insert(now_ms);
        let is_over = state.containers.iter().all(|container| container.stage == Stage::Over);
        if is_over && state.has_started() {
            times.execution_stopped_ms.get_or_insert(now_ms);
            times.ran_ms = times.ran_ms.or(times.running_ms(monotonic_ms));
        }
    }
    if record.status == Status::Stopped {
        times.stopped_ms.get_or_insert(now_ms);
    }
}

fn note_container(told: &mut ContainerRecord, container: &Container, now_ms: u64) {
    let status = container.status();
    let runs_again = told.restarts != container.restarts;
    if status == ContainerStatus::Running && (told.status != status || runs_again) {
        told.started_ms = Some(now_ms);
    }
    if status != ContainerStatus::Running && told.status == ContainerStatus::Running || runs_again {
        told.finished_ms = Some(now_ms);
    }
    told.status = status;
    told.exit = container.exit;
    told.health = container.health;
    told.restarts = container.restarts;
    if told.reason != container.reason {
        told.reason.clone_from(&container.reason);
    }
}

/// Whether `new` tells more than `old`. Clock points alone are no news: they come with what they are points of.
pub fn differs(old: &TaskRecord, new: &TaskRecord) -> bool {
    old.status != new.status
        || old.is_wanted != new.is_wanted
        || old.stop != new.stop
        || old.tags != new.tags
        || old.network != new.network
        || old.containers != new.containers
}
