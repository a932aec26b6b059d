//! Deployments: rolling, given up, returned from, stopped.

use super::*;

#[test]
fn a_rolling_deployment_starts_first_where_it_may() {
    let mut scene = Scene::complete(2, (100, 200));
    scene.deploy("web:2");
    assert_eq!(scene.step(), (2, vec![]));
    scene.set("task-2", HEALTHY);
    assert_eq!(scene.step().1.len(), 1);
    scene.set("task-3", HEALTHY);
    assert_eq!(scene.step().1.len(), 1);
    scene.set("task-0", ended(None));
    scene.step();
    assert_eq!(
        scene.service.deployments.len(),
        2,
        "one task of the old deployment still stops"
    );
    scene.set("task-1", ended(None));
    scene.step();
    assert_eq!(scene.service.deployments.len(), 1);
    assert_eq!(scene.service.deployments[0].rollout, Rollout::Completed);
    assert_eq!(scene.service.history.len(), 1);
    assert!(scene.service.is_steady);
}

#[test]
fn a_rolling_deployment_stops_first_where_it_must() {
    let mut scene = Scene::complete(4, (50, 100));
    scene.deploy("web:2");
    let (starts, stops) = scene.step();
    assert_eq!((starts, stops.len()), (0, 2));
    for task in stops {
        scene.set(&task, ended(None));
    }
    assert_eq!(scene.step(), (2, vec![]));
}

#[test]
fn a_deployment_that_has_no_room_says_so_once() {
    let mut scene = Scene::complete(1, (100, 100));
    scene.deploy("web:2");
    assert_eq!(scene.step(), (0, vec![]));
    assert!(scene.has_said("because of the service deployment configuration"));
    let told = scene.service.notes.len();
    scene.step();
    assert_eq!(scene.service.notes.len(), told);
    scene.update(Update {
        policy: Some(Policy::default()),
        ..Update::default()
    });
    assert_eq!(scene.step(), (1, vec![]));
}

fn fail(scene: &mut Scene, times: usize) {
    for _ in 0..times {
        scene.now_ms += 60_000;
        let (starts, _) = scene.step();
        assert_eq!(starts, 1);
        let last = scene.tasks.last().unwrap().id.clone();
        scene.set(&last, ended(Some(1)));
        scene.step();
    }
}

fn broken(rolls_back: bool) -> Scene {
    let mut scene = Scene::complete(1, (100, 200));
    scene.service.policy.breaker = Breaker {
        is_enabled: true,
        rolls_back,
        ..Breaker::default()
    };
    scene.deploy("web:2");
    fail(&mut scene, 3);
    scene
}

#[test]
fn the_breaker_rolls_back_to_what_was_complete() {
    let mut scene = broken(true);
    assert!(scene.has_said("deployment failed: tasks failed to start."));
    assert!(scene.has_said("rolling back to (deployment ecs-svc/"));
    assert_eq!(scene.service.deployments.len(), 1);
    assert_eq!(scene.service.deployments[0].definition, "web:1");
    assert_eq!(scene.service.deployments[0].rollout, Rollout::Completed);
    let failed = &scene.service.history[0];
    assert_eq!((failed.failed, failed.rollout), (3, Rollout::Failed));
    assert!(failed.rollback.as_ref().unwrap().finished_ms.is_some());
    assert_eq!(scene.step(), (0, vec![]));
}

#[test]
fn without_a_rollback_the_old_tasks_are_kept_and_replaced() {
    let mut scene = broken(false);
    assert_eq!(scene.service.deployments.len(), 2);
    assert_eq!(scene.service.deployments[0].rollout, Rollout::Failed);
    assert_eq!(scene.step(), (0, vec![]));
    scene.set("task-0", ended(Some(SETTLE_MS)));
    let plan = scene.plan();
    assert!(matches!(&plan.actions[..], [Action::Start { definition, count: 1, .. }] if definition == "web:1"));
    assert!(!scene.service.is_steady);
}

#[test]
fn a_first_deployment_that_fails_is_not_tried_for_ever() {
    let mut scene = Scene::new(1, (100, 200));
    scene.service.policy.breaker = Breaker {
        is_enabled: true,
        rolls_back: true,
        ..Breaker::default()
    };
    fail(&mut scene, 3);
    scene.now_ms += 3_600_000;
    assert_eq!(scene.step(), (0, vec![]));
    scene.deploy("web:2");
    assert_eq!(scene.step(), (1, vec![]));
}

#[test]
fn a_healthy_task_has_failures_forgotten_unless_they_are_added_up() {
    for (resets, failed) in [(true, 0), (false, 2)] {
        let mut scene = Scene::new(2, (0, 100));
        scene.service.policy.breaker.resets = resets;
        scene.step();
        scene.set("task-0", ended(None));
        scene.set("task-1", ended(None));
        scene.step();
        scene.now_ms += 60_000;
        scene.step();
        scene.set("task-2", HEALTHY);
        scene.step();
        assert_eq!(scene.service.deployments[0].failed, failed);
    }
}

#[test]
fn a_client_stops_a_deployment() {
    let mut scene = Scene::complete(1, (100, 200));
    let first = scene.service.deployments[0].id.clone();
    let stop = |scene: &mut Scene, id: &str, how| {
        request::stop_deployment(&mut scene.service, id, how, scene.now_ms, &mut scene.random)
    };
    assert_eq!(
        stop(&mut scene, &first, StopDeployment::RollBack),
        Err(RequestError::NotInProgress)
    );
    scene.deploy("web:2");
    scene.step();
    let second = scene.service.deployments[0].id.clone();
    assert_eq!(stop(&mut scene, &second, StopDeployment::RollBack), Ok(()));
    assert_eq!(scene.service.deployments[0].id, first);
    assert_eq!(scene.step(), (0, vec!["task-1".to_owned()]));
    let mut scene = Scene::new(1, (100, 200));
    let only = scene.service.deployments[0].id.clone();
    assert_eq!(
        stop(&mut scene, &only, StopDeployment::RollBack),
        Err(RequestError::NothingToReturnTo)
    );
    assert_eq!(stop(&mut scene, &only, StopDeployment::Abort), Ok(()));
    assert_eq!(scene.step(), (0, vec![]));
}
