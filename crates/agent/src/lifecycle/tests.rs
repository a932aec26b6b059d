//! Lives of tasks, told event by event.

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
fn a_process_that_cannot_start_is_told_in_ecs_words() {
    for (failure, exit) in [
        (StartFailure::NotFound, Exit::NotFound),
        (StartFailure::NotExecutable, Exit::NotExecutable),
        (StartFailure::Other, Exit::Failed),
    ] {
        let failed = Event::NotStarted {
            process: 0,
            failure,
            message: "no".into(),
        };
        let (state, actions) = tell(&one(), &with(running()[..7].to_vec(), &[failed]));
        assert_eq!(reason(&state), "CannotStartContainerError: no");
        assert_eq!(state.stop.as_ref().unwrap().code, StopCode::TaskFailedToStart);
        assert_eq!(state.containers[0].exit, Some(exit));
        assert_eq!(actions[0], Action::ShutDownGuest);
    }
}

#[test]
fn a_container_at_its_memory_limit_says_so() {
    let killed = Event::Exited {
        process: 0,
        status: ExitStatus::Signal(9),
        out_of_memory: true,
    };
    let (state, _) = tell(&one(), &with(running(), &[killed]));
    let container = &state.containers[0];
    assert_eq!(container.exit.map(Exit::shell_code), Some(137));
    assert_eq!(
        container.reason.as_deref(),
        Some("OutOfMemoryError: Container killed due to memory usage")
    );
}

#[test]
fn a_dependency_is_waited_for_by_each_condition() {
    let released = Action::ReleaseContainer { process: 1 };
    let (state, actions) = tell(&two(Condition::Start), &running_two());
    assert_eq!((state.phase, actions.contains(&released)), (Phase::Running, true));
    for condition in [Condition::Complete, Condition::Success] {
        let (state, actions) = tell(&two(condition), &running_two());
        assert_eq!((state.phase, actions.contains(&released)), (Phase::Running, false));
        let (_, actions) = tell(&two(condition), &with(running_two(), &[exited(0, 0)]));
        assert!(actions.contains(&released));
    }
    let (_, actions) = tell(&two(Condition::Complete), &with(running_two(), &[exited(0, 1)]));
    assert!(actions.contains(&released));
    let mut rules = two(Condition::Healthy);
    rules.containers[0].health_check = Some(health_check());
    let healthy = Event::HealthChecked {
        process: 0,
        is_healthy: true,
    };
    let (_, actions) = tell(&rules, &with(running_two(), &[healthy]));
    assert!(actions.contains(&released));
}

#[test]
fn what_a_container_waits_for_in_vain_ends_the_task() {
    let (state, _) = tell(&two(Condition::Success), &with(running_two(), &[exited(0, 1)]));
    assert!(reason(&state).starts_with("CannotStartContainerError: it waits for container sidecar to be successful"));
    assert_eq!(state.containers[0].exit, Some(Exit::Code(1)));
    assert_eq!(state.containers[1].exit, None);
}

#[test]
fn a_dependency_has_a_time_to_become_what_is_waited_for() {
    let mut rules = two(Condition::Complete);
    rules.containers[0].start_timeout_seconds = Some(5);
    let late = Event::TimerFired(Timer::StartTimeout(0));
    let (state, actions) = tell(&rules, &with(running_two(), &[late]));
    assert!(reason(&state).contains("within 5 seconds"), "{}", reason(&state));
    assert!(matches!(
        actions[0],
        Action::SendSignal {
            container: 0,
            signal: Signal::Stop,
            ..
        }
    ));
}

#[test]
fn containers_are_stopped_in_the_reverse_order_of_their_dependencies() {
    let up = with(running_two(), &[Event::Started { process: 1 }]);
    let stop = Event::StopRequested {
        stop: by_user(),
        timeout_seconds: None,
    };
    let signals = |actions: &[Action]| {
        let container = |action: &Action| match action {
            Action::SendSignal { container, .. } => Some(*container),
            _ => None,
        };
        actions.iter().filter_map(container).collect::<Vec<_>>()
    };
    let (state, actions) = tell(&two(Condition::Start), &with(up.clone(), std::slice::from_ref(&stop)));
    assert_eq!((state.phase, signals(&actions)), (Phase::Stopping, vec![1]));
    let (_, actions) = tell(&two(Condition::Start), &with(up, &[stop, exited(1, 143)]));
    assert_eq!(signals(&actions), [0]);
}

