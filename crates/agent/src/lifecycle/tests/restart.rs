//! Host agents that are restarted, with their hosts or alone.

use super::*;

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
fn a_guest_that_was_not_told_what_to_be_is_made_anew() {
    let (booting, _) = tell(&one(), &booted()[..4]);
    let (state, actions) = next(&one(), booting, Event::Untold);
    assert_eq!((state.phase, actions), (Phase::Reserving, vec![Action::Reserve]));
    let (state, actions) = next(&one(), state, Event::Reserved);
    assert_eq!((state.phase, actions), (Phase::Fetching, vec![Action::FetchImages]));
    let stop = Event::KillRequested(by_user());
    let (state, _) = tell(&one(), &with(booted()[..4].to_vec(), &[stop, Event::Untold]));
    assert_eq!(state.phase, Phase::Releasing);
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
    let (state, actions) = next(&one(), State::new(&one()), lost.clone());
    assert_eq!((state.phase, actions), (Phase::Stopped, vec![]));
    let reason = "the host was restarted before the task was started";
    assert_eq!(state.stop.unwrap().reason, reason);
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
