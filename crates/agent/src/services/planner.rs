//! What is to be done for a service, as a pure function of it, its tasks and the time: no task is touched here, nothing is stored.
//!
//! The service that a plan holds is stored before its actions are performed. An action that was not performed, because the host agent ended in
//! between, is planned again: what is to be done follows from the tasks that there are, and not from what was done. A task that was started, but of
//! which that was not stored any more, is known by its deployment.

mod deploy;
pub(super) mod rollout;

use std::collections::HashMap;

use super::account::{self, Health, Phase, TaskView};
use super::journal::{self, Random};
use super::service::{OpenTask, Service, ServiceStatus, Stopping};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop a task.
    Stop {
        /// Its id.
        task: String,
        /// Why, for its `stoppedReason`.
        reason: String,
    },
    /// Start tasks, and tell [`account::started`] and [`account::refused`] what became of that.
    Start {
        /// The deployment that wants them.
        deployment: String,
        /// `family:revision`.
        definition: String,
        /// How many.
        count: u32,
    },
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The service as it is from now on.
    pub service: Service,
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
    /// When something follows from time alone, in milliseconds since the Unix epoch.
    pub wake_at_ms: Option<u64>,
}

/// Decides; does nothing. `tasks` are those of the service, at least all that have not stopped and that it has not taken note of.
#[must_use]
pub fn plan(service: &Service, tasks: &[TaskView], now_ms: u64, random: &mut dyn Random) -> Plan {
    let mut planning = Planning {
        service: service.clone(),
        phases: tasks.iter().map(|task| (task.id.as_str(), task.phase)).collect(),
        now_ms,
        random,
        starts: None,
        stopped: Vec::new(),
        wake_at_ms: None,
    };
    for task in tasks.iter().filter(|task| !matches!(task.phase, Phase::Stopped { .. })) {
        account::adopt(&mut planning.service, &task.id, &task.deployment, now_ms);
    }
    planning.account();
    match planning.service.status {
        ServiceStatus::Active => {
            rollout::break_failed(&mut planning);
            planning.stop_unhealthy();
            deploy::deploy(&mut planning);
            rollout::complete(&mut planning);
        }
        ServiceStatus::Draining => planning.drain(),
        ServiceStatus::Inactive => {}
    }
    planning.finish()
}

/// A plan that is being made.
pub(super) struct Planning<'a> {
    service: Service,
    /// How far each task is, by its id.
    phases: HashMap<&'a str, Phase>,
    now_ms: u64,
    random: &'a mut dyn Random,
    /// What is to be started: how many, and the deployment.
    starts: Option<(u32, String)>,
    /// The ids of tasks that are to be stopped.
    stopped: Vec<String>,
    wake_at_ms: Option<u64>,
}

