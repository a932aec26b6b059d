//! Chance, and the tasks that it makes.

use crate::lifecycle::Rules;
use crate::lifecycle::tests::{container, rules};
use crate::record::{Condition, HealthCheck, RestartPolicy};

/// Chance, from a seed (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Some task: one to three containers that depend on each other, or not.
pub fn some_rules(chance: &mut Chance) -> Rules {
    let count = 1 + chance.below(3);
    let containers = (0..count).map(|index| {
        let mut rules = container(&format!("container-{index}"));
        rules.is_essential = index + 1 == count || chance.one_in(2);
        if index > 0 && chance.one_in(2) {
            let conditions = [
                Condition::Start,
                Condition::Complete,
                Condition::Success,
                Condition::Healthy,
            ];
            rules.depends_on = vec![(chance.below(index), conditions[chance.below(4)])];
        }
        if chance.one_in(3) {
            rules.start_timeout_seconds = Some(1);
        }
        if chance.one_in(3) {
            rules.restart = Some(RestartPolicy {
                ignored_exit_codes: vec![2],
                attempt_period_seconds: u32::from(chance.one_in(2)),
            });
        }
        rules.health_check = Some(HealthCheck {
            command: vec![],
            interval_seconds: 1,
            timeout_seconds: 1,
            retries: 2,
            start_period_seconds: 0,
        });
        rules
    });
    let mut rules = rules(containers.collect());
    rules.has_network = chance.one_in(2);
    rules.time_limit_seconds = chance.one_in(4).then_some(1);
    rules
}
