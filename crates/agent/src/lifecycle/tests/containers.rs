//! What happens to single containers: their starts and failures, what they wait for, runs after the first, health.

use super::*;

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
