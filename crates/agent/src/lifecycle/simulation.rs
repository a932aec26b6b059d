//! Random clients, hosts and guests against the state machine: what holds in every order of events.

use std::collections::VecDeque;

use proptest::prelude::*;
use protocol::guest::{ExitStatus, StartFailure, VERSION};

use super::{Action, Cause, Event, Microvm, State, Timer, next};

/// A host that keeps its promises and nothing more: what it did is written down, what it answers is chosen by chance.
#[derive(Default)]
struct Host {
    is_cloned: bool,
    template_settled: bool,
    microvm: Option<Microvm>,
    streams_open: bool,
    discarding: bool,
    cpu_limited: bool,
    /// Whether the microVM is a clone whose guest has not answered.
    is_unproved_clone: bool,
    starts: u32,
    holds: bool,
    released: u32,
    timers: Vec<Timer>,
    answers: VecDeque<Event>,
}

impl Host {
    fn perform(&mut self, action: Action, succeeds: bool) {
        let failed = || "by chance".to_owned();
        match action {
            Action::Provision if !self.template_settled => {
                self.template_settled = true;
                self.answers.extend([Event::TemplatePending, Event::TemplateSettled]);
            }
            Action::Provision => {
                assert!(!self.holds, "what is held is not made twice");
                self.holds = succeeds;
                self.answers.push_back(if succeeds {
                    Event::Provisioned
                } else {
                    Event::ProvisionFailed(failed())
                });
            }
            Action::StartMicrovm | Action::BootMicrovm if succeeds => {
                assert_ne!(self.microvm, Some(Microvm::Alive), "a task has one microVM");
                assert!(!self.streams_open, "streams belong to one microVM");
                self.starts += 1;
                assert!(self.starts <= 2, "a task is started again and again");
                self.is_unproved_clone = action == Action::StartMicrovm && self.is_cloned;
                (self.microvm, self.streams_open) = (Some(Microvm::Alive), true);
            }
            Action::StartMicrovm | Action::BootMicrovm => self.answers.push_back(Event::MicrovmNotStarted(failed())),
            Action::LimitCpu => {
                self.cpu_limited = succeeds;
                let answer = if succeeds {
                    Event::CpuLimited
                } else {
                    Event::ActionFailed(failed())
                };
                self.answers.push_back(answer);
            }
            Action::ReleaseContainer => {
                assert!(self.cpu_limited, "user code never runs unmetered");
                self.fail_unless(succeeds);
            }
            Action::SendStart | Action::SendSignal(_) | Action::ShutDownGuest => self.fail_unless(succeeds),
            Action::KillMicrovm => self.end_microvm(),
            Action::DiscardOutput => {
                self.discarding = true;
                self.end_streams_that_nothing_holds();
            }
            Action::StartTimer(timer) => self.timers.push(timer),
            Action::StartStopTimer(_) => self.timers.push(Timer::Stop),
            Action::ReleaseResources => {
                assert_ne!(self.microvm, Some(Microvm::Alive), "a microVM's resources are in use");
                assert!(!self.streams_open, "output would be lost");
                self.holds = false;
                self.released += 1;
                self.answers.push_back(Event::Released);
            }
        }
    }

    fn fail_unless(&mut self, succeeds: bool) {
        if !succeeds {
            self.answers.push_back(Event::ActionFailed("by chance".to_owned()));
        }
    }

    fn end_microvm(&mut self) {
        if self.microvm == Some(Microvm::Alive) {
            self.microvm = Some(Microvm::Gone);
            if self.is_unproved_clone {
                self.streams_open = false;
                self.answers.push_back(Event::CloneFailed("by chance".to_owned()));
                return;
            }
            self.answers.push_back(Event::MicrovmEnded("by chance".to_owned()));
            self.end_streams_that_nothing_holds();
        }
    }

    /// A guest that lives and a client that does not read can hold output back for ever.
    fn end_streams_that_nothing_holds(&mut self) {
        if self.discarding && self.microvm == Some(Microvm::Gone) {
            self.end_streams();
        }
    }

    fn end_streams(&mut self) {
        // A clone whose guest never answered has none.
        if self.is_unproved_clone {
            return;
        }
        if std::mem::take(&mut self.streams_open) {
            self.answers.push_back(Event::StreamsEnded);
        }
    }
}

