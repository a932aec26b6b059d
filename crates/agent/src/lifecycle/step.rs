//! What each event does to a task.

use protocol::guest::VERSION;

use super::words;
use super::{Action, Activation, Attempt, Ending, Event, Microvm, Phase, Rules, Signal, Stage, State, Timer, Trouble};
use crate::record::{Stop, StopCode};
use api::task::Exit;

/// Seconds that a guest may take until its containers are prepared. A machine without hardware virtualization needs many.
const BOOT_SECONDS: u32 = 180;

/// Seconds that the guest of a clone may take to answer, before a full boot is tried. Hundreds that start at once on one CPU need as long.
const CLONE_SECONDS: u32 = 90;

/// Seconds that a kill may take to be reported.
pub(super) const KILL_SECONDS: u32 = 10;

/// Seconds that a guest may take to shut down. At a thousandth of a vCPU it gets 5 ms of CPU in this time.
pub(super) const SHUT_DOWN_SECONDS: u32 = 5;

/// The signals that would end a process that does not care for them, as far as people send them to end something.
const ENDING_SIGNALS: [u8; 5] = [1, 2, 3, 9, 15];

/// The number of `SIGKILL`.
pub(super) const SIGKILL: u8 = 9;

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

    fn stop_requested(&mut self, stop: Stop, timeout_seconds: Option<u32>) {
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

    fn kill_requested(&mut self, stop: Stop) {
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
    fn stop_before_running(&mut self, stop: Stop) {
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

    fn signal_requested(&mut self, container: Option<usize>, signal: u8) {
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

    fn failed(&mut self, message: &str) {
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

    fn timer_fired(&mut self, timer: Timer) {
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
