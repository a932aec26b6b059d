//! Single decisions of the planner.

mod deployments;

use super::account::{Health, Phase, TaskView};
use super::planner::{Action, Plan, plan};
use super::policy::{Breaker, Policy, SETTLE_MS};
use super::request::{self, NewService, RequestError, StopDeployment, Update};
use super::service::{Rollout, Service, ServiceStatus, TaskOptions};
use super::simulation::Seeded;
use super::{account, journal};

const STARTING: Phase = Phase::Starting;
const HEALTHY: Phase = running(None);

const fn running(health: Option<Health>) -> Phase {
    Phase::Running { since_ms: 0, health }
}

fn ended(ran_ms: Option<u64>) -> Phase {
    Phase::Stopped {
        ran_ms,
        is_checked: false,
        by_itself: true,
    }
}

/// A service and its tasks, at a time when all that ran from the beginning is settled.
struct Scene {
    service: Service,
    tasks: Vec<TaskView>,
    now_ms: u64,
    random: Seeded,
}

impl Scene {
    fn new(desired: u32, percents: (u32, u32)) -> Self {
        let mut random = Seeded(1);
        let new = NewService {
            cluster: "default".to_owned(),
            name: "web".to_owned(),
            definition: "web:1".to_owned(),
            desired,
            policy: Policy {
                minimum_healthy_percent: percents.0,
                maximum_percent: percents.1,
                breaker: Breaker::default(),
            },
            tasks: TaskOptions::default(),
            grace_seconds: 0,
            echoed: serde_json::Map::new(),
            fingerprint: String::new(),
        };
        Self {
            service: request::create(new, 0, &mut random),
            tasks: Vec::new(),
            now_ms: SETTLE_MS,
            random,
        }
    }

    /// One whose first deployment is complete.
    fn complete(desired: u32, percents: (u32, u32)) -> Self {
        let mut scene = Self::new(desired, percents);
        scene.step();
        scene.all(HEALTHY);
        scene.step();
        assert_eq!(scene.service.deployments[0].rollout, Rollout::Completed);
        scene
    }

    fn plan(&mut self) -> Plan {
        plan(&self.service, &self.tasks, self.now_ms, &mut self.random)
    }

    /// Plans and acts: what was started and what was stopped.
    fn step(&mut self) -> (u32, Vec<String>) {
        let plan = self.plan();
        self.service = plan.service;
        let (mut starts, mut stops) = (0, Vec::new());
        for action in plan.actions {
            match action {
                Action::Stop { task, .. } => {
                    self.set(&task, Phase::Stopping);
                    stops.push(task);
                }
                Action::Start { deployment, count, .. } => {
                    starts += count;
                    let known = self.tasks.len();
                    let ids: Vec<String> = (0..count as usize)
                        .map(|more| format!("task-{}", known + more))
                        .collect();
                    account::started(&mut self.service, &mut self.random, &deployment, &ids, self.now_ms);
                    self.tasks.extend(ids.into_iter().map(|id| TaskView {
                        id,
                        deployment: deployment.clone(),
                        phase: STARTING,
                    }));
                }
            }
        }
        (starts, stops)
    }

    fn set(&mut self, task: &str, phase: Phase) {
        self.tasks.iter_mut().find(|view| view.id == task).unwrap().phase = phase;
    }

    fn all(&mut self, phase: Phase) {
        self.tasks.iter_mut().for_each(|view| view.phase = phase);
    }

    fn update(&mut self, update: Update) {
        request::update(&mut self.service, update, self.now_ms, &mut self.random).unwrap();
    }

    fn deploy(&mut self, definition: &str) {
        self.update(Update {
            definition: Some(definition.to_owned()),
            ..Update::default()
        });
    }

    fn has_said(&self, what: &str) -> bool {
        self.service.notes.iter().any(|note| note.message.contains(what))
    }
}

#[test]
fn a_new_service_starts_its_tasks_and_is_steady_once_they_settled() {
    let mut scene = Scene::new(3, (100, 200));
    assert_eq!(scene.step(), (3, vec![]));
    assert!(scene.has_said("(service web) has started 3 tasks: (task task-0) (task task-1) (task task-2)."));
    assert_eq!(scene.step(), (0, vec![]));
    scene.all(Phase::Running {
        since_ms: SETTLE_MS,
        health: None,
    });
    assert_eq!(scene.plan().wake_at_ms, Some(2 * SETTLE_MS));
    assert!(!scene.plan().service.is_steady);
    scene.now_ms = 2 * SETTLE_MS;
    scene.step();
    assert!(scene.service.is_steady && scene.has_said("has reached a steady state."));
    let told = scene.service.notes.len();
    scene.step();
    assert_eq!(scene.service.notes.len(), told, "the same is not said twice");
}

#[test]
fn a_task_that_dies_is_replaced_at_once() {
    let mut scene = Scene::complete(2, (100, 200));
    scene.set("task-1", ended(Some(SETTLE_MS)));
    assert_eq!(scene.step(), (1, vec![]));
    assert_eq!(scene.service.deployments[0].rollout, Rollout::Completed);
}

#[test]
fn a_task_that_fails_again_and_again_is_kept_away_for_longer_and_longer() {
    let mut scene = Scene::new(1, (100, 200));
    let mut waits = Vec::new();
    for round in 0..4 {
        assert_eq!(scene.step(), (1, vec![]), "{round}");
        let task = format!("task-{round}");
        scene.set(&task, ended(Some(10)));
        assert_eq!(scene.step(), (0, vec![]));
        let until_ms = scene.plan().wake_at_ms.unwrap();
        waits.push(until_ms - scene.now_ms);
        scene.now_ms = until_ms;
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000]);
    assert!(scene.has_said("is unable to consistently start tasks successfully."));
    assert_eq!(scene.service.deployments[0].failed, 4);
}