#[test]
fn a_container_that_ignores_its_stop_signal_is_killed_and_then_given_up() {
    let stop = Event::StopRequested {
        stop: by_user(),
        timeout_seconds: Some(3),
    };
    let (_, actions) = tell(&one(), &with(running(), std::slice::from_ref(&stop)));
    assert_eq!(
        actions[1],
        Action::StartTimer {
            timer: Timer::Stop(0),
            seconds: 3
        }
    );
    let fired = Event::TimerFired(Timer::Stop(0));
    let (_, actions) = tell(&one(), &with(running(), &[stop.clone(), fired.clone()]));
    assert!(matches!(
        actions[0],
        Action::SendSignal {
            signal: Signal::Kill,
            ..
        }
    ));
    let events = with(running(), &[stop, fired, Event::TimerFired(Timer::Kill(0))]);
    let (state, actions) = tell(&one(), &events);
    assert_eq!(actions, [Action::DiscardOutput, Action::KillMicrovm]);
    assert_eq!(state.containers[0].exit, Some(Exit::Signal(9)));
    assert_eq!(reason(&state), "enough");
}

#[test]
fn a_task_can_be_stopped_in_every_phase() {
    let all = with(running(), &[exited(0, 0)]);
    let stop = Event::StopRequested {
        stop: by_user(),
        timeout_seconds: None,
    };
    for len in 0..=all.len() {
        for event in [stop.clone(), Event::KillRequested(by_user())] {
            let events = with(all[..len].to_vec(), &[event]);
            let (state, _) = tell(&one(), &events);
            assert!(!state.is_wanted(), "{len}");
            let process_ran = len >= 8;
            assert_eq!(state.has_started(), process_ran, "{len}");
        }
    }
    let (state, actions) = tell(&one(), &[stop]);
    assert_eq!((state.status(), actions), (Status::Stopped, vec![]));
}

#[test]
fn a_container_is_started_again_as_its_policy_says() {
    let mut rules = rules(vec![container("main")]);
    rules.containers[0].restart = Some(RestartPolicy {
        ignored_exit_codes: vec![3],
        attempt_period_seconds: 60,
    });
    let long = Event::TimerFired(Timer::Attempt(0));
    let (state, actions) = tell(&rules, &with(running(), &[long.clone(), exited(0, 1)]));
    let again = Action::RestartContainer {
        container: 0,
        process: 1,
    };
    assert_eq!((state.phase, actions), (Phase::Running, vec![again]));
    assert_eq!(
        (state.containers[0].restarts, state.containers[0].exit),
        (1, Some(Exit::Code(1)))
    );
    let up = [long.clone(), exited(0, 1), Event::Prepared { process: 1 }];
    let (_, actions) = tell(&rules, &with(running(), &up));
    assert_eq!(actions, [Action::ReleaseContainer { process: 1 }]);
    for events in [vec![exited(0, 1)], vec![long, exited(0, 3)]] {
        let (state, _) = tell(&rules, &with(running(), &events));
        assert!(!state.is_wanted(), "{events:?}");
    }
}

#[test]
fn a_container_that_may_always_be_started_again_rests_longer_and_longer() {
    let mut rules = rules(vec![container("main")]);
    rules.containers[0].restart = Some(RestartPolicy {
        ignored_exit_codes: vec![],
        attempt_period_seconds: 0,
    });
    let mut events = running();
    for (process, seconds) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
        events.extend([Event::TimerFired(Timer::Attempt(process)), exited(process, 1)]);
        let (_, actions) = tell(&rules, &events);
        let timer = Timer::Pause(process + 1);
        assert_eq!(actions, [Action::StartTimer { timer, seconds }]);
        let process = process + 1;
        events.extend([
            Event::TimerFired(timer),
            Event::Prepared { process },
            Event::Started { process },
        ]);
    }
}

fn health_check() -> HealthCheck {
    HealthCheck {
        command: vec!["check".into()],
        interval_seconds: 10,
        timeout_seconds: 5,
        retries: 2,
        start_period_seconds: 60,
    }
}

