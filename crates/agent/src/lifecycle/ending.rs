//! How tasks end: what clients ask for, and what the end of a task means for its containers.

use api::task::Exit;

use super::step::Step;
use super::words;
use super::{Action, Ending, Microvm, Phase, Signal, Stage, Timer};
use crate::record::{Stop, StopCode};

/// Seconds that a kill may take to be reported.
const KILL_SECONDS: u32 = 10;

/// The signals that would end a process that does not care for them, as far as people send them to end something.
const ENDING_SIGNALS: [u8; 5] = [1, 2, 3, 9, 15];

/// The number of `SIGKILL`.
const SIGKILL: u8 = 9;

impl Step<'_> {
    pub(super) fn stop_requested(&mut self, stop: Stop, timeout_seconds: Option<u32>) {
        let drain_seconds = timeout_seconds.unwrap_or_else(|| self.rules.stop_timeout_seconds_max());
        match self.state.phase {
            Phase::Stopping => {
                // Asked again, by somebody with another timeout: the first timer to fire kills.
                self.state.stop_timeout_seconds = timeout_seconds.or(self.state.stop_timeout_seconds);
                self.ask_again();
            }
            Phase::Draining(_) | Phase::Ending => self.start_timer(Timer::Drain, drain_seconds),
            Phase::Activating(_) | Phase::Running if self.may_run() => {
                self.state.stop_timeout_seconds = timeout_seconds;
                self.begin_stop(stop);
            }
            _ => self.stop_before_running(stop),
        }
    }

    pub(super) fn kill_requested(&mut self, stop: Stop) {
        match self.state.phase {
            Phase::Activating(_) | Phase::Running if self.may_run() => {
                self.begin_stop(stop);
                self.kill_all();
            }
            Phase::Stopping => self.kill_all(),
            // Output may be held back by a client that takes none, or by a guest that does not end it.
            Phase::Draining(Microvm::Alive) | Phase::Ending => self.give_up(),
            Phase::Draining(Microvm::Gone) => self.actions.push(Action::DiscardOutput),
            _ => self.stop_before_running(stop),
        }
    }

    /// A stop of a task none of whose processes runs.
    pub(super) fn stop_before_running(&mut self, stop: Stop) {
        match self.state.phase {
            Phase::Created => {
                self.state.stop = Some(stop);
                self.end_containers(None);
                self.state.phase = Phase::Stopped;
            }
            Phase::Reserving
            | Phase::Attaching
            | Phase::Fetching
            | Phase::Provisioning
            | Phase::AwaitingTemplate
            | Phase::Replacing => {
                self.state.stop = Some(stop);
                self.end_containers(None);
                self.release();
            }
            Phase::Booting(_) | Phase::Activating(_) | Phase::Running => {
                self.state.stop = Some(stop);
                self.end_containers(None);
                self.give_up();
            }
            Phase::Stopping | Phase::Draining(_) | Phase::Ending | Phase::Releasing | Phase::Stopped => {}
        }
    }

    pub(super) fn signal_requested(&mut self, container: Option<usize>, signal: u8) {
        if !self.may_run() {
            if ENDING_SIGNALS.contains(&signal) {
                self.stop_before_running(words::by_signal());
            }
            return;
        }
        for (index, process) in self.live() {
            if container.is_none_or(|container| container == index) {
                self.actions.push(Action::SendSignal {
                    container: index,
                    process,
                    signal: Signal::Number(signal),
                });
            }
        }
    }

    /// The task ends for this reason, unless for another already, through no doing of a client; its containers are over.
    pub(super) fn fail(&mut self, reason: String) {
        let code = self.state.own_code();
        self.fail_as(Stop { code, reason });
    }

    pub(super) fn fail_as(&mut self, stop: Stop) {
        let reason = stop.reason.clone();
        self.state.stop.get_or_insert(stop);
        self.end_containers(Some((Exit::Failed, Some(reason))));
    }

    /// All containers are over; those whose process may have run ended like this.
    fn end_containers(&mut self, how: Option<(Exit, Option<String>)>) {
        for container in &mut self.state.containers {
            if let (true, Some((exit, reason))) = (container.is_live(), &how) {
                container.exit = Some(*exit);
                container.reason = container.reason.take().or_else(|| reason.clone());
            }
            container.stage = Stage::Over;
        }
    }

    /// Whether any process was released: clients' code may run.
    pub(super) fn may_run(&self) -> bool {
        let runs = |container: &super::Container| container.has_started || container.stage == Stage::Released;
        self.state.containers.iter().any(runs)
    }

    /// The containers whose processes may run, each with its process.
    pub(super) fn live(&self) -> Vec<(usize, u32)> {
        let containers = self.state.containers.iter().enumerate();
        let live = containers.filter(|(_, container)| container.is_live());
        live.map(|(index, container)| (index, container.process)).collect()
    }

    /// Ends the microVM at once; no client is waited for any more. Processes that still ran were killed with it.
    pub(super) fn give_up(&mut self) {
        self.end_containers(Some((Exit::Signal(SIGKILL), None)));
        self.state.is_resuming = false;
        self.state.phase = Phase::Ending;
        self.actions.extend([Action::DiscardOutput, Action::KillMicrovm]);
    }

    pub(super) fn release(&mut self) {
        self.state.is_resuming = false;
        self.state.phase = Phase::Releasing;
        self.actions.push(Action::ReleaseResources);
    }

    /// The end is decided; what follows for the containers is settled.
    pub(super) fn begin_stop(&mut self, stop: Stop) {
        self.state.stop.get_or_insert(stop);
        self.state.phase = Phase::Stopping;
    }

    /// The reason where this end was brought about by the end of a host agent or its host.
    pub(super) fn notice(&self, reason: &str) -> Stop {
        let code = if self.may_run() {
            StopCode::TerminationNotice
        } else {
            StopCode::TaskFailedToStart
        };
        Stop {
            code,
            reason: reason.to_owned(),
        }
    }

    /// Kills every container, in no order.
    fn kill_all(&mut self) {
        for (index, _) in self.live() {
            self.kill(index);
        }
    }

    pub(super) fn kill(&mut self, index: usize) {
        let container = &mut self.state.containers[index];
        container.ending = Ending::Killed;
        let process = container.process;
        self.actions.push(Action::SendSignal {
            container: index,
            process,
            signal: Signal::Kill,
        });
        self.start_timer(Timer::Kill(process), KILL_SECONDS);
    }
}
