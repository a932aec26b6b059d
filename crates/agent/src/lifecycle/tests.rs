//! What single transitions must do, by name.

use api::task::{Exit, Status};
use protocol::guest::{ExitStatus, StartFailure, VERSION};

use super::{Action, Activation, Attempt, Cause, Event, Outcome, Signal, State, Streams, Timer, next};

/// Lets `events` happen to a created task: the state at the end and every action on the way.
fn check(events: &[Event]) -> (State, Vec<Action>) {
    events
        .iter()
        .fold((State::Created, vec![]), |(state, mut actions), event| {
            let (state, more) = next(state, event.clone());
            actions.extend(more);
            (state, actions)
        })
}

fn started() -> Vec<Event> {
    vec![
        Event::StartRequested,
        Event::Provisioned,
        Event::GuestAnswered { version: VERSION },
        Event::ContainerPrepared,
        Event::CpuLimited,
        Event::ContainerStarted,
    ]
}

fn exited(status: ExitStatus) -> Event {
    Event::ContainerExited {
        status,
        out_of_memory: false,
    }
}

fn ended() -> [Event; 2] {
    [Event::MicrovmEnded("the guest shut down".into()), Event::Released]
}

fn stopped(state: State) -> Outcome {
    match state {
        State::Stopped(outcome) => outcome,
        other => panic!("not stopped but {other:?}"),
    }
}

#[test]
fn a_task_that_exits_by_itself_goes_the_whole_way() {
    let events = [
        &started()[..],
        &[exited(ExitStatus::Code(3)), Event::StreamsEnded],
        &ended(),
    ]
    .concat();
    let (state, actions) = check(&events);
    assert_eq!(stopped(state).exit, Some(Exit::Code(3)));
    let expected = [
        Action::Provision,
        Action::StartMicrovm,
        Action::StartTimer(Timer::Boot),
        Action::StartTimer(Timer::Clone),
        Action::SendStart,
        Action::LimitCpu,
        Action::ReleaseContainer,
        Action::StartTimer(Timer::TimeLimit),
        Action::ShutDownGuest,
        Action::StartTimer(Timer::ShutDown),
        Action::ReleaseResources,
    ];
    assert_eq!(actions, expected);
}

#[test]
fn the_guest_is_not_shut_down_while_output_is_on_its_way() {
    let events = [&started()[..], &[exited(ExitStatus::Code(0))]].concat();
    let (state, actions) = check(&events);
    assert_eq!(state.status(), Status::Deprovisioning);
    assert!(!actions.contains(&Action::ShutDownGuest));
}

#[test]
fn output_may_end_before_the_process_does() {
    let events = [&started()[..], &[Event::StreamsEnded, exited(ExitStatus::Code(0))]].concat();
    let (state, actions) = check(&events);
    assert!(matches!(state, State::Ending(_, Streams::Ended)));
    assert!(actions.contains(&Action::ShutDownGuest));
}

#[test]
fn the_process_is_not_released_before_its_cpu_is_limited() {
    let (state, actions) = check(&started()[..4]);
    assert_eq!(state, State::Activating(Activation::Limiting, Streams::Open));
    assert_eq!(actions.last(), Some(&Action::LimitCpu));
}

#[test]
fn a_cpu_limit_that_cannot_be_set_ends_the_task_before_its_process_runs() {
    let events = [&started()[..4], &[Event::ActionFailed("no cpu.max".into())]].concat();
    let (state, actions) = check(&events);
    assert_eq!(state.outcome().and_then(|outcome| outcome.exit), Some(Exit::Failed));
    assert_eq!(actions.last(), Some(&Action::KillMicrovm));
    assert!(!actions.contains(&Action::ReleaseContainer));
}

#[test]
fn a_stop_signals_first_and_kills_when_time_is_up() {
    let stop = Event::StopRequested {
        cause: Cause::Request,
        timeout_seconds: Some(4),
    };
    let events = [&started()[..], &[stop, Event::TimerFired(Timer::Stop)]].concat();
    let (state, actions) = check(&events);
    assert_eq!(state.status(), Status::Stopping);
    let expected = [
        Action::SendSignal(Signal::Stop),
        Action::StartStopTimer(Some(4)),
        Action::SendSignal(Signal::Kill),
        Action::StartTimer(Timer::Kill),
    ];
    assert!(actions.ends_with(&expected), "{actions:?}");
}

#[test]
fn a_guest_that_ignores_a_kill_loses_its_microvm() {
    let kill = [Event::KillRequested(Cause::Request), Event::TimerFired(Timer::Kill)];
    let (state, actions) = check(&[&started()[..], &kill].concat());
    assert_eq!(state.outcome().and_then(|outcome| outcome.exit), Some(Exit::Signal(9)));
    assert_eq!(actions.last(), Some(&Action::KillMicrovm));
}

#[test]
fn the_time_limit_stops_a_running_task() {
    let events = [&started()[..], &[Event::TimerFired(Timer::TimeLimit)]].concat();
    assert_eq!(check(&events).0, State::Stopping(Cause::TimeLimit, Streams::Open));
}

#[test]
fn a_created_task_is_stopped_without_ever_holding_anything() {
    let (state, actions) = check(&[Event::StopRequested {
        cause: Cause::Request,
        timeout_seconds: None,
    }]);
    assert_eq!(
        stopped(state),
        Outcome {
            exit: None,
            reason: "stopped by request before its process ran".into()
        }
    );
    assert_eq!(actions, []);
}

