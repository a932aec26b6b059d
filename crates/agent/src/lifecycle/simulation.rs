//! Tasks on a simulated host with a simulated guest: everything fails by chance, the host agent is restarted by chance, and in the end nothing is left.
//!
//! The host keeps the promises that are written at [`Action`], and nothing more. What is stored is what a real host agent stores: the state at
//! each action that needs it, and at quiet moments.

use std::collections::VecDeque;

use proptest::prelude::*;
use protocol::guest::{ExitStatus, StartFailure, VERSION};

use super::tests::{by_user, container, rules};
use super::*;
use crate::record::{Condition, HealthCheck, RestartPolicy};

/// Rounds of one run of the tests.
const ROUNDS: u32 = 500;

/// Chance, from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What the guest knows of a process.
#[derive(Clone, Debug)]
struct Process {
    number: u32,
    container: usize,
    is_released: bool,
    told: Vec<Event>,
    output_open: bool,
    is_over: bool,
    is_forgotten: bool,
}

/// The world outside the host agent: lives on when that is restarted.
#[derive(Default)]
struct World {
    has_microvm: bool,
    has_answered: bool,
    is_clone: bool,
    has_start: bool,
    is_limited: bool,
    processes: Vec<Process>,
    network: bool,
    /// How each process ended that did: what must be told in the end.
    ended: Vec<(u32, ExitStatus)>,
}

/// The host agent: gone when it is restarted.
#[derive(Default)]
struct Agent {
    answers: VecDeque<Event>,
    timers: Vec<Timer>,
    has_vmm: bool,
    has_room: bool,
    is_discarding: bool,
    output_is_held_back: bool,
    owes_output: bool,
}

struct Run {
    rules: Rules,
    chance: Chance,
    faults: bool,
    world: World,
    agent: Agent,
    state: State,
    stored: State,
    stored_timers: Vec<Timer>,
}

impl Run {
    fn new(rules: Rules, seed: u64) -> Self {
        let state = State::new(&rules);
        Self {
            rules,
            chance: Chance(seed),
            faults: true,
            world: World::default(),
            agent: Agent::default(),
            stored: state.clone(),
            state,
            stored_timers: vec![],
        }
    }

    fn fails(&mut self) -> bool {
        self.faults && self.chance.one_in(25)
    }

    fn store(&mut self) {
        self.stored = serde_json::from_value(serde_json::to_value(&self.state).unwrap()).unwrap();
        self.stored_timers.clone_from(&self.agent.timers);
    }

    fn feed(&mut self, event: Event) {
        let (state, actions) = next(&self.rules, self.state.clone(), event);
        self.state = state;
        for action in actions {
            if action.needs_record() {
                self.store();
                if self.faults && self.chance.one_in(20) {
                    // Killed before it did what it has stored.
                    return self.restart();
                }
            }
            self.perform(action);
        }
        if self.agent.answers.is_empty() && !matches!(self.state.phase, Phase::Activating(_)) {
            self.store();
        }
    }

    fn answer(&mut self, event: Event) {
        self.agent.answers.push_back(event);
    }

    fn failed(&mut self) {
        self.answer(Event::ActionFailed("by chance".into()));
    }

