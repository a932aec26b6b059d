//! Services in a world of chance: tasks that fail, die and take their time, clients that change their minds, host agents that are killed between
//! any two steps. What has to hold, holds at every step, and in the end every service has what it is to have.

mod world;

use proptest::prelude::*;

use super::policy::{Breaker, Policy};
use super::request::{self, Update};
use super::service::{Rollout, ServiceStatus};
use world::World;

pub use world::Seeded;

fn check_converges(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..8 {
        world.run(25);
        world.interfere();
    }
    // In the end somebody deploys what works.
    world.is_rough = false;
    let desired = world.service.desired;
    world.update(Update {
        definition: Some("good:last".to_owned()),
        forces_deployment: true,
        ..Update::default()
    });
    world.settle();
    assert_eq!(world.healthy(), desired as usize);
    assert_eq!(world.existing(), desired as usize);
    assert!(
        world
            .tasks
            .values()
            .all(|task| task.definition == "good:last" || !task.phase.goes_on())
    );
    let service = &world.service;
    assert_eq!(
        (service.deployments.len(), service.deployments[0].rollout),
        (1, Rollout::Completed)
    );
    assert!(
        service.notes[0].message.ends_with("has reached a steady state."),
        "{:?}",
        service.notes[0]
    );
}

fn check_rolls_back(seed: u64, bad: &str, desired: u32) {
    let mut world = World::new(seed);
    world.is_rough = false;
    world.update(Update {
        desired: Some(desired),
        policy: Some(Policy {
            breaker: Breaker {
                is_enabled: true,
                rolls_back: true,
                ..Breaker::default()
            },
            ..Policy::default()
        }),
        ..Update::default()
    });
    world.settle();
    let good = world.service.deployments[0].id.clone();
    world.update(Update {
        definition: Some(format!("{bad}:2")),
        ..Update::default()
    });
    world.settle();
    assert_eq!(world.rollbacks, 1);
    let service = &world.service;
    assert_eq!(service.deployments.len(), 1);
    assert_eq!(
        (&service.deployments[0].id, service.deployments[0].rollout),
        (&good, Rollout::Completed)
    );
    let failed = &service.history[0];
    assert_eq!(failed.definition, format!("{bad}:2"));
    assert_eq!(failed.rollout, Rollout::Failed);
    assert!(failed.failed >= service.policy.breaker.threshold(desired));
    assert_eq!(
        failed.rollback.as_ref().map(|rollback| rollback.to.as_str()),
        Some(good.as_str())
    );
    assert_eq!(world.healthy(), desired as usize);
}

fn check_deletes(seed: u64) {
    let mut world = World::new(seed);
    world.run(200);
    request::delete(&mut world.service, true).unwrap();
    world.run(2000);
    assert_eq!(world.service.status, ServiceStatus::Inactive);
    assert_eq!(world.existing(), 0);
    assert!(world.service.deployments.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_service_comes_to_what_it_is_to_be(seed: u64) {
        check_converges(seed);
    }

    #[test]
    fn a_bad_deployment_is_rolled_back(seed: u64, bad in prop::sample::select(vec!["crash", "stall", "sick"]), desired in 1..20_u32) {
        check_rolls_back(seed, bad, desired);
    }

    #[test]
    fn a_deleted_service_leaves_no_task(seed: u64) {
        check_deletes(seed);
    }
}
