//! Lives of tasks, told event by event.

mod containers;
mod restart;
mod stopping;

use protocol::guest::{ExitStatus, StartFailure, VERSION};

use super::*;
use crate::record::{Condition, HealthCheck, RestartPolicy};

pub(super) fn container(name: &str) -> ContainerRules {
    ContainerRules {
        name: name.to_owned(),
        is_essential: true,
        depends_on: vec![],
        start_timeout_seconds: None,
        stop_timeout_seconds: 30,
        health_check: None,
        restart: None,
    }
}

pub(super) fn rules(containers: Vec<ContainerRules>) -> Rules {
    Rules {
        has_network: false,
        time_limit_seconds: None,
        containers,
    }
}

fn one() -> Rules {
    rules(vec![container("main")])
}

/// `sidecar` is not essential, `main` waits for it.
fn two(condition: Condition) -> Rules {
    let mut sidecar = container("sidecar");
    sidecar.is_essential = false;
    let mut main = container("main");
    main.depends_on = vec![(0, condition)];
    rules(vec![sidecar, main])
}

pub(super) fn by_user() -> Stop {
    Stop {
        code: StopCode::UserInitiated,
        reason: "enough".to_owned(),
    }
}

pub(super) fn exited(process: u32, code: u8) -> Event {
    Event::Exited {
        process,
        status: ExitStatus::Code(code),
        out_of_memory: false,
    }
}

/// From the request to a guest agent that has its bootstrap message.
fn booted() -> Vec<Event> {
    vec![
        Event::StartRequested,
        Event::Reserved,
        Event::ImagesFetched,
        Event::Provisioned,
        Event::GuestAnswered { version: VERSION },
    ]
}

/// Up to a running first container.
fn running() -> Vec<Event> {
    let rest = [
        Event::Prepared { process: 0 },
        Event::CpuLimited,
        Event::Started { process: 0 },
    ];
    [booted(), rest.to_vec()].concat()
}

/// Up to a running first container, with a second one that is prepared.
fn running_two() -> Vec<Event> {
    let rest = [
        Event::Prepared { process: 0 },
        Event::Prepared { process: 1 },
        Event::CpuLimited,
        Event::Started { process: 0 },
    ];
    [booted(), rest.to_vec()].concat()
}

/// What follows the last container's end.
fn ended(processes: &[u32]) -> Vec<Event> {
    let outputs = processes.iter().map(|process| Event::OutputEnded { process: *process });
    let rest = [
        Event::MicrovmEnded("the guest shut down".into()),
        Event::OutputOver,
        Event::Released,
    ];
    outputs.chain(rest).collect()
}

/// Tells all events; the state, and what was to be done for the last one.
fn tell(rules: &Rules, events: &[Event]) -> (State, Vec<Action>) {
    let mut state = State::new(rules);
    let mut actions = vec![];
    for event in events {
        let before = state.status();
        (state, actions) = next(rules, state, event.clone());
        assert!(state.status() >= before, "{event:?} led back to {:?}", state.status());
    }
    (state, actions)
}

fn with(events: Vec<Event>, more: &[Event]) -> Vec<Event> {
    [events, more.to_vec()].concat()
}

fn reason(state: &State) -> &str {
    &state.stop.as_ref().unwrap().reason
}

#[test]
fn a_task_goes_through_all_its_phases() {
    let all = with(with(running(), &[exited(0, 7)]), &ended(&[0]));
    let mut state = State::new(&one());
    let mut statuses = vec![state.status()];
    for event in all {
        state = next(&one(), state, event).0;
        statuses.push(state.status());
    }
    statuses.dedup();
    let expected = [
        Status::Provisioning,
        Status::Pending,
        Status::Activating,
        Status::Running,
        Status::Deprovisioning,
        Status::Stopped,
    ];
    assert_eq!(statuses, expected);
    assert_eq!(state.containers[0].exit, Some(Exit::Code(7)));
    assert_eq!(state.stop.unwrap().reason, "Essential container in task exited");
}

#[test]
fn user_code_is_limited_before_it_runs() {
    let (state, actions) = tell(&one(), &with(booted(), &[Event::Prepared { process: 0 }]));
    assert_eq!((state.status(), actions), (Status::Activating, vec![Action::LimitCpu]));
    let (_, actions) = tell(&one(), &running()[..7]);
    assert_eq!(actions, [Action::ReleaseContainer { process: 0 }]);
}

#[test]
fn a_network_is_made_before_images_are_fetched() {
    let mut rules = one();
    rules.has_network = true;
    let (_, actions) = tell(&rules, &[Event::StartRequested, Event::Reserved]);
    assert_eq!(actions, [Action::AttachNetwork]);
    let (_, actions) = tell(
        &rules,
        &[Event::StartRequested, Event::Reserved, Event::NetworkAttached],
    );
    assert_eq!(actions, [Action::FetchImages]);
    let failed = Event::NetworkFailed("port 80 is taken".into());
    let (state, actions) = tell(&rules, &[Event::StartRequested, Event::Reserved, failed]);
    assert_eq!(reason(&state), "ResourceInitializationError: port 80 is taken");
    assert_eq!(actions, [Action::ReleaseResources]);
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_in_ecs_words() {
    let trouble = Trouble::Image {
        container: 0,
        message: "no such image".into(),
    };
    let events = [
        Event::StartRequested,
        Event::Reserved,
        Event::FetchFailed(trouble),
        Event::Released,
    ];
    let (state, _) = tell(&one(), &events);
    assert_eq!(reason(&state), "CannotPullContainerError: no such image");
    assert_eq!(
        state.containers[0].reason.as_deref(),
        Some("CannotPullContainerError: no such image")
    );
    assert_eq!(state.stop.as_ref().unwrap().code, StopCode::TaskFailedToStart);
    assert_eq!((state.status(), state.containers[0].exit), (Status::Stopped, None));
}

#[test]
fn a_clone_that_fails_is_booted_in_full_and_only_once() {
    let failed = Event::CloneFailed("bad registers".into());
    let (state, actions) = tell(&one(), &with(booted()[..4].to_vec(), std::slice::from_ref(&failed)));
    assert_eq!((state.phase, actions), (Phase::Replacing, vec![Action::ReplaceClone]));
    let again = [failed.clone(), Event::Provisioned];
    let (state, actions) = tell(&one(), &with(booted()[..4].to_vec(), &again));
    assert_eq!(
        (state.phase, actions),
        (Phase::Booting(Attempt::Fallback), vec![Action::StartMicrovm])
    );
    let gone = [
        failed,
        Event::Provisioned,
        Event::MicrovmEnded("bad kernel".into()),
        Event::OutputOver,
    ];
    let (state, actions) = tell(&one(), &with(booted()[..4].to_vec(), &gone));
    assert!(reason(&state).contains("bad kernel"));
    assert_eq!(actions, [Action::ReleaseResources]);
}

#[test]
fn a_guest_agent_of_another_version_is_refused() {
    let other = Event::GuestAnswered { version: VERSION + 1 };
    let (state, actions) = tell(&one(), &with(booted()[..4].to_vec(), &[other]));
    assert!(reason(&state).contains("version"));
    assert_eq!(actions, [Action::KillMicrovm]);
}

#[test]
fn a_guest_agent_that_speaks_of_what_nobody_started_is_ended() {
    let (state, actions) = tell(&one(), &with(running(), &[Event::Prepared { process: 9 }]));
    assert!(reason(&state).contains("process 9"));
    assert_eq!(actions, [Action::KillMicrovm]);
}