#[test]
fn health_counts_failures_in_a_row_after_the_start_period() {
    let mut rules = rules(vec![container("main")]);
    rules.containers[0].health_check = Some(health_check());
    let checked = |is_healthy| Event::HealthChecked { process: 0, is_healthy };
    let health = |events: &[Event]| tell(&rules, &with(running(), events)).0.containers[0].health;
    let over = Event::TimerFired(Timer::StartPeriod(0));
    assert_eq!(
        health(&[checked(false), checked(false), checked(false)]),
        Health::Unknown
    );
    assert_eq!(health(&[over.clone(), checked(false)]), Health::Unknown);
    assert_eq!(
        health(&[over.clone(), checked(false), checked(false)]),
        Health::Unhealthy
    );
    assert_eq!(health(&[checked(true), checked(false)]), Health::Healthy);
    assert_eq!(
        health(&[checked(true), checked(false), checked(false)]),
        Health::Unhealthy
    );
    assert_eq!(
        health(&[over, checked(false), checked(true), checked(false)]),
        Health::Healthy
    );
    let due = Event::TimerFired(Timer::Health(0));
    let (_, actions) = tell(&rules, &with(running(), &[due]));
    assert_eq!(
        actions,
        [Action::CheckHealth {
            container: 0,
            process: 0
        }]
    );
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

#[test]
fn after_a_restart_of_the_host_agent_the_guest_tells_again() {
    // Nothing that came after the boot is known to the next host agent, and a released process may not have heard of it.
    let events = [
        Event::Found,
        Event::Prepared { process: 0 },
        Event::Resumed,
        Event::CpuLimited,
        Event::Started { process: 0 },
    ];
    let (state, _) = tell(&one(), &with(booted()[..4].to_vec(), &events));
    assert_eq!(state.phase, Phase::Running);
    let events = [
        Event::Found,
        Event::Prepared { process: 0 },
        Event::Started { process: 0 },
        exited(0, 7),
    ];
    let (state, actions) = tell(&one(), &with(running(), &events));
    assert_eq!((state.phase, actions), (Phase::Running, vec![]));
    let (state, _) = tell(&one(), &with(with(running(), &events), &[Event::Resumed]));
    assert_eq!(
        (state.phase, state.containers[0].exit),
        (Phase::Draining(Microvm::Alive), Some(Exit::Code(7)))
    );
}

#[test]
fn what_may_not_have_reached_the_guest_is_said_again() {
    let mut rules = rules(vec![container("main")]);
    rules.containers[0].restart = Some(RestartPolicy {
        ignored_exit_codes: vec![],
        attempt_period_seconds: 60,
    });
    // Of a process that is to run again, the guest speaks only as long as it was not told to.
    let restarting = [Event::TimerFired(Timer::Attempt(0)), exited(0, 1), Event::Found];
    let (_, actions) = tell(&rules, &with(with(running(), &restarting), &[Event::Resumed]));
    assert_eq!(actions, []);
    let told = [Event::Started { process: 0 }, exited(0, 1), Event::Resumed];
    let restarting = [&restarting[..], &told].concat();
    let (_, actions) = tell(&rules, &with(running(), &restarting));
    assert_eq!(
        actions,
        [Action::RestartContainer {
            container: 0,
            process: 2
        }]
    );
    let stop = Event::StopRequested {
        stop: by_user(),
        timeout_seconds: None,
    };
    let (_, actions) = tell(&rules, &with(running(), &[stop, Event::Found, Event::Resumed]));
    assert!(matches!(
        actions[0],
        Action::SendSignal {
            signal: Signal::Stop,
            ..
        }
    ));
    let ending = [
        exited(0, 1),
        Event::OutputEnded { process: 0 },
        Event::Found,
        Event::Resumed,
    ];
    let (_, actions) = tell(&one(), &with(running(), &ending));
    assert_eq!(actions[0], Action::ShutDownGuest);
}

#[test]
fn a_microvm_that_is_lost_ends_its_task_and_one_that_never_was_is_made() {
    let lost = Event::Lost("the host was restarted".into());
    for len in 1..4 {
        let (state, actions) = tell(&one(), &booted()[..len]);
        assert!(!actions.is_empty());
        let (state, actions) = next(&one(), state, lost.clone());
        assert_eq!(
            (state.phase, actions),
            (Phase::Reserving, vec![Action::Reserve]),
            "{len}"
        );
    }
    let (state, actions) = tell(&one(), &with(running(), std::slice::from_ref(&lost)));
    assert_eq!(
        state.stop,
        Some(Stop {
            code: StopCode::TerminationNotice,
            reason: "the host was restarted".into()
        })
    );
    assert_eq!(actions, [Action::ReleaseResources]);
    let (state, _) = tell(&one(), &with(running(), &[exited(0, 3), lost]));
    assert_eq!(state.containers[0].exit, Some(Exit::Code(3)));
}
