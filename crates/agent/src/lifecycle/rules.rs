//! What of a task's plan its life depends on.

use crate::record::{Condition, HealthCheck, Plan, RestartPolicy};

/// What of a task's plan its life depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether it gets a network.
    pub has_network: bool,
    /// Seconds after which it is stopped.
    pub time_limit_seconds: Option<u32>,
    /// Its containers.
    pub containers: Vec<ContainerRules>,
}

/// What of a container's plan its life depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRules {
    /// Its name, for reasons.
    pub name: String,
    /// Whether the task ends with it.
    pub is_essential: bool,
    /// What has to happen to which other containers before it starts.
    pub depends_on: Vec<(usize, Condition)>,
    /// Seconds in which it has to become what others wait for.
    pub start_timeout_seconds: Option<u32>,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout_seconds: u32,
    /// How its health is checked.
    pub health_check: Option<HealthCheck>,
    /// Whether it is started again when it ends.
    pub restart: Option<RestartPolicy>,
}

impl Rules {
    /// The rules of a plan. Dependencies on containers that do not exist are left out: such a plan is refused before.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let index = |name: &str| plan.containers.iter().position(|container| container.name == name);
        let containers = plan.containers.iter().map(|container| ContainerRules {
            name: container.name.clone(),
            is_essential: container.is_essential,
            depends_on: container
                .depends_on
                .iter()
                .filter_map(|dependency| Some((index(&dependency.container)?, dependency.condition)))
                .collect(),
            start_timeout_seconds: container.start_timeout_seconds,
            stop_timeout_seconds: container.stop_timeout_seconds,
            health_check: container.health_check.clone(),
            restart: container.restart.clone(),
        });
        Self {
            has_network: plan.network.is_some(),
            time_limit_seconds: plan.time_limit_seconds,
            containers: containers.collect(),
        }
    }

    /// The containers that wait for this one.
    pub(super) fn dependents(&self, container: usize) -> impl Iterator<Item = usize> + '_ {
        let waits = move |rules: &ContainerRules| rules.depends_on.iter().any(|(other, _)| *other == container);
        let all = self.containers.iter().enumerate();
        all.filter(move |(_, rules)| waits(rules)).map(|(index, _)| index)
    }

    /// Seconds that the slowest container has between its stop signal and the kill.
    pub(super) fn stop_timeout_seconds_max(&self) -> u32 {
        let timeouts = self.containers.iter().map(|rules| rules.stop_timeout_seconds);
        timeouts.max().unwrap_or_default()
    }
}
