//! The transitions: one function per group of states, each naming every event.

use protocol::guest::VERSION;

use super::{Action, Activation, Cause, Event, Microvm, Outcome, Signal, State, Streams, Timer};

/// The signals that would end a process that does not care for them, as far as people send them to end something.
const ENDING_SIGNALS: [u8; 5] = [1, 2, 3, 9, 15];

type Step = (State, Vec<Action>);

/// Decides; does nothing.
#[must_use]
pub fn next(state: State, event: Event) -> Step {
    match state {
        State::Created => created(event),
        State::Provisioning => provisioning(event),
        State::Abandoning(outcome) => abandoning(outcome, &event),
        State::Booting(streams) => booting(streams, event),
        State::Activating(activation, streams) => activating(activation, streams, event),
        State::Running(streams) => running(streams, event),
        State::Stopping(cause, streams) => stopping(cause, streams, event),
        State::Draining(outcome, microvm) => draining(outcome, microvm, &event),
        State::Ending(outcome, streams) => ending(outcome, streams, &event),
        State::Releasing(outcome) if event == Event::Released => (State::Stopped(outcome), vec![]),
        // The end is decided and every part of the task is gone: nothing that still arrives can matter.
        state @ (State::Releasing(_) | State::Stopped(_)) => (state, vec![]),
    }
}

fn created(event: Event) -> Step {
    match event {
        Event::StartRequested => (State::Provisioning, vec![Action::Provision]),
        Event::StopRequested { cause, .. } | Event::KillRequested(cause) => {
            (State::Stopped(Outcome::never_ran(cause)), vec![])
        }
        Event::SignalRequested(signal) if ENDING_SIGNALS.contains(&signal) => {
            (State::Stopped(Outcome::never_ran(Cause::Request)), vec![])
        }
        Event::SignalRequested(_)
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::MicrovmNotStarted(_)
        | Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::CpuLimited
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. }
        | Event::ContainerExited { .. }
        | Event::GuestFailed(_)
        | Event::ActionFailed(_)
        | Event::StreamsEnded
        | Event::MicrovmEnded(_)
        | Event::TimerFired(_)
        | Event::Released => (State::Created, vec![]),
    }
}

fn provisioning(event: Event) -> Step {
    match event {
        Event::Provisioned => (
            State::Booting(Streams::Open),
            vec![Action::StartTimer(Timer::Boot), Action::StartMicrovm],
        ),
        Event::ProvisionFailed(message) => release(Outcome::failed(message)),
        Event::StopRequested { cause, .. } | Event::KillRequested(cause) => {
            (State::Abandoning(Outcome::never_ran(cause)), vec![])
        }
        Event::SignalRequested(signal) if ENDING_SIGNALS.contains(&signal) => {
            (State::Abandoning(Outcome::never_ran(Cause::Request)), vec![])
        }
        Event::StartRequested
        | Event::SignalRequested(_)
        | Event::MicrovmNotStarted(_)
        | Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::CpuLimited
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. }
        | Event::ContainerExited { .. }
        | Event::GuestFailed(_)
        | Event::ActionFailed(_)
        | Event::StreamsEnded
        | Event::MicrovmEnded(_)
        | Event::TimerFired(_)
        | Event::Released => (State::Provisioning, vec![]),
    }
}

fn abandoning(outcome: Outcome, event: &Event) -> Step {
    match event {
        Event::Provisioned | Event::ProvisionFailed(_) => release(outcome),
        Event::StartRequested
        | Event::StopRequested { .. }
        | Event::KillRequested(_)
        | Event::SignalRequested(_)
        | Event::MicrovmNotStarted(_)
        | Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::CpuLimited
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. }
        | Event::ContainerExited { .. }
        | Event::GuestFailed(_)
        | Event::ActionFailed(_)
        | Event::StreamsEnded
        | Event::MicrovmEnded(_)
        | Event::TimerFired(_)
        | Event::Released => (State::Abandoning(outcome), vec![]),
    }
}

fn booting(streams: Streams, event: Event) -> Step {
    match event {
        Event::MicrovmNotStarted(message) => release(Outcome::failed(message)),
        Event::GuestAnswered { version: VERSION } => (
            State::Activating(Activation::Preparing, streams),
            vec![Action::SendStart],
        ),
        Event::GuestAnswered { version } => kill(
            Outcome::failed(format!(
                "the guest agent speaks version {version} of the protocol and the host agent version {VERSION}: build both anew"
            )),
            streams,
        ),
        Event::MicrovmEnded(message) => microvm_gone(
            Outcome::failed(format!("the microVM ended before its guest agent answered: {message}")),
            streams,
        ),
        Event::TimerFired(Timer::Boot) => kill(
            Outcome::failed("the guest agent did not answer in time".to_owned()),
            streams,
        ),
        Event::ContainerPrepared
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. }
        | Event::ContainerExited { .. } => out_of_order(streams),
        Event::StreamsEnded => (State::Booting(Streams::Ended), vec![]),
        Event::StopRequested { .. }
        | Event::KillRequested(_)
        | Event::SignalRequested(_)
        | Event::GuestFailed(_)
        | Event::ActionFailed(_)
        | Event::StartRequested
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::CpuLimited
        | Event::TimerFired(_)
        | Event::Released => before_running(State::Booting(streams), streams, event),
    }
}

