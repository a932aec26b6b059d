//! What follows from where a task and its containers are, whatever event brought them there.

use super::container::text;
use super::step::Step;
use super::words;
use super::{Action, Activation, Ending, Microvm, Phase, Signal, Stage, Timer};
use crate::record::Stop;

/// Seconds that a guest may take to shut down. At a thousandth of a vCPU it gets 5 ms of CPU in this time.
const SHUT_DOWN_SECONDS: u32 = 5;

impl Step<'_> {
    /// Goes on as far as possible without a further event.
    pub(super) fn settle(&mut self) {
        // What the guest still tells may change everything.
        if self.state.is_resuming {
            return;
        }
        if matches!(self.state.phase, Phase::Activating(_) | Phase::Running) {
            self.give_up_hopeless();
            self.limit();
            self.release_containers();
            self.end_where_essential();
            self.run();
        }
        if self.state.phase == Phase::Stopping {
            self.stop_containers();
        }
        if self.state.phase == Phase::Draining(Microvm::Alive) && self.state.outputs.is_empty() {
            self.shut_down();
        }
    }

    /// A container that waits for what can never be will never start. That may be what others wait for.
    fn give_up_hopeless(&mut self) {
        loop {
            let hopeless = (0..self.state.containers.len()).find_map(|index| {
                let waits = matches!(self.state.containers[index].stage, Stage::Preparing | Stage::Prepared);
                let mut conditions = self.rules.containers[index].depends_on.iter();
                let waits = waits && !self.state.containers[index].has_started;
                waits
                    .then(|| conditions.find(|(other, condition)| self.is_hopeless(*other, *condition)))
                    .flatten()
                    .map(|(other, condition)| (index, *other, *condition))
            });
            let Some((index, other, condition)) = hopeless else {
                return;
            };
            let name = &self.rules.containers[other].name;
            let reason = format!(
                "it waits for container {name} to be {}, which it cannot be any more",
                text(condition)
            );
            self.never_starts(index, &reason);
        }
    }

    /// Once every container is prepared, user code may run, and from then on it is metered.
    fn limit(&mut self) {
        let is_prepared = |container: &super::Container| container.stage != Stage::Preparing;
        if self.state.phase == Phase::Activating(Activation::Preparing) && self.state.containers.iter().all(is_prepared)
        {
            self.state.phase = Phase::Activating(Activation::Limiting);
            self.actions.push(Action::LimitCpu);
        }
    }

    fn release_containers(&mut self) {
        if !self.may_release() {
            return;
        }
        for index in 0..self.state.containers.len() {
            let container = &self.state.containers[index];
            let mut conditions = self.rules.containers[index].depends_on.iter();
            let may_start =
                container.has_started || conditions.all(|(other, condition)| self.is_fulfilled(*other, *condition));
            if container.stage == Stage::Prepared && may_start {
                let process = container.process;
                self.state.containers[index].stage = Stage::Released;
                self.actions.push(Action::ReleaseContainer { process });
            }
        }
    }

    /// The task ends with any container that is essential, and with the last one.
    fn end_where_essential(&mut self) {
        let containers = || self.state.containers.iter().zip(&self.rules.containers);
        let essential = containers().find(|(container, rules)| container.stage == Stage::Over && rules.is_essential);
        let is_over = self
            .state
            .containers
            .iter()
            .all(|container| container.stage == Stage::Over);
        let last = containers().next().filter(|_| is_over);
        let Some((container, _)) = essential.or(last) else {
            return;
        };
        let stop = if container.has_started {
            words::essential_exited()
        } else {
            Stop {
                code: self.state.own_code(),
                reason: container.reason.clone().unwrap_or_default(),
            }
        };
        self.begin_stop(stop);
    }

    /// The task runs when all containers have started that wait for no other.
    fn run(&mut self) {
        let mut containers = self.state.containers.iter().zip(&self.rules.containers);
        let has_started = containers.all(|(container, rules)| {
            !rules.depends_on.is_empty() || container.has_started || container.stage == Stage::Over
        });
        if self.state.phase == Phase::Activating(Activation::Released) && has_started {
            self.state.phase = Phase::Running;
            if let Some(seconds) = self.rules.time_limit_seconds {
                self.start_timer(Timer::TimeLimit, seconds);
            }
        }
    }

    /// Asks every container to end on which no other depends that still runs.
    fn stop_containers(&mut self) {
        for container in &mut self.state.containers {
            if matches!(container.stage, Stage::Pausing | Stage::Preparing | Stage::Prepared) {
                container.stage = Stage::Over;
            }
        }
        for (index, process) in self.live() {
            let is_over = |other: usize| self.state.containers[other].stage == Stage::Over;
            let is_free = self.rules.dependents(index).all(is_over);
            if is_free && self.state.containers[index].ending == Ending::No {
                self.ask(index, process);
            }
        }
        if self.live().is_empty() {
            self.state.phase = Phase::Draining(Microvm::Alive);
        }
    }

    fn ask(&mut self, index: usize, process: u32) {
        self.state.containers[index].ending = Ending::Asked;
        self.actions.push(Action::SendSignal {
            container: index,
            process,
            signal: Signal::Stop,
        });
        let own_seconds = self.rules.containers[index].stop_timeout_seconds;
        let seconds = self.state.stop_timeout_seconds.unwrap_or(own_seconds);
        self.start_timer(Timer::Stop(process), seconds);
    }

    /// Asks those again that were asked and go on.
    pub(super) fn ask_again(&mut self) {
        for (index, process) in self.live() {
            match self.state.containers[index].ending {
                Ending::No => {}
                Ending::Asked => self.ask(index, process),
                Ending::Killed => self.kill(index),
            }
        }
    }

    pub(super) fn shut_down(&mut self) {
        self.state.phase = Phase::Ending;
        self.actions.push(Action::ShutDownGuest);
        self.start_timer(Timer::ShutDown, SHUT_DOWN_SECONDS);
    }
}
