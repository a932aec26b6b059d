//! What a restart of the host agent means for a task.

use super::step::Step;
use super::{Action, Activation, Microvm, Phase, Stage, Timer};

impl Step<'_> {
    /// The microVM lives. What the host agent before did last may not have reached the guest; the guest tells.
    pub(super) fn found(&mut self) {
        match self.state.phase {
            // A guest that is not told what to do ends: so this one was.
            Phase::Booting(_) | Phase::Activating(_) => {
                self.state.phase = Phase::Activating(Activation::Preparing);
                self.doubt_released();
            }
            Phase::Running => self.doubt_released(),
            Phase::Stopping | Phase::Draining(Microvm::Alive) | Phase::Ending => {}
            Phase::Created
            | Phase::Reserving
            | Phase::Attaching
            | Phase::Fetching
            | Phase::Provisioning
            | Phase::AwaitingTemplate
            | Phase::Replacing
            | Phase::Draining(Microvm::Gone)
            | Phase::Releasing
            | Phase::Stopped => return,
        }
        self.state.is_resuming = true;
    }

    fn doubt_released(&mut self) {
        for container in &mut self.state.containers {
            if container.stage == Stage::Released {
                container.stage = Stage::Prepared;
            }
        }
    }

    /// Does again what may not have arrived; the guest does nothing twice.
    pub(super) fn resumed(&mut self) {
        if !std::mem::take(&mut self.state.is_resuming) {
            return;
        }
        match self.state.phase {
            Phase::Activating(_) | Phase::Running => self.restart_lost_starts(),
            Phase::Stopping => self.ask_again(),
            Phase::Ending => self.shut_down(),
            _ => {}
        }
    }

    fn restart_lost_starts(&mut self) {
        for index in 0..self.state.containers.len() {
            let container = &mut self.state.containers[index];
            let process = container.process;
            if container.stage == Stage::Running {
                if let Some(check) = &self.rules.containers[index].health_check {
                    let seconds = check.interval_seconds;
                    self.start_timer(Timer::Health(process), seconds);
                }
            } else if std::mem::take(&mut container.is_untold) {
                // By another number: this one may be spoken of still, by nobody.
                let process = self.state.process_next;
                self.state.process_next += 1;
                container.process = process;
                self.actions.push(Action::RestartContainer {
                    container: index,
                    process,
                });
            }
        }
    }

    /// Nothing of the task ran, so all of it may be made anew.
    pub(super) fn untold(&mut self) {
        match self.state.phase {
            Phase::Booting(_) => self.reserve_again(),
            _ => self.lost("the host agent was restarted"),
        }
    }

    fn reserve_again(&mut self) {
        self.state.phase = Phase::Reserving;
        self.actions.push(Action::Reserve);
    }

    /// There is no microVM of this task. One that was not started yet is made anew.
    pub(super) fn lost(&mut self, message: &str) {
        match self.state.phase {
            Phase::Stopped => {}
            // Who was about to start it has lost the connection, and may make another.
            Phase::Created => {
                let stop = self.notice(&format!("{message} before the task was started"));
                self.stop_before_running(stop);
            }
            Phase::Reserving
            | Phase::Attaching
            | Phase::Fetching
            | Phase::Provisioning
            | Phase::AwaitingTemplate
            | Phase::Replacing => self.reserve_again(),
            Phase::Booting(_) | Phase::Activating(_) | Phase::Running | Phase::Stopping => {
                let stop = self.notice(message);
                self.fail_as(stop);
                self.release();
            }
            Phase::Draining(_) | Phase::Ending | Phase::Releasing => self.release(),
        }
    }
}