    fn perform(&mut self, action: Action) {
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
            Action::Provision | Action::ReplaceClone if self.fails() => {
                self.world.has_microvm = false;
                self.answer(Event::ProvisionFailed("by chance".into()));
            }
            Action::Provision if self.faults && self.chance.one_in(5) => {
                self.agent
                    .answers
                    .extend([Event::TemplatePending, Event::TemplateSettled]);
            }
            Action::Provision | Action::ReplaceClone => {
                assert!(!self.agent.has_vmm && !self.world.has_microvm, "a task has one VMM");
                self.agent.has_vmm = true;
                self.world.is_clone = action == Action::Provision && self.chance.one_in(2);
                self.answer(Event::Provisioned);
            }
            Action::StartMicrovm if self.fails() => self.answer(Event::MicrovmNotStarted("by chance".into())),
            Action::StartMicrovm => {
                assert!(self.agent.has_vmm);
                assert!(self.stored.has_microvm(), "nobody would find it again");
                self.agent.has_vmm = false;
                let (network, is_clone) = (self.world.network, self.world.is_clone);
                self.world = World {
                    has_microvm: true,
                    network,
                    is_clone,
                    ..World::default()
                };
            }
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

    /// What the guest is told and does. A guest that is gone is told nothing.
    fn tell_guest(&mut self, action: Action) {
        if !self.world.has_microvm {
            return;
        }
        if self.fails() {
            return self.failed();
        }
        match action {
            Action::SendStart => {
                self.world.has_start = true;
                let numbers = (0..).zip(0..self.rules.containers.len());
                self.world.processes = numbers.map(|(number, container)| process(number, container)).collect();
            }
            Action::RestartContainer {
                container,
                process: number,
            } => {
                let mut others = self
                    .world
                    .processes
                    .iter_mut()
                    .filter(|known| known.container == container);
                assert!(
                    others.all(|known| known.is_over && known.number != number),
                    "it runs already"
                );
                // Of earlier runs nothing is told again.
                for known in self
                    .world
                    .processes
                    .iter_mut()
                    .filter(|known| known.container == container)
                {
                    known.is_forgotten = true;
                }
                self.world.processes.push(process(number, container));
            }
            Action::ReleaseContainer { process } => {
                assert!(self.world.is_limited, "user code never runs unmetered");
                let known = self.world.processes.iter_mut().find(|known| known.number == process);
                known.expect("only what is known is released").is_released = true;
            }
            Action::SendSignal { process, signal, .. } => {
                let ignores = signal == Signal::Stop && self.chance.one_in(4);
                let dead = signal == Signal::Kill && self.faults && self.chance.one_in(10);
                let runs = self
                    .world
                    .processes
                    .iter()
                    .position(|known| known.number == process && !known.is_over);
                if let Some(index) = runs.filter(|_| !ignores && !dead) {
                    self.end_process(index, ExitStatus::Signal(if signal == Signal::Kill { 9 } else { 15 }));
                }
            }
            Action::ShutDownGuest => self.end_microvm(),
            _ => {}
        }
    }

    fn guest_says(&mut self, index: usize, event: Event) {
        self.world.processes[index].told.push(event.clone());
        self.answer(event);
    }

    fn end_process(&mut self, index: usize, status: ExitStatus) {
        let process = &mut self.world.processes[index];
        let number = process.number;
        process.is_over = true;
        let has_run = process.told.contains(&Event::Started { process: number });
        if !has_run && process.is_released {
            let failed = Event::NotStarted {
                process: number,
                failure: StartFailure::Other,
                message: "killed".into(),
            };
            return self.guest_says(index, failed);
        }
        if has_run {
            self.world.ended.push((number, status));
            let exited = Event::Exited {
                process: number,
                status,
                out_of_memory: false,
            };
            self.guest_says(index, exited);
        }
    }

    fn end_microvm(&mut self) {
        if !std::mem::take(&mut self.world.has_microvm) {
            return;
        }
        if self.world.is_clone && !self.world.has_answered {
            return self.answer(Event::CloneFailed("by chance".into()));
        }
        self.answer(Event::MicrovmEnded("by chance".into()));
        // Output that came is delivered, or held back by a client for as long as it is not discarded.
        self.agent.owes_output = true;
        if !self.agent.output_is_held_back {
            self.let_output_through();
        }
    }

    fn let_output_through(&mut self) {
        self.agent.output_is_held_back = false;
        if std::mem::take(&mut self.agent.owes_output) {
            self.answer(Event::OutputOver);
        }
    }

    /// One thing that the guest does by itself.
    fn guest_acts(&mut self) {
        if !self.world.has_microvm {
            return;
        }
        if !self.world.has_answered {
            self.world.has_answered = true;
            return self.answer(Event::GuestAnswered { version: VERSION });
        }
        if self.world.processes.is_empty() {
            return;
        }
        let index = self.chance.below(self.world.processes.len());
        let process = &self.world.processes[index];
        let number = process.number;
        let said = |event: &Event| process.told.contains(event);
        if process.is_over {
            if process.output_open && said(&Event::Started { process: number }) && !self.agent.output_is_held_back {
                self.world.processes[index].output_open = false;
                self.answer(Event::OutputEnded { process: number });
            }
        } else if !said(&Event::Prepared { process: number }) {
            self.guest_says(index, Event::Prepared { process: number });
        } else if process.is_released && !said(&Event::Started { process: number }) {
            self.guest_says(index, Event::Started { process: number });
        } else if said(&Event::Started { process: number }) && self.chance.one_in(4) {
            let code = u8::try_from(self.chance.below(3)).unwrap();
            self.end_process(index, ExitStatus::Code(code));
        }
    }

    /// The host agent is killed and started again.
    fn restart(&mut self) {
        self.agent = Agent {
            timers: self.stored_timers.clone(),
            ..Agent::default()
        };
        self.state = self.stored.clone();
        if self.state.phase == Phase::Stopped {
            return;
        }
        // A guest that has not had its bootstrap message ends with the host agent.
        if self.world.has_microvm && !self.world.has_start {
            self.world.has_microvm = false;
        }
        let is_kept = self.state.has_microvm() && self.world.has_microvm;
        // Leftovers of what no record names.
        if !is_kept {
            self.world.has_microvm = false;
        }
        self.world.network &= self.state.is_attached;
        if !is_kept {
            return self.feed(Event::Lost("the host agent was restarted".into()));
        }
        self.feed(Event::Found);
        for process in self.world.processes.clone() {
            if process.is_forgotten {
                continue;
            }
            for event in process.told {
                self.answer(event);
            }
        }
        for process in self.world.processes.clone() {
            if !process.output_open {
                self.answer(Event::OutputEnded {
                    process: process.number,
                });
            }
        }
        self.answer(Event::Resumed);
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            0 if self.faults => self.feed(Event::StopRequested {
                stop: by_user(),
                timeout_seconds: None,
            }),
            1 if self.faults && self.chance.one_in(3) => self.feed(Event::KillRequested(by_user())),
            2 if self.faults => self.restart(),
            3 if self.faults && self.chance.one_in(3) => self.end_microvm(),
            4 => {
                if !self.agent.timers.is_empty() {
                    let index = self.chance.below(self.agent.timers.len());
                    let timer = self.agent.timers.swap_remove(index);
                    self.feed(Event::TimerFired(timer));
                }
            }
            5 if self.faults && self.chance.one_in(3) => self.agent.output_is_held_back = !self.agent.is_discarding,
            6..12 => self.guest_acts(),
            _ => {
                if let Some(event) = self.agent.answers.pop_front() {
                    self.feed(event);
                }
            }
        }
    }