fn activating(activation: Activation, streams: Streams, event: Event) -> Step {
    match (activation, event) {
        (Activation::Preparing, Event::ContainerPrepared) => {
            (State::Activating(Activation::Limiting, streams), vec![Action::LimitCpu])
        }
        (Activation::Limiting, Event::CpuLimited) => (
            State::Activating(Activation::Released, streams),
            vec![Action::ReleaseContainer],
        ),
        (Activation::Released, Event::ContainerStarted) => {
            (State::Running(streams), vec![Action::StartTimer(Timer::TimeLimit)])
        }
        (_, Event::ContainerNotStarted { failure, message }) => {
            shut_down(Outcome::not_started(failure, message), streams)
        }
        // A released process may be as slow as its CPU limit makes it.
        (Activation::Preparing, Event::TimerFired(Timer::Boot)) => kill(
            Outcome::failed("the guest agent did not prepare the container in time".to_owned()),
            streams,
        ),
        (
            _,
            Event::ContainerPrepared
            | Event::ContainerStarted
            | Event::ContainerExited { .. }
            | Event::GuestAnswered { .. },
        ) => out_of_order(streams),
        (_, Event::MicrovmEnded(message)) => microvm_gone(
            Outcome::failed(format!(
                "the microVM ended before the container's process ran: {message}"
            )),
            streams,
        ),
        (activation, Event::StreamsEnded) => (State::Activating(activation, Streams::Ended), vec![]),
        (
            activation,
            event @ (Event::StopRequested { .. }
            | Event::KillRequested(_)
            | Event::SignalRequested(_)
            | Event::GuestFailed(_)
            | Event::ActionFailed(_)
            | Event::StartRequested
            | Event::Provisioned
            | Event::ProvisionFailed(_)
            | Event::MicrovmNotStarted(_)
            | Event::CpuLimited
            | Event::TimerFired(_)
            | Event::Released),
        ) => before_running(State::Activating(activation, streams), streams, event),
    }
}

/// What is the same in all states between the microVM's start and the process's.
fn before_running(state: State, streams: Streams, event: Event) -> Step {
    match event {
        Event::StopRequested { cause, .. } | Event::KillRequested(cause) => give_up(Outcome::never_ran(cause), streams),
        Event::SignalRequested(signal) if ENDING_SIGNALS.contains(&signal) => {
            give_up(Outcome::never_ran(Cause::Request), streams)
        }
        Event::GuestFailed(message) | Event::ActionFailed(message) => kill(Outcome::failed(message), streams),
        _ => (state, vec![]),
    }
}

fn running(streams: Streams, event: Event) -> Step {
    match event {
        Event::ContainerExited { status, out_of_memory } => exited(Outcome::exited(status, out_of_memory), streams),
        Event::StopRequested { cause, timeout_seconds } => stop(cause, timeout_seconds, streams),
        Event::TimerFired(Timer::TimeLimit) => stop(Cause::TimeLimit, None, streams),
        Event::KillRequested(cause) => (
            State::Stopping(cause, streams),
            vec![Action::SendSignal(Signal::Kill), Action::StartTimer(Timer::Kill)],
        ),
        Event::SignalRequested(signal) => (
            State::Running(streams),
            vec![Action::SendSignal(Signal::Number(signal))],
        ),
        Event::StreamsEnded => (State::Running(Streams::Ended), vec![]),
        Event::MicrovmEnded(message) => microvm_gone(Outcome::died(&message), streams),
        Event::GuestFailed(message) | Event::ActionFailed(message) => kill(Outcome::failed(message), streams),
        Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. } => out_of_order(streams),
        Event::StartRequested
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::MicrovmNotStarted(_)
        | Event::CpuLimited
        | Event::TimerFired(Timer::Boot | Timer::Stop | Timer::Kill | Timer::ShutDown)
        | Event::Released => (State::Running(streams), vec![]),
    }
}

fn stopping(cause: Cause, streams: Streams, event: Event) -> Step {
    match event {
        Event::ContainerExited { status, .. } => exited(Outcome::stopped(cause, status), streams),
        // Asked again, by somebody with another timeout: the first timer to fire kills.
        Event::StopRequested { timeout_seconds, .. } => stop(cause, timeout_seconds, streams),
        Event::TimerFired(Timer::Stop) | Event::KillRequested(_) => (
            State::Stopping(cause, streams),
            vec![Action::SendSignal(Signal::Kill), Action::StartTimer(Timer::Kill)],
        ),
        Event::TimerFired(Timer::Kill) => give_up(Outcome::killed(cause), streams),
        Event::SignalRequested(signal) => (
            State::Stopping(cause, streams),
            vec![Action::SendSignal(Signal::Number(signal))],
        ),
        Event::StreamsEnded => (State::Stopping(cause, Streams::Ended), vec![]),
        Event::MicrovmEnded(message) => microvm_gone(Outcome::died(&message), streams),
        Event::GuestFailed(message) | Event::ActionFailed(message) => kill(Outcome::failed(message), streams),
        Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. } => out_of_order(streams),
        Event::StartRequested
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::MicrovmNotStarted(_)
        | Event::CpuLimited
        | Event::TimerFired(Timer::Boot | Timer::TimeLimit | Timer::ShutDown)
        | Event::Released => (State::Stopping(cause, streams), vec![]),
    }
}

