//! The simulated host: what it does of what it is asked for.

use std::collections::VecDeque;

use protocol::guest::ExitStatus;

use super::Run;
use super::guest::Process;
use crate::lifecycle::{Action, Event, Timer, Trouble};

/// The world outside the host agent: lives on when that is restarted.
#[derive(Default)]
pub struct World {
    pub has_microvm: bool,
    pub has_answered: bool,
    pub is_clone: bool,
    pub has_start: bool,
    pub is_limited: bool,
    pub processes: Vec<Process>,
    pub network: bool,
    /// How each process ended that did: what must be told in the end.
    pub ended: Vec<(u32, ExitStatus)>,
}

/// The host agent: gone when it is restarted.
#[derive(Default)]
pub struct Agent {
    pub answers: VecDeque<Event>,
    pub timers: Vec<Timer>,
    pub has_vmm: bool,
    pub has_room: bool,
    pub is_discarding: bool,
    pub output_is_held_back: bool,
    pub owes_output: bool,
}

impl Run {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Reserve => {
                self.agent.has_room = true;
                self.answer(Event::Reserved);
            }
            Action::AttachNetwork if self.fails() => self.answer(Event::NetworkFailed("by chance".into())),
            Action::AttachNetwork => {
                assert!(!self.world.network, "a network is made twice");
                self.world.network = true;
                self.answer(Event::NetworkAttached);
            }
            Action::FetchImages if self.fails() => self.answer(Event::FetchFailed(Trouble::Image {
                container: 0,
                message: "by chance".into(),
            })),
            Action::FetchImages => self.answer(Event::ImagesFetched),
            Action::Provision => self.provision(true),
            Action::ReplaceClone => self.provision(false),
            Action::StartMicrovm if self.fails() => self.answer(Event::MicrovmNotStarted("by chance".into())),
            Action::StartMicrovm => self.start_microvm(),
            Action::LimitCpu if self.fails() => self.failed(),
            Action::LimitCpu => {
                self.world.is_limited = true;
                self.answer(Event::CpuLimited);
            }
            Action::CheckHealth { process, .. } => {
                let is_healthy = !self.chance.one_in(3);
                self.answer(Event::HealthChecked { process, is_healthy });
            }
            Action::KillMicrovm => self.end_microvm(),
            Action::DiscardOutput => {
                self.agent.is_discarding = true;
                self.let_output_through();
            }
            Action::StartTimer { timer, .. } => {
                if !self.agent.timers.contains(&timer) {
                    self.agent.timers.push(timer);
                }
            }
            Action::ReleaseResources => {
                self.world.has_microvm = false;
                self.world.network = false;
                self.agent.has_vmm = false;
                self.agent.has_room = false;
                self.agent.timers.clear();
                self.answer(Event::Released);
            }
            Action::SendStart
            | Action::ReleaseContainer { .. }
            | Action::RestartContainer { .. }
            | Action::SendSignal { .. }
            | Action::ShutDownGuest => self.tell_guest(action),
        }
    }

    /// Gives the task a VMM: where there may be a template, it may be a clone's.
    fn provision(&mut self, may_be_clone: bool) {
        if self.fails() {
            self.world.has_microvm = false;
            return self.answer(Event::ProvisionFailed("by chance".into()));
        }
        if may_be_clone && self.faults && self.chance.one_in(5) {
            let events = [Event::TemplatePending, Event::TemplateSettled];
            return self.agent.answers.extend(events);
        }
        assert!(!self.agent.has_vmm && !self.world.has_microvm, "a task has one VMM");
        self.agent.has_vmm = true;
        self.world.is_clone = may_be_clone && self.chance.one_in(2);
        self.answer(Event::Provisioned);
    }

    fn start_microvm(&mut self) {
        assert!(self.agent.has_vmm);
        assert!(self.stored.has_microvm(), "nobody would find it again");
        self.agent.has_vmm = false;
        self.world = World {
            has_microvm: true,
            network: self.world.network,
            is_clone: self.world.is_clone,
            ..World::default()
        };
    }
}
