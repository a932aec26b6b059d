//! A task's record as its service sees it.

use api::task::Status;

use super::account::{Health, Phase, TaskView};
use crate::record::{self, StopCode, TaskRecord};

/// The view of a task that a service wanted; none of any other task.
#[must_use]
pub fn view(record: &TaskRecord) -> Option<TaskView> {
    let origin = record.service.as_ref()?;
    Some(TaskView {
        id: record.id.clone(),
        deployment: origin.deployment.clone(),
        phase: phase(record),
    })
}

fn phase(record: &TaskRecord) -> Phase {
    match record.status {
        Status::Stopped => stopped(record),
        _ if !record.is_wanted => Phase::Stopping,
        Status::Provisioning | Status::Pending | Status::Activating => Phase::Starting,
        Status::Running => Phase::Running {
            since_ms: record.times.started_ms.unwrap_or(record.times.created_ms),
            health: health(record),
        },
        Status::Deactivating | Status::Stopping | Status::Deprovisioning => Phase::Stopping,
    }
}

fn stopped(record: &TaskRecord) -> Phase {
    let times = &record.times;
    let ended_ms = times.execution_stopped_ms.or(times.stopping_ms).or(times.stopped_ms);
    let ran_ms = (times.started_ms.zip(ended_ms)).map(|(started_ms, ended_ms)| ended_ms.saturating_sub(started_ms));
    let by_itself = (record.stop.as_ref()).is_none_or(|stop| {
        matches!(
            stop.code,
            StopCode::TaskFailedToStart | StopCode::EssentialContainerExited
        )
    });
    Phase::Stopped {
        ran_ms,
        is_checked: health(record).is_some(),
        by_itself,
    }
}

/// What the health checks of the essential containers say together; none where there are none.
fn health(record: &TaskRecord) -> Option<Health> {
    let checked = record
        .plan
        .containers
        .iter()
        .zip(&record.containers)
        .filter(|(plan, container)| {
            plan.is_essential && (plan.health_check.is_some() || container.health != record::Health::Unknown)
        });
    checked.fold(None, |all, (_, container)| {
        let one = match container.health {
            record::Health::Unknown => Health::Unknown,
            record::Health::Healthy => Health::Healthy,
            record::Health::Unhealthy => Health::Unhealthy,
        };
        Some(match (all, one) {
            (None, one) => one,
            (Some(Health::Unhealthy), _) | (_, Health::Unhealthy) => Health::Unhealthy,
            (Some(Health::Unknown), _) | (_, Health::Unknown) => Health::Unknown,
            (Some(Health::Healthy), Health::Healthy) => Health::Healthy,
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::record::{Health as Checked, Stop, TaskRecord};

    use super::*;

    /// A task of two containers, the first of which is essential.
    pub fn record(status: &str) -> TaskRecord {
        let container = |name: &str, is_essential: bool| {
            serde_json::json!({
                "name": name, "image": "web", "pull": "Missing", "is_essential": is_essential, "env": [], "secrets": [],
                "stdin": false, "cpu_units": 0, "depends_on": [], "stop_timeout_seconds": 30, "ulimits": [],
                "capabilities_added": [], "capabilities_dropped": [], "no_new_privileges": false, "is_read_only": false,
                "has_init_process": false, "mounts": [], "hosts": [], "labels": [], "logging": {},
            })
        };
        let state = serde_json::json!({
            "id": "c", "runtime_id": "r", "command": [], "status": "RUNNING", "health": "UNKNOWN", "restarts": 0,
        });
        let record = serde_json::json!({
            "id": "t", "cluster": "default", "name": "n", "definition": "web:1", "group": "service:web",
            "service": {"service": "web", "deployment": "ecs-svc/1"}, "tags": [], "echoed": {},
            "plan": {
                "vcpu_milli": 250, "memory_mib": 512, "scratch_mib": 1, "waits_for_vcpus": true, "can_execute": false, "sysctls": [],
                "volumes": [], "containers": [container("app", true), container("side", false)],
            },
            "is_removed_when_stopped": false, "is_wanted": true, "status": status, "version": 1,
            "times": {"created_ms": 1, "started_ms": 5}, "clock": {}, "containers": [state.clone(), state], "core": null,
        });
        serde_json::from_value(record).unwrap()
    }

    fn check(record: &TaskRecord, expected: Phase) {
        assert_eq!(view(record).unwrap().phase, expected);
    }

    #[test]
    fn only_checked_essential_containers_make_a_task_healthy_or_not() {
        let mut record = record("RUNNING");
        let running = |health| Phase::Running { since_ms: 5, health };
        check(&record, running(None));
        record.containers[1].health = Checked::Unhealthy;
        check(&record, running(None));
        record.containers[0].health = Checked::Healthy;
        check(&record, running(Some(Health::Healthy)));
        record.plan.containers[1].is_essential = true;
        check(&record, running(Some(Health::Unhealthy)));
    }

    #[test]
    fn a_task_that_is_not_wanted_any_more_is_stopping() {
        let mut record = record("RUNNING");
        record.is_wanted = false;
        check(&record, Phase::Stopping);
    }

    #[test]
    fn who_stopped_a_task_makes_a_difference() {
        let mut record = record("STOPPED");
        record.times.stopped_ms = Some(25);
        for (code, by_itself) in [
            (StopCode::EssentialContainerExited, true),
            (StopCode::TaskFailedToStart, true),
            (StopCode::UserInitiated, false),
            (StopCode::TerminationNotice, false),
        ] {
            let reason = String::new();
            record.stop = Some(Stop { code, reason });
            let expected = Phase::Stopped {
                ran_ms: Some(20),
                is_checked: false,
                by_itself,
            };
            check(&record, expected);
        }
    }

    #[test]
    fn a_task_without_a_service_is_nobodys() {
        let mut record = record("RUNNING");
        record.service = None;
        assert_eq!(view(&record), None);
    }
}