fn draining(outcome: Outcome, microvm: Microvm, event: &Event) -> Step {
    match (microvm, event) {
        (Microvm::Alive, Event::StreamsEnded) => shut_down(outcome, Streams::Ended),
        (Microvm::Gone, Event::StreamsEnded) => release(outcome),
        (_, Event::MicrovmEnded(_)) => (State::Draining(outcome, Microvm::Gone), vec![]),
        // Output may be held back by a client that takes none, or by a guest that does not end it.
        (Microvm::Alive, Event::KillRequested(_) | Event::TimerFired(Timer::Stop | Timer::Kill)) => {
            give_up(outcome, Streams::Open)
        }
        (Microvm::Gone, Event::KillRequested(_) | Event::TimerFired(Timer::Stop | Timer::Kill)) => {
            (State::Draining(outcome, Microvm::Gone), vec![Action::DiscardOutput])
        }
        (microvm, Event::StopRequested { timeout_seconds, .. }) => (
            State::Draining(outcome, microvm),
            vec![Action::StartStopTimer(*timeout_seconds)],
        ),
        (
            microvm,
            Event::StartRequested
            | Event::SignalRequested(_)
            | Event::Provisioned
            | Event::ProvisionFailed(_)
            | Event::MicrovmNotStarted(_)
            | Event::GuestAnswered { .. }
            | Event::ContainerPrepared
            | Event::CpuLimited
            | Event::ContainerStarted
            | Event::ContainerNotStarted { .. }
            | Event::ContainerExited { .. }
            | Event::GuestFailed(_)
            | Event::ActionFailed(_)
            | Event::TimerFired(Timer::Boot | Timer::TimeLimit | Timer::ShutDown)
            | Event::Released,
        ) => (State::Draining(outcome, microvm), vec![]),
    }
}

fn ending(outcome: Outcome, streams: Streams, event: &Event) -> Step {
    match event {
        Event::MicrovmEnded(_) => microvm_gone(outcome, streams),
        // There never was one: its end was decided before that was known.
        Event::MicrovmNotStarted(_) => release(outcome),
        Event::StreamsEnded => (State::Ending(outcome, Streams::Ended), vec![]),
        Event::TimerFired(Timer::ShutDown) | Event::ActionFailed(_) | Event::GuestFailed(_) => {
            (State::Ending(outcome, streams), vec![Action::KillMicrovm])
        }
        Event::KillRequested(_) => give_up(outcome, streams),
        Event::StopRequested { timeout_seconds, .. } => (
            State::Ending(outcome, streams),
            vec![Action::StartStopTimer(*timeout_seconds)],
        ),
        Event::TimerFired(Timer::Stop | Timer::Kill) => (State::Ending(outcome, streams), vec![Action::DiscardOutput]),
        Event::StartRequested
        | Event::SignalRequested(_)
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::CpuLimited
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. }
        | Event::ContainerExited { .. }
        | Event::TimerFired(Timer::Boot | Timer::TimeLimit)
        | Event::Released => (State::Ending(outcome, streams), vec![]),
    }
}

fn stop(cause: Cause, timeout_seconds: Option<u32>, streams: Streams) -> Step {
    (
        State::Stopping(cause, streams),
        vec![
            Action::SendSignal(Signal::Stop),
            Action::StartStopTimer(timeout_seconds),
        ],
    )
}

/// The process is over: first its output gets out, then the microVM is ended.
fn exited(outcome: Outcome, streams: Streams) -> Step {
    match streams {
        Streams::Open => (State::Draining(outcome, Microvm::Alive), vec![]),
        Streams::Ended => shut_down(outcome, streams),
    }
}

fn shut_down(outcome: Outcome, streams: Streams) -> Step {
    (
        State::Ending(outcome, streams),
        vec![Action::ShutDownGuest, Action::StartTimer(Timer::ShutDown)],
    )
}

fn kill(outcome: Outcome, streams: Streams) -> Step {
    (State::Ending(outcome, streams), vec![Action::KillMicrovm])
}

/// As [`kill`], and no client is waited for any more.
fn give_up(outcome: Outcome, streams: Streams) -> Step {
    (
        State::Ending(outcome, streams),
        vec![Action::DiscardOutput, Action::KillMicrovm],
    )
}

fn microvm_gone(outcome: Outcome, streams: Streams) -> Step {
    match streams {
        Streams::Open => (State::Draining(outcome, Microvm::Gone), vec![]),
        Streams::Ended => release(outcome),
    }
}

fn release(outcome: Outcome) -> Step {
    (State::Releasing(outcome), vec![Action::ReleaseResources])
}

fn out_of_order(streams: Streams) -> Step {
    kill(
        Outcome::failed("the guest agent sent a message out of order".to_owned()),
        streams,
    )
}
