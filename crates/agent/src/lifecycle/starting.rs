//! The transitions of a task whose process does not run yet.

use protocol::guest::VERSION;

use super::transition::{Step, clone_gone, give_up, kill, microvm_gone, out_of_order, release, shut_down};
use super::{Action, Activation, Attempt, Cause, Event, Outcome, State, Streams, Timer};

/// The signals that would end a process that does not care for them, as far as people send them to end something.
const ENDING_SIGNALS: [u8; 5] = [1, 2, 3, 9, 15];

pub(super) fn created(event: Event) -> Step {
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
        | Event::TemplatePending
        | Event::TemplateSettled
        | Event::MicrovmNotStarted(_)
        | Event::CloneFailed(_)
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

pub(super) fn provisioning(event: Event) -> Step {
    match event {
        Event::Provisioned => (
            State::Booting(Attempt::First, Streams::Open),
            vec![
                Action::StartMicrovm,
                Action::StartTimer(Timer::Boot),
                Action::StartTimer(Timer::Clone),
            ],
        ),
        Event::ProvisionFailed(message) => release(Outcome::failed(message)),
        Event::TemplatePending => (State::AwaitingTemplate, vec![]),
        Event::StopRequested { cause, .. } | Event::KillRequested(cause) => {
            (State::Abandoning(Outcome::never_ran(cause)), vec![])
        }
        Event::SignalRequested(signal) if ENDING_SIGNALS.contains(&signal) => {
            (State::Abandoning(Outcome::never_ran(Cause::Request)), vec![])
        }
        Event::StartRequested
        | Event::SignalRequested(_)
        | Event::TemplateSettled
        | Event::MicrovmNotStarted(_)
        | Event::CloneFailed(_)
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

pub(super) fn awaiting_template(event: Event) -> Step {
    match event {
        Event::TemplateSettled => (State::Provisioning, vec![Action::Provision]),
        Event::StopRequested { cause, .. } | Event::KillRequested(cause) => release(Outcome::never_ran(cause)),
        Event::SignalRequested(signal) if ENDING_SIGNALS.contains(&signal) => {
            release(Outcome::never_ran(Cause::Request))
        }
        Event::StartRequested
        | Event::SignalRequested(_)
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::TemplatePending
        | Event::MicrovmNotStarted(_)
        | Event::CloneFailed(_)
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
        | Event::Released => (State::AwaitingTemplate, vec![]),
    }
}

pub(super) fn abandoning(outcome: Outcome, event: &Event) -> Step {
    match event {
        Event::Provisioned | Event::ProvisionFailed(_) | Event::TemplatePending => release(outcome),
        Event::StartRequested
        | Event::StopRequested { .. }
        | Event::KillRequested(_)
        | Event::SignalRequested(_)
        | Event::TemplateSettled
        | Event::MicrovmNotStarted(_)
        | Event::CloneFailed(_)
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

pub(super) fn booting(attempt: Attempt, streams: Streams, event: Event) -> Step {
    match event {
        Event::CloneFailed(_) if attempt == Attempt::First => (
            State::Booting(Attempt::Fallback, Streams::Open),
            vec![Action::BootMicrovm],
        ),
        Event::CloneFailed(message) => clone_gone(Outcome::failed(format!(
            "the microVM ended before its guest agent answered: {message}"
        ))),
        // Its end is reported as that of any clone that failed.
        Event::TimerFired(Timer::Clone) if attempt == Attempt::First => {
            (State::Booting(attempt, streams), vec![Action::KillMicrovm])
        }
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
        Event::StreamsEnded => (State::Booting(attempt, Streams::Ended), vec![]),
        Event::StopRequested { .. }
        | Event::KillRequested(_)
        | Event::SignalRequested(_)
        | Event::GuestFailed(_)
        | Event::ActionFailed(_)
        | Event::StartRequested
        | Event::Provisioned
        | Event::ProvisionFailed(_)
        | Event::TemplatePending
        | Event::TemplateSettled
        | Event::CpuLimited
        | Event::TimerFired(_)
        | Event::Released => before_running(State::Booting(attempt, streams), streams, event),
    }
}

pub(super) fn activating(activation: Activation, streams: Streams, event: Event) -> Step {
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
        (_, Event::CloneFailed(message)) => clone_gone(Outcome::failed(message)),
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
            | Event::TemplatePending
            | Event::TemplateSettled
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
