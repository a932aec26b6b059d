//! The transitions: one function per group of states, each naming every event. Those up to a running process are in [`super::starting`].

use super::starting::{abandoning, activating, awaiting_template, booting, created, provisioning};
use super::{Action, Cause, Event, Microvm, Outcome, Signal, State, Streams, Timer};

/// What follows an event.
pub(super) type Step = (State, Vec<Action>);

/// Decides; does nothing.
#[must_use]
pub fn next(state: State, event: Event) -> Step {
    match state {
        State::Created => created(event),
        State::Provisioning => provisioning(event),
        State::AwaitingTemplate => awaiting_template(event),
        State::Abandoning(outcome) => abandoning(outcome, &event),
        State::Booting(attempt, streams) => booting(attempt, streams, event),
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
        Event::CloneFailed(message) => clone_gone(Outcome::died(&message)),
        Event::GuestFailed(message) | Event::ActionFailed(message) => kill(Outcome::failed(message), streams),
        Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. } => out_of_order(streams),
        Event::StartRequested
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::TemplatePending
        | Event::TemplateSettled
        | Event::MicrovmNotStarted(_)
        | Event::CpuLimited
        | Event::TimerFired(Timer::Boot | Timer::Clone | Timer::Stop | Timer::Kill | Timer::ShutDown)
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
        Event::CloneFailed(message) => clone_gone(Outcome::died(&message)),
        Event::GuestFailed(message) | Event::ActionFailed(message) => kill(Outcome::failed(message), streams),
        Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. } => out_of_order(streams),
        Event::StartRequested
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::TemplatePending
        | Event::TemplateSettled
        | Event::MicrovmNotStarted(_)
        | Event::CpuLimited
        | Event::TimerFired(Timer::Boot | Timer::Clone | Timer::TimeLimit | Timer::ShutDown)
        | Event::Released => (State::Stopping(cause, streams), vec![]),
    }
}

fn draining(outcome: Outcome, microvm: Microvm, event: &Event) -> Step {
    match (microvm, event) {
        (Microvm::Alive, Event::StreamsEnded) => shut_down(outcome, Streams::Ended),
        (Microvm::Gone, Event::StreamsEnded) => release(outcome),
        (_, Event::MicrovmEnded(_)) => (State::Draining(outcome, Microvm::Gone), vec![]),
        (_, Event::CloneFailed(_)) => clone_gone(outcome),
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
            | Event::TemplatePending
            | Event::TemplateSettled
            | Event::MicrovmNotStarted(_)
            | Event::GuestAnswered { .. }
            | Event::ContainerPrepared
            | Event::CpuLimited
            | Event::ContainerStarted
            | Event::ContainerNotStarted { .. }
            | Event::ContainerExited { .. }
            | Event::GuestFailed(_)
            | Event::ActionFailed(_)
            | Event::TimerFired(Timer::Boot | Timer::Clone | Timer::TimeLimit | Timer::ShutDown)
            | Event::Released,
        ) => (State::Draining(outcome, microvm), vec![]),
    }
}

fn ending(outcome: Outcome, streams: Streams, event: &Event) -> Step {
    match event {
        Event::MicrovmEnded(_) => microvm_gone(outcome, streams),
        Event::CloneFailed(_) => clone_gone(outcome),
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
        | Event::TemplatePending
        | Event::TemplateSettled
        | Event::GuestAnswered { .. }
        | Event::ContainerPrepared
        | Event::CpuLimited
        | Event::ContainerStarted
        | Event::ContainerNotStarted { .. }
        | Event::ContainerExited { .. }
        | Event::TimerFired(Timer::Boot | Timer::Clone | Timer::TimeLimit)
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

pub(super) fn shut_down(outcome: Outcome, streams: Streams) -> Step {
    (
        State::Ending(outcome, streams),
        vec![Action::ShutDownGuest, Action::StartTimer(Timer::ShutDown)],
    )
}

pub(super) fn kill(outcome: Outcome, streams: Streams) -> Step {
    (State::Ending(outcome, streams), vec![Action::KillMicrovm])
}

/// As [`kill`], and no client is waited for any more.
pub(super) fn give_up(outcome: Outcome, streams: Streams) -> Step {
    (
        State::Ending(outcome, streams),
        vec![Action::DiscardOutput, Action::KillMicrovm],
    )
}

pub(super) fn microvm_gone(outcome: Outcome, streams: Streams) -> Step {
    match streams {
        Streams::Open => (State::Draining(outcome, Microvm::Gone), vec![]),
        Streams::Ended => release(outcome),
    }
}

/// A clone that failed has taken its streams with it.
pub(super) fn clone_gone(outcome: Outcome) -> Step {
    microvm_gone(outcome, Streams::Ended)
}

pub(super) fn release(outcome: Outcome) -> Step {
    (State::Releasing(outcome), vec![Action::ReleaseResources])
}

pub(super) fn out_of_order(streams: Streams) -> Step {
    kill(
        Outcome::failed("the guest agent sent a message out of order".to_owned()),
        streams,
    )
}
