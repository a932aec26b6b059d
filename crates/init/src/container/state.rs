//! What a container is at, decided without doing anything.
//!
//! Its process reports through a pipe that `execve` closes, and its death is told by the kernel: the two arrive in any order.

use protocol::guest::{ExitStatus, StartFailure};

/// Where a container is between its fork and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process sets itself up.
    Preparing,
    /// Its process waits to be released.
    Prepared,
    /// Its process was told to execute the program and has not reported how that went.
    Released,
    /// The program runs.
    Running,
    /// Its process ended; whether the program ever ran is still to be read from the report.
    Dead {
        /// How it ended.
        status: ExitStatus,
        /// Whether the memory limit killed a process of it.
        out_of_memory: bool,
        /// Whether it had been released.
        released: bool,
    },
    /// The host knows how it ended.
    Finished,
}

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its process reports that it waits to be released.
    Prepared,
    /// Its process reports that it cannot start the program.
    StartFailed {
        /// What kind of failure.
        reason: StartFailure,
        /// One sentence.
        message: String,
    },
    /// The report is over: the program was executed, or the process died.
    ReportEnded,
    /// The host lets it begin.
    Release,
    /// Its process died and was reaped.
    ProcessEnded {
        /// How.
        status: ExitStatus,
        /// Whether the memory limit killed a process of the container.
        out_of_memory: bool,
    },
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the host that it is prepared.
    TellPrepared,
    /// Let its process execute the program.
    LetGo,
    /// Tell the host that the program runs.
    TellStarted,
    /// Begin to carry its streams, in which what it wrote already waits.
    CarryStreams,
    /// Tell the host that the program could not be started.
    TellStartFailed(StartFailure, String),
    /// Tell the host how its process ended.
    TellExited {
        /// How.
        status: ExitStatus,
        /// Whether the memory limit killed a process of it.
        out_of_memory: bool,
    },
}

/// Decides; does nothing.
pub fn next(state: State, event: Event) -> (State, Vec<Action>) {
    match (state, event) {
        (State::Finished, _) => (State::Finished, vec![]),
        (_, Event::StartFailed { reason, message }) => {
            (State::Finished, vec![Action::TellStartFailed(reason, message)])
        }
        (State::Preparing, Event::Prepared) => (State::Prepared, vec![Action::TellPrepared]),
        (State::Prepared, Event::Release) => (State::Released, vec![Action::LetGo]),
        (State::Released, Event::ReportEnded) => (State::Running, vec![Action::TellStarted, Action::CarryStreams]),
        (State::Running, Event::ProcessEnded { status, out_of_memory }) => {
            (State::Finished, vec![Action::TellExited { status, out_of_memory }])
        }
        (state, Event::ProcessEnded { status, out_of_memory }) => {
            let released = state == State::Released;
            (
                State::Dead {
                    status,
                    out_of_memory,
                    released,
                },
                vec![],
            )
        }
        (
            State::Dead {
                status,
                out_of_memory,
                released: true,
            },
            Event::ReportEnded,
        ) => {
            let told = Action::TellExited { status, out_of_memory };
            (State::Finished, vec![Action::TellStarted, Action::CarryStreams, told])
        }
        (
            State::Dead {
                status,
                out_of_memory,
                released: false,
            },
            Event::ReportEnded,
        ) => {
            let message = died_early(status, out_of_memory);
            (
                State::Finished,
                vec![Action::TellStartFailed(StartFailure::Other, message)],
            )
        }
        // A report that ends before the process is reaped; a report that says again what is known; a release too early or twice.
        (state, Event::Prepared | Event::ReportEnded | Event::Release) => (state, vec![]),
    }
}

/// The sentence for a process that died before it was released.
fn died_early(status: ExitStatus, out_of_memory: bool) -> String {
    let how = match status {
        ExitStatus::Code(code) => format!("ended with code {code}"),
        ExitStatus::Signal(signal) => format!("was ended by signal {signal}"),
    };
    let why = if out_of_memory {
        ", because its memory limit is too small"
    } else {
        ""
    };
    format!("the container's process {how} before the program began{why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXITED: Event = Event::ProcessEnded {
        status: ExitStatus::Code(3),
        out_of_memory: false,
    };
    const TOLD: Action = Action::TellExited {
        status: ExitStatus::Code(3),
        out_of_memory: false,
    };

    fn run(events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        let mut state = State::Preparing;
        let mut actions = Vec::new();
        for event in events {
            let (after, more) = next(state, event);
            state = after;
            actions.extend(more);
        }
        actions
    }

    #[track_caller]
    fn check<const N: usize>(events: [Event; N], expected: &[Action]) {
        assert_eq!(run(events), expected);
    }

    #[test]
    fn a_program_runs_and_ends() {
        let expected = [
            Action::TellPrepared,
            Action::LetGo,
            Action::TellStarted,
            Action::CarryStreams,
            TOLD,
        ];
        check([Event::Prepared, Event::Release, Event::ReportEnded, EXITED], &expected);
    }

    #[test]
    fn a_program_that_ends_before_its_report_is_read_was_started_all_the_same() {
        let expected = [
            Action::TellPrepared,
            Action::LetGo,
            Action::TellStarted,
            Action::CarryStreams,
            TOLD,
        ];
        check([Event::Prepared, Event::Release, EXITED, Event::ReportEnded], &expected);
    }

    #[test]
    fn a_failure_is_told_once_whatever_comes_first() {
        let failed = || Event::StartFailed {
            reason: StartFailure::NotFound,
            message: "no".into(),
        };
        let told = Action::TellStartFailed(StartFailure::NotFound, "no".into());
        check([failed(), Event::ReportEnded, EXITED], std::slice::from_ref(&told));
        check([EXITED, failed(), Event::ReportEnded], &[told]);
    }

    #[test]
    fn a_process_that_dies_unreleased_never_started() {
        let killed = Event::ProcessEnded {
            status: ExitStatus::Signal(9),
            out_of_memory: true,
        };
        let message = "the container's process was ended by signal 9 before the program began, because its memory limit is too small";
        let told = Action::TellStartFailed(StartFailure::Other, message.into());
        check([killed, Event::ReportEnded], &[told]);
    }

    #[test]
    fn a_release_before_the_preparation_is_done_lets_nothing_go() {
        check([Event::Release, Event::Prepared], &[Action::TellPrepared]);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Prepared),
            Just(Event::StartFailed {
                reason: StartFailure::Other,
                message: String::new()
            }),
            Just(Event::ReportEnded),
            Just(Event::Release),
            Just(EXITED),
        ]
    }

    proptest! {
        #[test]
        fn the_host_hears_of_one_end_and_of_nothing_after_it(events in prop::collection::vec(any_event(), 0..12)) {
            let actions = run(events);
            let ends = |action: &Action| matches!(action, Action::TellStartFailed(..) | Action::TellExited { .. });
            let end = actions.iter().position(ends);
            prop_assert!(end.is_none_or(|end| end == actions.len() - 1));
            let exited = actions.contains(&TOLD);
            prop_assert!(!exited || actions.contains(&Action::TellStarted));
        }
    }
}