/// What may come from outside at any time.
#[derive(Clone, Debug)]
enum Chance {
    Client(Event),
    Guest(Event),
    MicrovmEnds,
    StreamsEnd,
    TimerFires(usize),
    HostAnswers,
}

fn client() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::StartRequested),
        any::<Option<u32>>().prop_map(|timeout_seconds| Event::StopRequested {
            cause: Cause::Request,
            timeout_seconds
        }),
        Just(Event::KillRequested(Cause::Request)),
        (1..65_u8).prop_map(Event::SignalRequested),
    ]
}

fn guest() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::GuestAnswered { version: VERSION }),
        4 => Just(Event::ContainerPrepared),
        4 => Just(Event::ContainerStarted),
        1 => Just(Event::GuestAnswered { version: VERSION + 1 }),
        1 => Just(Event::ContainerNotStarted { failure: StartFailure::NotFound, message: String::new() }),
        1 => any::<u8>().prop_map(|code| Event::ContainerExited { status: ExitStatus::Code(code), out_of_memory: false }),
        1 => Just(Event::GuestFailed("by chance".into())),
    ]
}

fn chance() -> impl Strategy<Value = (Chance, bool)> {
    let chance = prop_oneof![
        1 => client().prop_map(Chance::Client),
        6 => guest().prop_map(Chance::Guest),
        1 => Just(Chance::MicrovmEnds),
        1 => Just(Chance::StreamsEnd),
        1 => any::<usize>().prop_map(Chance::TimerFires),
        8 => Just(Chance::HostAnswers),
    ];
    (chance, prop::bool::weighted(0.9))
}

struct Run {
    host: Host,
    state: State,
}

impl Run {
    fn feed(&mut self, event: Event, succeeds: bool) {
        let before = self.state.clone();
        let (state, actions) = next(before.clone(), event);
        assert!(state.status() >= before.status(), "{before:?} went back to {state:?}");
        if let Some(outcome) = before.outcome() {
            assert_eq!(state.outcome(), Some(outcome), "an outcome is final");
        }
        self.state = state;
        for action in actions {
            self.host.perform(action, succeeds);
        }
    }

    fn step(&mut self, chance: Chance, succeeds: bool) {
        let guest_speaks = self.host.microvm == Some(Microvm::Alive);
        match chance {
            Chance::Client(event) => self.feed(event, succeeds),
            Chance::Guest(event) if guest_speaks => {
                self.host.is_unproved_clone &= !matches!(event, Event::GuestAnswered { .. });
                self.feed(event, succeeds);
            }
            Chance::Guest(_) => {}
            Chance::MicrovmEnds => self.host.end_microvm(),
            Chance::StreamsEnd => self.host.end_streams(),
            Chance::TimerFires(index) => {
                if !self.host.timers.is_empty() {
                    let timer = self.host.timers.remove(index % self.host.timers.len());
                    self.feed(Event::TimerFired(timer), succeeds);
                }
            }
            Chance::HostAnswers => {
                if let Some(event) = self.host.answers.pop_front() {
                    self.feed(event, succeeds);
                }
            }
        }
    }

    /// Lets everything that is owed happen: answers, then timers.
    fn settle(&mut self) {
        while let Some(event) = self.host.answers.pop_front() {
            self.feed(event, true);
        }
        while let Some(timer) = self.host.timers.pop() {
            self.feed(Event::TimerFired(timer), true);
            while let Some(event) = self.host.answers.pop_front() {
                self.feed(event, true);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn every_task_can_be_ended_and_leaves_nothing(
        is_cloned in any::<bool>(), template_settled in any::<bool>(), chances in prop::collection::vec(chance(), 0..40)
    ) {
        let host = Host { is_cloned, template_settled, ..Host::default() };
        let mut run = Run { host, state: State::Created };
        for (chance, succeeds) in chances {
            run.step(chance, succeeds);
        }
        // Also where the guest says nothing more and no client takes anything more.
        run.feed(Event::KillRequested(Cause::Request), true);
        run.settle();
        prop_assert!(matches!(run.state, State::Stopped(_)), "stuck in {:?}", run.state);
        prop_assert_ne!(run.host.microvm, Some(Microvm::Alive));
        prop_assert!(!run.host.streams_open);
        prop_assert!(!run.host.holds && run.host.released <= 1);
        let (state, actions) = next(run.state.clone(), Event::StartRequested);
        prop_assert_eq!((state, actions), (run.state, vec![]));
    }
}