#[test]
fn a_stop_while_provisioning_starts_no_microvm() {
    let events = [
        Event::StartRequested,
        Event::KillRequested(Cause::AgentEnds),
        Event::Provisioned,
        Event::Released,
    ];
    let (state, actions) = check(&events);
    assert_eq!(stopped(state).exit, None);
    assert_eq!(actions, [Action::Provision, Action::ReleaseResources]);
}

#[test]
fn a_clone_that_fails_is_booted_in_full_and_only_once() {
    let failed = Event::CloneFailed("bad registers".into());
    let (state, actions) = check(&[&started()[..2], std::slice::from_ref(&failed)].concat());
    assert_eq!(state, State::Booting(Attempt::Fallback, Streams::Open));
    assert_eq!(actions.last(), Some(&Action::BootMicrovm));
    let (state, _) = check(&[&started()[..2], &[failed], &started()[2..]].concat());
    assert_eq!(state, State::Running(Streams::Open));
    let gone = [
        Event::CloneFailed("bad registers".into()),
        Event::MicrovmEnded("bad kernel".into()),
        Event::StreamsEnded,
        Event::Released,
    ];
    let outcome = stopped(check(&[&started()[..2], &gone].concat()).0);
    assert!(outcome.reason.contains("bad kernel"), "{outcome:?}");
}

#[test]
fn a_clone_that_does_not_answer_is_killed_and_a_full_boot_is_not() {
    let late = Event::TimerFired(Timer::Clone);
    let (state, actions) = check(&[&started()[..2], std::slice::from_ref(&late)].concat());
    assert_eq!(state, State::Booting(Attempt::First, Streams::Open));
    assert_eq!(actions.last(), Some(&Action::KillMicrovm));
    let (state, actions) = check(&[&started()[..2], &[Event::CloneFailed("slow".into()), late]].concat());
    assert_eq!(state, State::Booting(Attempt::Fallback, Streams::Open));
    assert!(!actions.contains(&Action::KillMicrovm));
}

#[test]
fn a_task_that_is_stopped_does_not_boot_again() {
    let events = [
        Event::KillRequested(Cause::Request),
        Event::CloneFailed("killed".into()),
        Event::Released,
    ];
    let (state, actions) = check(&[&started()[..2], &events].concat());
    assert_eq!(stopped(state).exit, None);
    assert!(!actions.contains(&Action::BootMicrovm));
}

#[test]
fn a_task_waits_for_the_template_and_can_be_stopped_meanwhile() {
    let pending = [Event::StartRequested, Event::TemplatePending];
    let (state, actions) = check(&[&pending[..], &[Event::TemplateSettled, Event::Provisioned]].concat());
    assert_eq!(state, State::Booting(Attempt::First, Streams::Open));
    assert_eq!(&actions[..2], [Action::Provision, Action::Provision]);
    let stop = [Event::KillRequested(Cause::Request), Event::Released];
    let (state, actions) = check(&[&pending[..], &stop].concat());
    assert_eq!(stopped(state).exit, None);
    assert_eq!(actions, [Action::Provision, Action::ReleaseResources]);
}

#[test]
fn a_start_failure_has_the_exit_code_of_a_shell() {
    for (failure, code) in [
        (StartFailure::NotFound, 127),
        (StartFailure::NotExecutable, 126),
        (StartFailure::Other, 125),
    ] {
        let failed = Event::ContainerNotStarted {
            failure,
            message: "no".into(),
        };
        let events = [&started()[..5], &[failed, Event::StreamsEnded], &ended()].concat();
        assert_eq!(stopped(check(&events).0).exit.unwrap().shell_code(), code);
    }
}

#[test]
fn a_guest_agent_of_another_version_is_refused() {
    let events = [&started()[..2], &[Event::GuestAnswered { version: VERSION + 1 }]].concat();
    let (state, actions) = check(&events);
    assert!(state.outcome().unwrap().reason.contains("version"));
    assert_eq!(actions.last(), Some(&Action::KillMicrovm));
}

#[test]
fn a_lost_microvm_is_told_by_what_it_was_doing() {
    let gone = [
        Event::MicrovmEnded("kernel panic".into()),
        Event::StreamsEnded,
        Event::Released,
    ];
    for (len, doing) in [
        (2, "before its guest agent answered"),
        (4, "before the container's process ran"),
        (6, "while"),
    ] {
        let outcome = stopped(check(&[&started()[..len], &gone].concat()).0);
        assert_eq!(outcome.exit, Some(Exit::Failed));
        assert!(
            outcome.reason.contains(doing) && outcome.reason.contains("kernel panic"),
            "{outcome:?}"
        );
    }
}

#[test]
fn the_time_to_boot_is_bounded_and_the_time_to_exec_is_not() {
    for (len, ends) in [(2, true), (3, true), (5, false), (6, false)] {
        let events = [&started()[..len], &[Event::TimerFired(Timer::Boot)]].concat();
        assert_eq!(check(&events).0.outcome().is_some(), ends, "{len}");
    }
}

#[test]
fn a_kill_drops_output_that_nobody_takes_or_ends() {
    let events = [
        &started()[..],
        &[exited(ExitStatus::Code(0)), Event::KillRequested(Cause::Request)],
    ]
    .concat();
    assert!(
        check(&events)
            .1
            .ends_with(&[Action::DiscardOutput, Action::KillMicrovm])
    );
}

#[test]
fn an_exit_at_the_memory_limit_says_so() {
    let exit = Event::ContainerExited {
        status: ExitStatus::Signal(9),
        out_of_memory: true,
    };
    let outcome = check(&[&started()[..], &[exit]].concat()).0.outcome().cloned().unwrap();
    assert_eq!(outcome.exit, Some(Exit::Signal(9)));
    assert!(outcome.reason.contains("memory limit"), "{}", outcome.reason);
}
