//! Tasks on a simulated host with a simulated guest: everything fails by chance, the host agent is restarted by chance, and in the end nothing is left.
//!
//! The host keeps the promises that are written at [`Action`], and nothing more. What is stored is what a real host agent stores: the state at
//! each action that needs it, and at quiet moments.

mod chance;
mod guest;
mod host;

use proptest::prelude::*;
use protocol::guest::ExitStatus;

use super::tests::{by_user, container, rules};
use super::*;

use chance::{Chance, some_rules};
use host::{Agent, World};

/// Rounds of one run of the tests.
const ROUNDS: u32 = 500;

/// One task from its beginning to its end.
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
        let is_untold = self.state.has_microvm() && !self.world.has_start;
        // Leftovers of what no record names.
        if !is_kept {
            self.world.has_microvm = false;
        }
        self.world.network &= self.state.is_attached;
        if is_untold {
            self.agent.timers.clear();
            return self.feed(Event::Untold);
        }
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
