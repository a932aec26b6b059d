//! Every state that any order of events leads to, and every event in each of them.

use std::collections::{HashSet, VecDeque};

use protocol::guest::{ExitStatus, StartFailure, VERSION};

use super::tests::{by_user, container, exited, rules};
use super::*;
use crate::record::{Condition, HealthCheck, RestartPolicy};

/// States that are looked at: more than there are, unless a rule lets them grow without end.
const STATES_MAX: usize = 400_000;

/// All that can happen to a task with so many processes.
fn events(processes: u32) -> Vec<Event> {
    let text = || "x".to_owned();
    let mut events = vec![
        Event::StartRequested,
        Event::StopRequested {
            stop: by_user(),
            timeout_seconds: None,
        },
        Event::KillRequested(by_user()),
        Event::SignalRequested {
            container: None,
            signal: 15,
        },
        Event::Reserved,
        Event::NetworkAttached,
        Event::NetworkFailed(text()),
        Event::ImagesFetched,
        Event::FetchFailed(Trouble::Resource { message: text() }),
        Event::Provisioned,
        Event::ProvisionFailed(text()),
        Event::TemplatePending,
        Event::TemplateSettled,
        Event::MicrovmNotStarted(text()),
        Event::CloneFailed(text()),
        Event::GuestAnswered { version: VERSION },
        Event::CpuLimited,
        Event::GuestFailed(text()),
        Event::ActionFailed(text()),
        Event::MicrovmEnded(text()),
        Event::OutputOver,
        Event::Released,
        Event::Found,
        Event::Resumed,
        Event::Untold,
        Event::Lost(text()),
    ];
    let timers = [
        Timer::Boot,
        Timer::Clone,
        Timer::TimeLimit,
        Timer::Drain,
        Timer::ShutDown,
    ];
    events.extend(timers.map(Event::TimerFired));
    events.extend((0..processes).flat_map(events_of));
    events
}

/// All that can happen to one process.
fn events_of(process: u32) -> Vec<Event> {
    let mut events = vec![
        Event::Prepared { process },
        Event::Started { process },
        Event::NotStarted {
            process,
            failure: StartFailure::NotFound,
            message: "x".to_owned(),
        },
        exited(process, 0),
        Event::Exited {
            process,
            status: ExitStatus::Signal(9),
            out_of_memory: true,
        },
        Event::OutputEnded { process },
        Event::HealthChecked {
            process,
            is_healthy: true,
        },
        Event::HealthChecked {
            process,
            is_healthy: false,
        },
    ];
    let timers = [
        Timer::Stop(process),
        Timer::Kill(process),
        Timer::Health(process),
        Timer::StartPeriod(process),
        Timer::Attempt(process),
        Timer::Pause(process),
        Timer::StartTimeout(process),
    ];
    events.extend(timers.map(Event::TimerFired));
    events
}

/// What holds in every state.
fn check_state(state: &State) {
    let is_over = |container: &Container| container.stage == Stage::Over;
    if matches!(
        state.phase,
        Phase::Draining(_) | Phase::Ending | Phase::Releasing | Phase::Stopped
    ) {
        assert!(state.stop.is_some(), "{state:?} ends for no reason");
        assert!(
            state.containers.iter().all(is_over),
            "{state:?} ends with containers that run"
        );
    }
    if !matches!(state.phase, Phase::Stopping) && state.is_wanted() {
        assert!(
            state.containers.iter().all(|container| container.ending == Ending::No),
            "{state:?}"
        );
    }
    if state.phase == Phase::Stopping && !state.is_resuming {
        assert!(
            state.containers.iter().any(Container::is_live),
            "{state:?} waits for nobody"
        );
    }
}

fn check_step(before: &State, event: &Event, state: &State, actions: &[Action]) {
    let told = || format!("{event:?} in {before:?} led to {state:?} with {actions:?}");
    // A start that is begun anew, after a restart of the host agent, is a start.
    let began_anew = matches!(event, Event::Untold | Event::Lost(_)) && state.phase == Phase::Reserving;
    let is_resumed = matches!(event, Event::Found);
    assert!(
        state.status() >= before.status() || began_anew || is_resumed,
        "{}",
        told()
    );
    if let Some(stop) = &before.stop {
        assert_eq!(state.stop.as_ref(), Some(stop), "{}", told());
    }
    if before.phase == Phase::Stopped {
        assert!(state == before && actions.is_empty(), "{}", told());
    }
    for action in actions {
        match action {
            Action::ReleaseContainer { .. } => assert!(
                matches!(state.phase, Phase::Activating(Activation::Released) | Phase::Running),
                "user code is not metered: {}",
                told()
            ),
            Action::ReleaseResources => assert_eq!(state.phase, Phase::Releasing, "{}", told()),
            Action::RestartContainer { process, .. } => assert!(*process < state.process_next, "{}", told()),
            _ => {}
        }
    }
    for (old, new) in before.containers.iter().zip(&state.containers) {
        if old.exit.is_some() && old.process == new.process {
            let ran_again = old.stage != Stage::Over;
            assert!(old.exit == new.exit || ran_again, "an exit code changed: {}", told());
        }
    }
}

/// How many there are of the states that can be reached; how often containers are started again is bounded.
fn check(rules: &Rules, processes: u32) -> usize {
    let events = events(processes);
    let first = State::new(rules);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = VecDeque::from([first]);
    while let Some(before) = open.pop_front() {
        for event in &events {
            let (state, actions) = next(rules, before.clone(), event.clone());
            check_step(&before, event, &state, &actions);
            check_state(&state);
            if state.process_next <= processes && seen.insert(state.clone()) {
                open.push_back(state);
            }
        }
        assert!(seen.len() < STATES_MAX, "there is no end of states");
    }
    seen.len()
}

#[test]
fn one_container_with_everything() {
    let mut main = container("main");
    main.health_check = Some(HealthCheck {
        command: vec![],
        interval_seconds: 1,
        timeout_seconds: 1,
        retries: 2,
        start_period_seconds: 1,
    });
    main.restart = Some(RestartPolicy {
        ignored_exit_codes: vec![],
        attempt_period_seconds: 0,
    });
    let mut rules = rules(vec![main]);
    rules.has_network = true;
    rules.time_limit_seconds = Some(1);
    assert!(check(&rules, 2) > 100);
}

#[test]
fn two_containers_that_depend() {
    for condition in [Condition::Start, Condition::Success] {
        let mut sidecar = container("sidecar");
        sidecar.is_essential = false;
        sidecar.start_timeout_seconds = Some(1);
        let mut main = container("main");
        main.depends_on = vec![(0, condition)];
        assert!(check(&rules(vec![sidecar, main]), 2) > 100);
    }
}
