//! What each event does to a task.

use protocol::guest::VERSION;

use super::words;
use super::{Action, Activation, Attempt, Event, Microvm, Phase, Rules, State, Timer, Trouble};

/// Seconds that a guest may take until its containers are prepared. A machine without hardware virtualization needs many.
const BOOT_SECONDS: u32 = 180;

/// Seconds that the guest of a clone may take to answer, before a full boot is tried. Hundreds that start at once on one CPU need as long.
const CLONE_SECONDS: u32 = 90;

/// Decides; does nothing.
#[must_use]
pub fn next(rules: &Rules, state: State, event: Event) -> (State, Vec<Action>) {
    let mut step = Step {
        rules,
        state,
        actions: vec![],
    };
    step.take(event);
    step.settle();
    (step.state, step.actions)
}

/// One step of a task: the state as it becomes, and what is to be done.
pub(super) struct Step<'a> {
    pub(super) rules: &'a Rules,
    pub(super) state: State,
    pub(super) actions: Vec<Action>,
}

impl Step<'_> {
    fn take(&mut self, event: Event) {
        // Every part of a task that is over is gone: nothing that still arrives can matter.
        if self.state.phase == Phase::Stopped {
            return;
        }
        match event {
            Event::StartRequested => self.follows(Phase::Created, Phase::Reserving, Action::Reserve),
            Event::StopRequested { stop, timeout_seconds } => self.stop_requested(stop, timeout_seconds),
            Event::KillRequested(stop) => self.kill_requested(stop),
            Event::SignalRequested { container, signal } => self.signal_requested(container, signal),
            Event::Reserved => self.reserved(),
            Event::NetworkAttached => self.network_attached(),
            Event::NetworkFailed(message) => self.attaching_failed(&message),
            Event::ImagesFetched => self.follows(Phase::Fetching, Phase::Provisioning, Action::Provision),
            Event::FetchFailed(trouble) => self.fetch_failed(&trouble),
            Event::Provisioned => self.provisioned(),
            Event::ProvisionFailed(message) => self.provision_failed(&message),
            Event::TemplatePending => self.template_pending(),
            Event::TemplateSettled => self.follows(Phase::AwaitingTemplate, Phase::Provisioning, Action::Provision),
            Event::MicrovmNotStarted(message) => self.not_there(&message),
            Event::CloneFailed(message) => self.clone_failed(&message),
            Event::GuestAnswered { version } => self.guest_answered(version),
            Event::Prepared { process } => self.of_guest(process, |step, container| step.prepared(container)),
            Event::Started { process } => self.of_guest(process, |step, container| step.started(container)),
            Event::NotStarted {
                process,
                failure,
                message,
            } => self.of_guest(process, |step, container| {
                step.not_started(container, failure, &message)
            }),
            Event::Exited {
                process,
                status,
                out_of_memory,
            } => self.of_guest(process, |step, container| step.exited(container, status, out_of_memory)),
            Event::CpuLimited => self.cpu_limited(),
            Event::OutputEnded { process } => self.state.outputs.retain(|(other, _)| *other != process),
            Event::OutputOver => self.output_over(),
            Event::HealthChecked { process, is_healthy } => self.health_checked(process, is_healthy),
            Event::GuestFailed(message) | Event::ActionFailed(message) => self.failed(&message),
            Event::MicrovmEnded(message) => self.microvm_ended(&message),
            Event::TimerFired(timer) => self.timer_fired(timer),
            Event::Released => self.released(),
            Event::Found => self.found(),
            Event::Resumed => self.resumed(),
            Event::Untold => self.untold(),
            Event::Lost(message) => self.lost(&message),
        }
    }

    /// What is expected in one phase and means nothing in others.
    fn follows(&mut self, from: Phase, to: Phase, action: Action) {
        if self.state.phase == from {
            self.state.phase = to;
            self.actions.push(action);
        }
    }

    pub(super) fn start_timer(&mut self, timer: Timer, seconds: u32) {
        self.actions.push(Action::StartTimer { timer, seconds });
    }

    fn reserved(&mut self) {
        if self.state.phase != Phase::Reserving {
            return;
        }
        let (phase, action) = if self.rules.has_network && !self.state.is_attached {
            (Phase::Attaching, Action::AttachNetwork)
        } else {
            (Phase::Fetching, Action::FetchImages)
        };
        self.follows(Phase::Reserving, phase, action);
    }

    fn network_attached(&mut self) {
        self.state.is_attached |= self.state.phase == Phase::Attaching;
        self.follows(Phase::Attaching, Phase::Fetching, Action::FetchImages);
    }

    fn attaching_failed(&mut self, message: &str) {
        if self.state.phase == Phase::Attaching {
            self.fail(words::cannot_initialize(message));
            self.release();
        }
    }

    fn fetch_failed(&mut self, trouble: &Trouble) {
        if self.state.phase == Phase::Fetching {
            if let Some(container) = trouble
                .container()
                .and_then(|index| self.state.containers.get_mut(index))
            {
                container.reason = Some(trouble.text());
            }
            self.fail(trouble.text());
            self.release();
        }
    }

    fn provisioned(&mut self) {
        if self.state.phase == Phase::Provisioning {
            self.follows(
                Phase::Provisioning,
                Phase::Booting(Attempt::First),
                Action::StartMicrovm,
            );
            self.start_timer(Timer::Boot, BOOT_SECONDS);
            self.start_timer(Timer::Clone, CLONE_SECONDS);
        }
        self.follows(
            Phase::Replacing,
            Phase::Booting(Attempt::Fallback),
            Action::StartMicrovm,
        );
    }

    fn provision_failed(&mut self, message: &str) {
        if matches!(self.state.phase, Phase::Provisioning | Phase::Replacing) {
            self.fail(words::cannot_initialize(message));
            self.release();
        }
    }

    fn template_pending(&mut self) {
        if self.state.phase == Phase::Provisioning {
            self.state.phase = Phase::AwaitingTemplate;
        }
    }

    fn not_there(&mut self, message: &str) {
        match self.state.phase {
            Phase::Booting(_) => {
                self.fail(words::cannot_initialize(message));
                self.release();
            }
            // There never was one: its end was decided before that was known.
            Phase::Ending => self.release(),
            _ => {}
        }
    }

    fn clone_failed(&mut self, message: &str) {
        if self.state.phase == Phase::Booting(Attempt::First) {
            self.state.phase = Phase::Replacing;
            self.actions.push(Action::ReplaceClone);
            return;
        }
        // It has taken its output with it.
        self.state.outputs.clear();
        self.microvm_ended(message);
        self.output_over();
    }

    fn guest_answered(&mut self, version: u32) {
        if !matches!(self.state.phase, Phase::Booting(_)) {
            return;
        }
        if version == VERSION {
            self.state.phase = Phase::Activating(Activation::Preparing);
            self.actions.push(Action::SendStart);
        } else {
            self.failed(&format!(
                "the guest agent speaks version {version} of the protocol and the host agent version {VERSION}: build both anew"
            ));
        }
    }

    fn cpu_limited(&mut self) {
        if self.state.phase == Phase::Activating(Activation::Limiting) {
            self.state.phase = Phase::Activating(Activation::Released);
        }
    }

    fn microvm_ended(&mut self, message: &str) {
        match self.state.phase {
            Phase::Booting(_) => self.fail(words::cannot_initialize(&format!(
                "the microVM ended before its guest agent answered: {message}"
            ))),
            Phase::Activating(_) if !self.may_run() => self.fail(words::cannot_initialize(&format!(
                "the microVM ended before the container's process ran: {message}"
            ))),
            Phase::Activating(_) | Phase::Running | Phase::Stopping => {
                self.fail(format!(
                    "the microVM ended while the container's process ran: {message}"
                ));
            }
            Phase::Draining(_) | Phase::Ending => {}
            Phase::Created
            | Phase::Reserving
            | Phase::Attaching
            | Phase::Fetching
            | Phase::Provisioning
            | Phase::AwaitingTemplate
            | Phase::Replacing
            | Phase::Releasing
            | Phase::Stopped => return,
        }
        self.state.is_resuming = false;
        self.state.phase = Phase::Draining(Microvm::Gone);
    }

    fn output_over(&mut self) {
        if self.state.phase == Phase::Draining(Microvm::Gone) {
            self.release();
        }
    }

    pub(super) fn failed(&mut self, message: &str) {
        match self.state.phase {
            Phase::Booting(_) | Phase::Activating(_) | Phase::Running | Phase::Stopping => {
                let text = if self.state.has_started() {
                    message.to_owned()
                } else {
                    words::cannot_initialize(message)
                };
                self.fail(text);
                self.state.phase = Phase::Ending;
                self.actions.push(Action::KillMicrovm);
            }
            // Without a guest agent no output ends.
            Phase::Draining(Microvm::Alive) | Phase::Ending => {
                self.state.phase = Phase::Ending;
                self.actions.push(Action::KillMicrovm);
            }
            // Nothing of what failed is needed any more, or was under way.
            _ => {}
        }
    }

    fn released(&mut self) {
        if self.state.phase == Phase::Releasing {
            self.state.phase = Phase::Stopped;
        }
    }
}