impl Planning<'_> {
    fn phase(&self, task: &OpenTask) -> Phase {
        self.phases.get(task.id.as_str()).copied().unwrap_or(Phase::Starting)
    }

    fn wake_at(&mut self, at_ms: u64) {
        if at_ms > self.now_ms {
            self.wake_at_ms = Some(self.wake_at_ms.map_or(at_ms, |known| known.min(at_ms)));
        }
    }

    fn note(&mut self, what: &str) {
        journal::note(&mut self.service, self.random, self.now_ms, what);
    }

    /// Takes note of what became of the tasks.
    fn account(&mut self) {
        for task in self.service.open.clone() {
            match self.phases.get(task.id.as_str()).copied() {
                // It was forgotten.
                None => self.service.open.retain(|open| open.id != task.id),
                Some(phase @ Phase::Stopped { .. }) => {
                    account::stopped(&mut self.service, self.random, &task, phase, self.now_ms);
                }
                Some(phase) if phase.is_healthy(self.now_ms) => account::became_healthy(&mut self.service, &task.id),
                Some(Phase::Running { since_ms, health: None }) => {
                    self.wake_at(since_ms.saturating_add(super::policy::SETTLE_MS));
                }
                Some(Phase::Starting | Phase::Running { .. } | Phase::Stopping) => {}
            }
        }
    }

    /// The tasks of a deployment, or of all, that go on and are not asked to stop; the first to be done without come first: those that do not
    /// run, those that are not healthy, then those that were asked for last.
    fn staying(&self, is_meant: impl Fn(&OpenTask) -> bool) -> Vec<OpenTask> {
        let mut tasks: Vec<OpenTask> = (self.service.open.iter())
            .filter(|task| is_meant(task) && task.stopping.is_none() && self.phase(task).goes_on())
            .cloned()
            .collect();
        tasks.sort_by_key(|task| {
            let phase = self.phase(task);
            let runs = matches!(phase, Phase::Running { .. });
            (phase.is_healthy(self.now_ms), runs, std::cmp::Reverse(task.asked_ms))
        });
        tasks
    }

    fn is_healthy(&self, task: &OpenTask) -> bool {
        self.phase(task).is_healthy(self.now_ms)
    }

    /// Whether a task may be stopped where nothing is wrong with it.
    fn may_go(&mut self, task: &OpenTask) -> bool {
        let until_ms = task.protected_until_ms.unwrap_or(0);
        self.wake_at(until_ms);
        until_ms <= self.now_ms
    }

    fn stop(&mut self, task: &str, why: Stopping) {
        if let Some(open) = self.service.open.iter_mut().find(|open| open.id == task) {
            open.stopping = Some(why);
        }
        self.stopped.push(task.to_owned());
    }

    fn stop_unhealthy(&mut self) {
        let grace_ms = u64::from(self.service.grace_seconds) * 1000;
        for task in self.staying(|_| true) {
            let Phase::Running {
                since_ms,
                health: Some(Health::Unhealthy),
            } = self.phase(&task)
            else {
                continue;
            };
            let counts_from_ms = since_ms.saturating_add(grace_ms);
            if counts_from_ms <= self.now_ms {
                self.stop(&task.id, Stopping::Unhealthy);
                self.note(&format!("(task {}) failed container health checks.", task.id));
            } else {
                self.wake_at(counts_from_ms);
            }
        }
    }

    fn drain(&mut self) {
        for task in self.staying(|_| true) {
            self.stop(&task.id, Stopping::Scaling);
        }
        if self.service.open.is_empty() {
            self.service.status = ServiceStatus::Inactive;
            for deployment in std::mem::take(&mut self.service.deployments) {
                self.service.retire(deployment);
            }
        }
    }

    fn finish(mut self) -> Plan {
        if !self.stopped.is_empty() {
            self.note(&journal::named("has stopped", &self.stopped.clone()));
        }
        if self.starts.is_some() || !self.stopped.is_empty() {
            self.service.is_stuck = false;
        }
        // Also those that were to be stopped before, but go on: whoever was to stop them ended.
        let mut actions: Vec<Action> = (self.service.open.iter())
            .filter(|task| self.phase(task).goes_on())
            .filter_map(|task| Some((task, task.stopping?)))
            .map(|(task, why)| Action::Stop {
                task: task.id.clone(),
                reason: reason(why, &task.deployment),
            })
            .collect();
        if let Some((count, id)) = self.starts.take()
            && let Some(deployment) = self.service.deployment(&id)
        {
            actions.push(Action::Start {
                definition: deployment.definition.clone(),
                deployment: id,
                count,
            });
        }
        Plan {
            actions,
            service: self.service,
            wake_at_ms: self.wake_at_ms,
        }
    }
}

/// A task's `stoppedReason`.
fn reason(why: Stopping, deployment: &str) -> String {
    match why {
        Stopping::Scaling => format!("Scaling activity initiated by (deployment {deployment})"),
        Stopping::Unhealthy => "Task failed container health checks".to_owned(),
    }
}