#[test]
fn what_a_client_stops_is_no_failure() {
    let mut scene = Scene::new(1, (100, 200));
    scene.step();
    scene.set(
        "task-0",
        Phase::Stopped {
            ran_ms: Some(1),
            is_checked: false,
            by_itself: false,
        },
    );
    assert_eq!(scene.step(), (1, vec![]));
    assert_eq!(scene.service.deployments[0].failed, 0);
}

#[test]
fn fewer_tasks_are_wanted_and_those_that_do_not_run_go_first() {
    let mut scene = Scene::complete(2, (100, 200));
    scene.update(Update {
        desired: Some(3),
        ..Update::default()
    });
    assert_eq!(scene.step(), (1, vec![]));
    scene.update(Update {
        desired: Some(1),
        ..Update::default()
    });
    let (starts, stops) = scene.step();
    assert_eq!(starts, 0);
    assert_eq!(stops[..], ["task-0".to_owned(), "task-2".to_owned()][..]);
    assert_eq!(scene.service.deployments.len(), 1);
}

#[test]
fn a_protected_task_stays_until_its_protection_ends() {
    let mut scene = Scene::complete(2, (0, 200));
    let until_ms = Some(scene.now_ms + 1_000);
    request::protect(&mut scene.service, "task-0", until_ms).unwrap();
    let unknown = request::protect(&mut scene.service, "other", until_ms);
    assert_eq!(unknown, Err(RequestError::NoSuchTask));
    scene.update(Update {
        desired: Some(0),
        ..Update::default()
    });
    assert_eq!(scene.step(), (0, vec!["task-1".to_owned()]));
    assert_eq!(scene.plan().wake_at_ms, until_ms);
    scene.now_ms += 1_000;
    assert_eq!(scene.step(), (0, vec!["task-0".to_owned()]));
}

#[test]
fn a_protected_task_outlives_a_deployment_but_not_its_health() {
    let mut scene = Scene::complete(1, (0, 200));
    let until_ms = Some(scene.now_ms + 1_000_000);
    request::protect(&mut scene.service, "task-0", until_ms).unwrap();
    scene.deploy("web:2");
    assert_eq!(scene.step(), (1, vec![]));
    scene.set("task-0", running(Some(Health::Unhealthy)));
    assert_eq!(scene.step().1, ["task-0"]);
}

#[test]
fn an_unhealthy_task_is_replaced_but_not_within_the_grace() {
    let mut scene = Scene::complete(1, (100, 200));
    scene.service.grace_seconds = 60;
    scene.set("task-0", running(Some(Health::Unhealthy)));
    assert_eq!(scene.step().1.len(), 0);
    assert_eq!(scene.plan().wake_at_ms, Some(60_000));
    scene.now_ms = 60_000;
    assert_eq!(scene.step(), (1, vec!["task-0".to_owned()]));
    assert!(scene.has_said("(task task-0) failed container health checks."));
}

#[test]
fn a_checked_task_counts_when_its_check_says_so() {
    let mut scene = Scene::new(1, (100, 200));
    scene.step();
    scene.set("task-0", running(Some(Health::Unknown)));
    assert!(!scene.plan().service.is_steady);
    assert_eq!(scene.plan().wake_at_ms, None);
    scene.set("task-0", running(Some(Health::Healthy)));
    assert!(scene.plan().service.is_steady);
}

#[test]
fn a_refusal_is_told_and_counts() {
    let mut scene = Scene::new(1, (100, 200));
    let id = scene.service.deployments[0].id.clone();
    account::refused(
        &mut scene.service,
        &mut scene.random,
        &id,
        "RESOURCE:MEMORY.",
        scene.now_ms,
    );
    assert!(scene.has_said("was unable to place a task. Reason: RESOURCE:MEMORY."));
    assert_eq!(scene.service.deployments[0].failed, 1);
    assert_eq!(scene.step(), (0, vec![]));
}

#[test]
fn a_task_whose_start_was_not_stored_is_not_started_twice() {
    let mut scene = Scene::new(1, (100, 200));
    let before = scene.service.clone();
    scene.step();
    scene.service = before;
    assert_eq!(scene.step(), (0, vec![]));
    assert_eq!(scene.service.open.len(), 1);
}

#[test]
fn a_stop_that_was_not_performed_is_asked_for_again() {
    let mut scene = Scene::complete(1, (100, 200));
    request::delete(&mut scene.service, true).unwrap();
    scene.step();
    scene.set("task-0", HEALTHY);
    assert_eq!(scene.step().1, ["task-0"]);
    scene.set("task-0", ended(None));
    scene.step();
    assert_eq!(scene.service.status, ServiceStatus::Inactive);
    assert!(scene.service.deployments.is_empty());
}

#[test]
fn what_is_deleted_or_in_use_is_not_changed() {
    let mut scene = Scene::complete(1, (100, 200));
    assert_eq!(
        request::delete(&mut scene.service, false),
        Err(RequestError::ScaledAboveZero)
    );
    request::delete(&mut scene.service, true).unwrap();
    assert_eq!(request::delete(&mut scene.service, false), Ok(()));
    let refused = request::update(&mut scene.service, Update::default(), 0, &mut scene.random);
    assert_eq!(refused, Err(RequestError::NotActive));
}

#[test]
fn events_are_bounded() {
    let mut scene = Scene::new(0, (100, 200));
    for number in 0..200 {
        journal::note(&mut scene.service, &mut scene.random, number, "happened.");
    }
    assert_eq!(scene.service.notes.len(), journal::NOTES_MAX);
    assert_eq!(scene.service.notes[0].at_ms, 199);
}
