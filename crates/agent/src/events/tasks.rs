//! What the change of a task's record means, as events.

use std::collections::HashMap;

use api::event::{Event, EventSubject};
use api::task::{Exit, Status};

use super::event;
use crate::record::{ContainerStatus, Health, TaskRecord};

/// What was told of the tasks that have not been forgotten.
#[derive(Debug, Default)]
pub struct TaskEvents {
    told: HashMap<String, Told>,
}

#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: Status,
    containers: Vec<(ContainerStatus, Health, u32)>,
}

impl TaskEvents {
    /// Takes a task as it was found when the host agent started: nothing is told of what it is already.
    pub fn found(&mut self, record: &TaskRecord) {
        if record.status != Status::Stopped {
            self.told.insert(record.id.clone(), Told::of(record));
        }
    }

    /// Whether a task was told of, and not that it has stopped.
    #[must_use]
    pub fn knows(&self, record: &TaskRecord) -> bool {
        self.told.contains_key(&record.id)
    }

    /// What happened to a task since it was last told of.
    #[must_use]
    pub fn changed(&mut self, record: &TaskRecord) -> Vec<Event> {
        let now = Told::of(record);
        let before = if record.status == Status::Stopped {
            self.told.remove(&record.id)
        } else {
            self.told.insert(record.id.clone(), Told::of(record))
        };
        let mut events = Vec::new();
        for (index, container) in now.containers.iter().enumerate() {
            let known = before.as_ref().and_then(|before| before.containers.get(index).copied());
            events.extend(container_events(record, index, known, *container));
        }
        if before.as_ref().is_none_or(|before| before.status != now.status) {
            let is_first = before.is_none();
            let told = task_event(record, is_first);
            // What it was created as is told before what its containers do, anything else after.
            let place = if is_first { 0 } else { events.len() };
            events.insert(place, told);
        }
        events
    }
}

impl Told {
    fn of(record: &TaskRecord) -> Self {
        Self {
            status: record.status,
            containers: (record.containers.iter())
                .map(|container| (container.status, container.health, container.restarts))
                .collect(),
        }
    }
}

fn task_event(record: &TaskRecord, is_first: bool) -> Event {
    let action = if is_first && record.status == Status::Provisioning {
        "created"
    } else {
        status_name(record.status)
    };
    let mut told = about(record, EventSubject::Task, action);
    if let Some(stop) = record.stop.as_ref().filter(|_| record.status >= Status::Deactivating) {
        told.attributes
            .insert("stop_code".to_owned(), format!("{:?}", stop.code));
        told.attributes.insert("reason".to_owned(), stop.reason.clone());
    }
    told
}

fn container_events(
    record: &TaskRecord,
    index: usize,
    before: Option<(ContainerStatus, Health, u32)>,
    now: (ContainerStatus, Health, u32),
) -> Vec<Event> {
    let (Some(plan), Some(container)) = (record.plan.containers.get(index), record.containers.get(index)) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    let (status, health, restarts) = before.unwrap_or((ContainerStatus::Pending, Health::Unknown, 0));
    let mut tell = |action: &str| {
        let mut told = about(record, EventSubject::Container, action);
        told.attributes.insert("container".to_owned(), plan.name.clone());
        if action == "stopped" || action == "restarted" {
            let exit = container.exit.map(Exit::shell_code);
            told.attributes
                .extend(exit.map(|code| ("exit_code".to_owned(), code.to_string())));
            let reason = container.reason.clone();
            told.attributes
                .extend(reason.map(|reason| ("reason".to_owned(), reason)));
        }
        if action == "health" {
            let health = format!("{health:?}", health = container.health).to_lowercase();
            told.attributes.insert("health".to_owned(), health);
        }
        events.push(told);
    };
    if restarts < now.2 {
        tell("restarted");
    }
    if status != now.0 {
        tell(match now.0 {
            ContainerStatus::Pending => "pending",
            ContainerStatus::Running => "running",
            ContainerStatus::Stopped => "stopped",
        });
    }
    if health != now.1 {
        tell("health");
    }
    events
}

fn about(record: &TaskRecord, subject: EventSubject, action: &str) -> Event {
    let mut told = event(subject, action, &record.id);
    told.name = Some(record.name.clone());
    told.attributes.insert("cluster".to_owned(), record.cluster.clone());
    if let Some(origin) = &record.service {
        told.attributes.insert("service".to_owned(), origin.service.clone());
    }
    told
}

/// A status in lower case.
#[must_use]
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Provisioning => "provisioning",
        Status::Pending => "pending",
        Status::Activating => "activating",
        Status::Running => "running",
        Status::Deactivating => "deactivating",
        Status::Stopping => "stopping",
        Status::Deprovisioning => "deprovisioning",
        Status::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Stop, StopCode};
    use crate::services::view::tests::record;

    fn actions(events: &[Event]) -> Vec<(&'static str, &str)> {
        events
            .iter()
            .map(|event| (event.subject.name(), event.action.as_str()))
            .collect()
    }

    #[test]
    fn a_tasks_life_is_told_once() {
        let mut told = TaskEvents::default();
        let mut task = record("PROVISIONING");
        task.containers
            .iter_mut()
            .for_each(|container| container.status = ContainerStatus::Pending);
        assert_eq!(actions(&told.changed(&task)), [("task", "created")]);
        assert_eq!(actions(&told.changed(&task)), []);
        task.containers[0].status = ContainerStatus::Running;
        task.status = Status::Running;
        assert_eq!(
            actions(&told.changed(&task)),
            [("container", "running"), ("task", "running")]
        );
        task.containers[0].health = Health::Unhealthy;
        let events = told.changed(&task);
        assert_eq!(actions(&events), [("container", "health")]);
        assert_eq!(events[0].attributes["health"], "unhealthy");
        task.containers[0].restarts = 1;
        assert_eq!(actions(&told.changed(&task)), [("container", "restarted")]);
        task.containers[0].status = ContainerStatus::Stopped;
        task.containers[0].exit = Some(Exit::Signal(9));
        task.status = Status::Stopped;
        let reason = "it ended".to_owned();
        let code = StopCode::EssentialContainerExited;
        task.stop = Some(Stop { code, reason });
        let events = told.changed(&task);
        assert_eq!(actions(&events), [("container", "stopped"), ("task", "stopped")]);
        assert_eq!(events[0].attributes["exit_code"], "137");
        assert_eq!(events[1].attributes["stop_code"], "EssentialContainerExited");
        assert_eq!(events[1].attributes["service"], "web");
        assert!(told.told.is_empty());
    }

    #[test]
    fn what_was_found_is_no_news() {
        let mut told = TaskEvents::default();
        let task = record("RUNNING");
        told.found(&task);
        assert_eq!(actions(&told.changed(&task)), []);
    }
}
