//! Tasks that clients end.

use super::*;

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