    /// Lets everything that is owed happen: answers, what the guest does, timers.
    fn settle(&mut self) {
        self.faults = false;
        for _ in 0..4000 {
            if self.state.phase == Phase::Stopped {
                return;
            }
            self.step();
        }
    }

    fn check(&self) {
        assert_eq!(
            self.state.phase,
            Phase::Stopped,
            "stuck in {:?} with {:?}",
            self.state,
            self.agent.answers
        );
        assert!(self.state.stop.is_some(), "{:?}", self.state);
        assert!(!self.world.has_microvm && !self.world.network, "something is left over");
        assert!(!self.agent.has_room && !self.agent.has_vmm, "something is held");
        for container in &self.state.containers {
            let ended = self
                .world
                .ended
                .iter()
                .find(|(process, _)| *process == container.process);
            // An end that the host agent heard of is the one that is told. What was lost with a microVM was not heard.
            let told = container.exit.filter(|exit| matches!(exit, Exit::Code(_)));
            if let Some(told) = told.filter(|_| container.restarts == 0) {
                let expected = ended.map(|(_, status)| match status {
                    ExitStatus::Code(code) => Exit::Code(*code),
                    ExitStatus::Signal(signal) => Exit::Signal(*signal),
                });
                assert_eq!(Some(told), expected, "{:?}", self.state);
            }
        }
    }
}

fn process(number: u32, container: usize) -> Process {
    Process {
        number,
        container,
        is_released: false,
        told: vec![],
        output_open: true,
        is_over: false,
        is_forgotten: false,
    }
}

/// Some task: one to three containers that depend on each other, or not.
fn some_rules(chance: &mut Chance) -> Rules {
    let count = 1 + chance.below(3);
    let containers = (0..count).map(|index| {
        let mut rules = container(&format!("container-{index}"));
        rules.is_essential = index + 1 == count || chance.one_in(2);
        if index > 0 && chance.one_in(2) {
            let conditions = [
                Condition::Start,
                Condition::Complete,
                Condition::Success,
                Condition::Healthy,
            ];
            rules.depends_on = vec![(chance.below(index), conditions[chance.below(4)])];
        }
        if chance.one_in(3) {
            rules.start_timeout_seconds = Some(1);
        }
        if chance.one_in(3) {
            rules.restart = Some(RestartPolicy {
                ignored_exit_codes: vec![2],
                attempt_period_seconds: u32::from(chance.one_in(2)),
            });
        }
        rules.health_check = Some(HealthCheck {
            command: vec![],
            interval_seconds: 1,
            timeout_seconds: 1,
            retries: 2,
            start_period_seconds: 0,
        });
        rules
    });
    let mut rules = rules(containers.collect());
    rules.has_network = chance.one_in(2);
    rules.time_limit_seconds = chance.one_in(4).then_some(1);
    rules
}

fn round(seed: u64) {
    let mut chance = Chance(seed);
    let rules = some_rules(&mut chance);
    let steps = chance.below(200);
    let mut run = Run::new(rules, chance.next());
    run.feed(Event::StartRequested);
    for _ in 0..steps {
        run.step();
    }
    run.faults = false;
    run.feed(Event::StopRequested {
        stop: by_user(),
        timeout_seconds: None,
    });
    run.let_output_through();
    run.settle();
    run.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ROUNDS, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_task_ends_truly_and_leaves_nothing(seed: u64) {
        round(seed);
    }
}

#[test]
fn every_step_may_be_the_host_agents_last() {
    for last in 0..60 {
        let mut run = Run::new(rules(vec![container("a"), container("b")]), 7);
        run.faults = false;
        run.feed(Event::StartRequested);
        for _ in 0..last {
            run.step();
        }
        run.restart();
        run.settle();
        run.feed(Event::StopRequested {
            stop: by_user(),
            timeout_seconds: None,
        });
        run.settle();
        run.check();
    }
}
