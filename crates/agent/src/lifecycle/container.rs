//! What happens to one container of a task.

use protocol::guest::{EXECUTED_FIRST, ExitStatus, StartFailure};

use super::step::Step;
use super::words;
use super::{Action, Activation, Container, Ending, Phase, Stage, Timer};
use crate::record::{Condition, Health};
use api::task::Exit;

/// Seconds of the longest pause before a container is started again.
const PAUSE_SECONDS_MAX: u32 = 60;

impl Step<'_> {
    /// Something that the guest agent says of a process. What it says of earlier runs of a container it says again, after a restart of the host agent.
    pub(super) fn of_guest(&mut self, process: u32, happens: impl FnOnce(&mut Self, usize)) {
        match self.state.phase {
            Phase::Booting(_) => self.guest_talks_nonsense(process),
            Phase::Activating(_) | Phase::Running | Phase::Stopping => match self.state.container_of(process) {
                Some(container) => happens(self, container),
                None if process < self.state.process_next => self.spoken_of_before(process),
                None => self.guest_talks_nonsense(process),
            },
            // Before, there is no guest; after, it is over whatever it says.
            Phase::Created
            | Phase::Reserving
            | Phase::Attaching
            | Phase::Fetching
            | Phase::Provisioning
            | Phase::AwaitingTemplate
            | Phase::Replacing
            | Phase::Draining(_)
            | Phase::Ending
            | Phase::Releasing
            | Phase::Stopped => {}
        }
    }

    /// The guest speaks of an earlier run, after a restart of the host agent: it knows of no later one.
    fn spoken_of_before(&mut self, process: u32) {
        let mut containers = self.state.containers.iter_mut();
        let container = containers.find(|container| container.previous == Some(process));
        if let Some(container) = container.filter(|container| container.stage == Stage::Preparing) {
            container.is_untold = self.state.is_resuming;
        }
    }

    fn guest_talks_nonsense(&mut self, process: u32) {
        self.fail(format!(
            "the guest agent speaks of process {process}, which nobody started"
        ));
        self.state.phase = Phase::Ending;
        self.actions.push(Action::KillMicrovm);
    }

    /// Something that concerns a container as long as its process is this one.
    pub(super) fn of_current(&mut self, process: u32, happens: impl FnOnce(&mut Container)) {
        if let Some(index) = self.state.container_of(process) {
            happens(&mut self.state.containers[index]);
        }
    }

    pub(super) fn prepared(&mut self, index: usize) {
        let container = &mut self.state.containers[index];
        if container.stage == Stage::Preparing {
            container.stage = Stage::Prepared;
        }
    }

    pub(super) fn started(&mut self, index: usize) {
        let container = &mut self.state.containers[index];
        // Also where it is not known that it was released: the host agent that did it may be gone.
        if !matches!(container.stage, Stage::Preparing | Stage::Prepared | Stage::Released) {
            return;
        }
        container.stage = Stage::Running;
        container.has_started = true;
        container.exit = None;
        container.reason = None;
        let process = container.process;
        self.state.outputs.push((process, index));
        let rules = &self.rules.containers[index];
        if let Some(restart) = &rules.restart {
            self.start_timer(Timer::Attempt(process), restart.attempt_period_seconds);
        }
        if let Some(check) = &rules.health_check {
            self.start_timer(Timer::StartPeriod(process), check.start_period_seconds);
            self.start_timer(Timer::Health(process), check.interval_seconds);
        }
        if let Some(seconds) = rules.start_timeout_seconds {
            self.start_timer(Timer::StartTimeout(process), seconds);
        }
    }

    pub(super) fn not_started(&mut self, index: usize, failure: StartFailure, message: &str) {
        let container = &mut self.state.containers[index];
        if matches!(container.stage, Stage::Preparing | Stage::Prepared | Stage::Released) {
            container.stage = Stage::Over;
            container.exit = Some(words::not_started(failure));
            container.reason = Some(words::cannot_start(message));
        }
    }

    pub(super) fn exited(&mut self, index: usize, status: ExitStatus, out_of_memory: bool) {
        let container = &mut self.state.containers[index];
        // Told again, after a restart of the host agent.
        if container.stage == Stage::Over {
            return;
        }
        container.stage = Stage::Over;
        container.has_started = true;
        container.exit = Some(match status {
            ExitStatus::Code(code) => Exit::Code(code),
            ExitStatus::Signal(signal) => Exit::Signal(signal),
        });
        container.reason = out_of_memory.then(|| words::OUT_OF_MEMORY.to_owned());
        if self.is_to_run_again(index, status) {
            self.run_again(index);
        }
    }

    fn is_to_run_again(&self, index: usize, status: ExitStatus) -> bool {
        let container = &self.state.containers[index];
        let Some(restart) = &self.rules.containers[index].restart else {
            return false;
        };
        let is_ignored = match status {
            ExitStatus::Code(code) => restart.ignored_exit_codes.contains(&code),
            ExitStatus::Signal(_) => false,
        };
        let is_wanted = matches!(self.state.phase, Phase::Activating(_) | Phase::Running);
        is_wanted && !is_ignored && container.has_run_long && self.state.process_next < EXECUTED_FIRST
    }

    fn run_again(&mut self, index: usize) {
        let process = self.state.process_next;
        self.state.process_next += 1;
        let container = &mut self.state.containers[index];
        *container = Container {
            stage: Stage::Preparing,
            process,
            previous: Some(container.process),
            exit: container.exit,
            reason: container.reason.take(),
            health: Health::Unknown,
            restarts: container.restarts.saturating_add(1),
            has_started: true,
            ending: Ending::No,
            failures: 0,
            is_past_start_period: false,
            has_run_long: false,
            is_untold: false,
        };
        // Who need not run for any time is not started again and again without a rest.
        let restart = self.rules.containers[index].restart.as_ref();
        if restart.is_some_and(|restart| restart.attempt_period_seconds == 0) {
            let container = &mut self.state.containers[index];
            container.stage = Stage::Pausing;
            let seconds = PAUSE_SECONDS_MAX.min(1 << container.restarts.min(u32::BITS - 2).saturating_sub(1));
            self.start_timer(Timer::Pause(process), seconds);
        } else {
            self.actions.push(Action::RestartContainer {
                container: index,
                process,
            });
        }
    }

    pub(super) fn pause_is_over(&mut self, process: u32) {
        let index = self.state.container_of(process);
        if let Some(container) = index.filter(|index| self.state.containers[*index].stage == Stage::Pausing) {
            self.state.containers[container].stage = Stage::Preparing;
            self.actions.push(Action::RestartContainer { container, process });
        }
    }

    pub(super) fn check_health(&mut self, process: u32) {
        let index = self.state.container_of(process);
        let runs = |index: &usize| self.state.containers[*index].stage == Stage::Running;
        if let Some(container) = index.filter(runs).filter(|_| !self.state.is_resuming) {
            self.actions.push(Action::CheckHealth { container, process });
        }
    }

    pub(super) fn health_checked(&mut self, process: u32, is_healthy: bool) {
        let Some(index) = self.state.container_of(process) else {
            return;
        };
        let Some(check) = &self.rules.containers[index].health_check else {
            return;
        };
        let container = &mut self.state.containers[index];
        let is_wanted = matches!(self.state.phase, Phase::Activating(_) | Phase::Running);
        if !is_wanted || container.stage != Stage::Running {
            return;
        }
        if is_healthy {
            container.failures = 0;
            container.health = Health::Healthy;
            container.is_past_start_period = true;
        } else if container.is_past_start_period {
            container.failures = container.failures.saturating_add(1);
            if container.failures >= check.retries {
                container.failures = check.retries;
                container.health = Health::Unhealthy;
            }
        }
        let seconds = check.interval_seconds;
        self.start_timer(Timer::Health(process), seconds);
    }

    /// The container did not become in time what others wait for: these never start.
    pub(super) fn start_timeout(&mut self, process: u32) {
        let Some(index) = self.state.container_of(process) else {
            return;
        };
        let seconds = self.rules.containers[index].start_timeout_seconds.unwrap_or_default();
        let dependents: Vec<usize> = self.rules.dependents(index).collect();
        for dependent in dependents {
            let conditions = self.rules.containers[dependent].depends_on.iter();
            let unfulfilled = conditions
                .filter(|(other, condition)| *other == index && !self.is_fulfilled(index, *condition))
                .map(|(_, condition)| *condition)
                .next();
            if let Some(condition) = unfulfilled {
                let name = &self.rules.containers[index].name;
                let reason = format!(
                    "it waits for container {name} to be {}, which it was not within {seconds} seconds",
                    text(condition)
                );
                self.never_starts(dependent, &reason);
            }
        }
    }

    pub(super) fn never_starts(&mut self, index: usize, reason: &str) {
        let container = &mut self.state.containers[index];
        if matches!(container.stage, Stage::Preparing | Stage::Prepared) && !container.has_started {
            container.stage = Stage::Over;
            container.reason = Some(words::cannot_start(reason));
        }
    }

    /// Whether the container is, or was, what others wait for.
    pub(super) fn is_fulfilled(&self, index: usize, condition: Condition) -> bool {
        let container = &self.state.containers[index];
        match condition {
            Condition::Start => container.has_started,
            Condition::Complete => container.stage == Stage::Over && container.has_started,
            Condition::Success => container.stage == Stage::Over && container.exit == Some(Exit::Code(0)),
            Condition::Healthy => container.health == Health::Healthy,
        }
    }

    /// Whether the container can never again become what others wait for.
    pub(super) fn is_hopeless(&self, index: usize, condition: Condition) -> bool {
        self.state.containers[index].stage == Stage::Over && !self.is_fulfilled(index, condition)
    }

    pub(super) fn stop_timer_fired(&mut self, process: u32) {
        let asked = |index: &usize| self.state.containers[*index].ending == Ending::Asked;
        let index = self.state.container_of(process).filter(asked);
        if let Some(index) = index.filter(|index| self.state.containers[*index].is_live()) {
            self.kill(index);
        }
    }

    pub(super) fn kill_timer_fired(&mut self, process: u32) {
        let killed = |index: &usize| self.state.containers[*index].ending == Ending::Killed;
        let index = self.state.container_of(process).filter(killed);
        if index.is_some_and(|index| self.state.containers[index].is_live()) {
            self.give_up();
        }
    }

    /// Whether processes may be released.
    pub(super) const fn may_release(&self) -> bool {
        matches!(
            self.state.phase,
            Phase::Activating(Activation::Released) | Phase::Running
        )
    }
}

/// The condition as the end of a sentence.
pub(super) const fn text(condition: Condition) -> &'static str {
    match condition {
        Condition::Start => "started",
        Condition::Complete => "complete",
        Condition::Success => "successful",
        Condition::Healthy => "healthy",
    }
}
