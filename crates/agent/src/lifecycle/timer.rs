//! What each timer does to a task when it fires: it depends on where the task is by then.

use super::step::Step;
use super::words;
use super::{Action, Activation, Attempt, Microvm, Phase, Timer};

impl Step<'_> {
    /// What follows a timer, where it still matters.
    pub(super) fn timer_fired(&mut self, timer: Timer) {
        match (timer, self.state.phase) {
            (Timer::Boot, Phase::Booting(_)) => self.failed("the guest agent did not answer in time"),
            // A released process may be as slow as its CPU limit makes it.
            (Timer::Boot, Phase::Activating(Activation::Preparing)) => {
                self.failed("the guest agent did not prepare the containers in time");
            }
            // Its end is reported as that of any clone that failed.
            (Timer::Clone, Phase::Booting(Attempt::First)) => self.actions.push(Action::KillMicrovm),
            (Timer::TimeLimit, Phase::Running) => self.begin_stop(words::time_limit()),
            (Timer::Stop(process), Phase::Stopping) => self.stop_timer_fired(process),
            (Timer::Kill(process), Phase::Stopping) => self.kill_timer_fired(process),
            (Timer::Stop(_) | Timer::Kill(_) | Timer::Drain, Phase::Draining(Microvm::Alive)) => self.give_up(),
            (Timer::Stop(_) | Timer::Kill(_) | Timer::Drain, Phase::Draining(Microvm::Gone) | Phase::Ending) => {
                self.actions.push(Action::DiscardOutput);
            }
            (Timer::ShutDown, Phase::Ending) => self.actions.push(Action::KillMicrovm),
            (Timer::Health(process), Phase::Activating(_) | Phase::Running) => self.check_health(process),
            (Timer::StartPeriod(process), _) => {
                self.of_current(process, |container| container.is_past_start_period = true)
            }
            (Timer::Attempt(process), _) => self.of_current(process, |container| container.has_run_long = true),
            (Timer::StartTimeout(process), Phase::Activating(_) | Phase::Running) => self.start_timeout(process),
            (Timer::Pause(process), Phase::Activating(_) | Phase::Running) => self.pause_is_over(process),
            (
                Timer::Boot
                | Timer::Clone
                | Timer::TimeLimit
                | Timer::Stop(_)
                | Timer::Kill(_)
                | Timer::Drain
                | Timer::ShutDown
                | Timer::Health(_)
                | Timer::Pause(_)
                | Timer::StartTimeout(_),
                _,
            ) => {}
        }
    }
}
