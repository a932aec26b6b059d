//! What the supervisor does about what happens: a pure function.

use std::time::Duration;

use super::QEMU_FOLLOWS;
use crate::wire::BootReport;

/// Where a machine's life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// QEMU has been started.
    Booting,
    /// The relay takes connections, and the starter has been told.
    Ready,
    /// The starter wants the machine to outlive it.
    Kept,
    /// A virtiofsd has ended under a machine that ran.
    Failing,
}

/// What happens to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The init said something.
    Reported(BootReport),
    /// The starter said "keep".
    StarterKeeps,
    /// The starter ended, or said something else.
    StarterGone,
    /// QEMU ended.
    QemuEnded {
        /// With status 0, as after the guest's power-off.
        success: bool,
    },
    /// A virtiofsd ended.
    VirtiofsdEnded,
    /// The time that was allowed is over.
    TimeIsUp,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait for the next event.
    Nothing,
    /// Tell the starter of a step of the boot.
    PassOn(String),
    /// Tell the starter that the machine runs, and stop the clock.
    AnnounceReady,
    /// Start the clock.
    AllowTime(Duration),
    /// End everything; there is no machine, for this reason.
    GiveUp(String),
    /// End everything; there was a machine.
    Finish {
        /// Whether it was switched off.
        in_order: bool,
    },
}

/// Decides; does nothing.
pub fn next(phase: Phase, event: Event) -> (Phase, Step) {
    use Event::{QemuEnded, Reported, StarterGone, StarterKeeps, TimeIsUp, VirtiofsdEnded};
    use Phase::{Booting, Failing, Kept, Ready};
    match (phase, event) {
        (Booting, Reported(BootReport::Stage { name, .. })) => (Booting, Step::PassOn(name)),
        (Booting, Reported(BootReport::Ready { .. })) => (Ready, Step::AnnounceReady),
        (Booting, Reported(BootReport::Failed { message })) => (Booting, Step::GiveUp(message)),
        (Booting, QemuEnded { .. }) => (Booting, Step::GiveUp("QEMU ended while the machine booted".to_owned())),
        (Booting, VirtiofsdEnded) => (
            Booting,
            Step::GiveUp("virtiofsd ended while the machine booted".to_owned()),
        ),
        (Booting, TimeIsUp) => (
            Booting,
            Step::GiveUp("the machine did not boot in the time allowed".to_owned()),
        ),
        (Booting | Ready, StarterGone) => (phase, Step::GiveUp("the start was interrupted".to_owned())),
        (Ready, StarterKeeps) => (Kept, Step::Nothing),
        // Said too early, it means nothing.
        (Booting, StarterKeeps) => (
            Booting,
            Step::GiveUp("the starter did not wait for the machine".to_owned()),
        ),
        (Ready | Kept, QemuEnded { success }) => (phase, Step::Finish { in_order: success }),
        (Ready | Kept, VirtiofsdEnded) => (Failing, Step::AllowTime(QEMU_FOLLOWS)),
        (Failing, QemuEnded { success }) => (Failing, Step::Finish { in_order: success }),
        (Failing, TimeIsUp) => (Failing, Step::Finish { in_order: false }),
        (Failing, VirtiofsdEnded | StarterKeeps | StarterGone | Reported(_)) => (Failing, Step::Nothing),
        (Ready | Kept, Reported(_) | TimeIsUp) | (Kept, StarterKeeps | StarterGone) => (phase, Step::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Reported(BootReport::Stage {
                name: "root".into(),
                uptime_ms: 1
            })),
            Just(Event::Reported(BootReport::Ready { uptime_ms: 1 })),
            Just(Event::Reported(BootReport::Failed {
                message: "no root".into()
            })),
            Just(Event::StarterKeeps),
            Just(Event::StarterGone),
            any::<bool>().prop_map(|success| Event::QemuEnded { success }),
            Just(Event::VirtiofsdEnded),
            Just(Event::TimeIsUp),
        ]
    }

    /// The steps taken until the end of the events or of the machine.
    fn steps(events: &[Event]) -> Vec<Step> {
        let mut phase = Phase::Booting;
        let mut steps = Vec::new();
        for event in events {
            let (next_phase, step) = next(phase, event.clone());
            phase = next_phase;
            let last = matches!(step, Step::GiveUp(_) | Step::Finish { .. });
            steps.push(step);
            if last {
                break;
            }
        }
        steps
    }

    fn ready() -> Event {
        Event::Reported(BootReport::Ready { uptime_ms: 1 })
    }

    #[test]
    fn a_kept_machine_outlives_its_starter() {
        let steps = steps(&[
            ready(),
            Event::StarterKeeps,
            Event::StarterGone,
            Event::QemuEnded { success: true },
        ]);
        assert_eq!(
            steps,
            [
                Step::AnnounceReady,
                Step::Nothing,
                Step::Nothing,
                Step::Finish { in_order: true }
            ]
        );
    }

    #[test]
    fn a_machine_that_nobody_kept_ends_with_its_starter() {
        assert!(matches!(steps(&[Event::StarterGone])[..], [Step::GiveUp(_)]));
        assert!(matches!(
            steps(&[ready(), Event::StarterGone])[..],
            [Step::AnnounceReady, Step::GiveUp(_)]
        ));
    }

    #[test]
    fn the_order_in_which_qemu_and_virtiofsd_end_does_not_matter() {
        let up = [ready(), Event::StarterKeeps];
        let qemu_first = steps(&[&up[..], &[Event::QemuEnded { success: true }]].concat());
        let virtiofsd_first = steps(&[&up[..], &[Event::VirtiofsdEnded, Event::QemuEnded { success: true }]].concat());
        assert_eq!(qemu_first.last(), virtiofsd_first.last());
    }

    #[test]
    fn a_machine_without_its_files_does_not_linger() {
        let steps = steps(&[ready(), Event::StarterKeeps, Event::VirtiofsdEnded, Event::TimeIsUp]);
        assert_eq!(steps.last(), Some(&Step::Finish { in_order: false }));
    }

    proptest! {
        #[test]
        fn readiness_is_announced_once_at_most(events in proptest::collection::vec(event(), 0..20)) {
            let announced = steps(&events).iter().filter(|step| **step == Step::AnnounceReady).count();
            prop_assert!(announced <= 1);
        }

        #[test]
        fn the_end_of_qemu_is_the_end(events in proptest::collection::vec(event(), 0..20), success: bool) {
            let steps = steps(&[&events[..], &[Event::QemuEnded { success }]].concat());
            let ended = matches!(steps.last(), Some(Step::GiveUp(_) | Step::Finish { .. }));
            prop_assert!(ended);
        }
    }
}
