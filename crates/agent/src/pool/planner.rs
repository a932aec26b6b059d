//! What the pool does next, as a pure function of what happened: no time, no process, no file.

/// So many members are started at the same time: refilling is to be done soon, but not in anybody's way.
pub const STARTING_MAX: usize = 2;

/// How long the first failure of a member keeps the next one away, in seconds; each further one doubles it.
const HOLD_BACK_SECONDS_MIN: u64 = 1;

/// The longest time that failures keep a member away, in seconds.
const HOLD_BACK_SECONDS_MAX: u64 = 256;

/// What can happen to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A task begins to start.
    StartBegan,
    /// A task runs, or has failed to.
    StartEnded,
    /// A task took a member that waited.
    Taken,
    /// A member that was started waits, as a clone of this generation of the template.
    MemberReady {
        /// Which.
        generation: u64,
    },
    /// A member ended before it waited.
    MemberFailed,
    /// A member that waited ended.
    MemberDied,
    /// There is another template now, of this generation, or none.
    TemplateChanged(Option<u64>),
    /// The host is short of memory, or no longer.
    PressureChanged(bool),
    /// The time of [`Action::HoldBack`] is over.
    HoldBackOver,
    /// The host agent ends.
    Closed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a member. Answered by [`Event::MemberReady`] or [`Event::MemberFailed`].
    StartMember,
    /// End so many members that wait.
    GiveBack(usize),
    /// End the member that has just become ready, instead of letting it wait.
    Discard,
    /// Send [`Event::HoldBackOver`] after so many seconds.
    HoldBack {
        /// The time.
        seconds: u64,
    },
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planner {
    wanted: usize,
    waiting: usize,
    starting: usize,
    tasks_starting: usize,
    generation: Option<u64>,
    is_pressed: bool,
    is_held_back: bool,
    failures_in_a_row: u32,
}

impl Planner {
    /// A pool in which `wanted` members are to wait; there is no template yet.
    pub const fn new(wanted: usize) -> Self {
        Self {
            wanted,
            waiting: 0,
            starting: 0,
            tasks_starting: 0,
            generation: None,
            is_pressed: false,
            is_held_back: false,
            failures_in_a_row: 0,
        }
    }

    /// How many members wait.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Decides; does nothing.
    pub fn next(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::StartBegan => self.tasks_starting += 1,
            Event::StartEnded => self.tasks_starting = self.tasks_starting.saturating_sub(1),
            Event::Taken => self.waiting = self.waiting.saturating_sub(1),
            Event::MemberReady { generation } => {
                self.starting = self.starting.saturating_sub(1);
                self.failures_in_a_row = 0;
                if Some(generation) == self.generation && !self.is_pressed && self.waiting < self.wanted {
                    self.waiting += 1;
                } else {
                    actions.push(Action::Discard);
                }
            }
            Event::MemberFailed => {
                self.starting = self.starting.saturating_sub(1);
                self.hold_back(&mut actions);
            }
            Event::MemberDied => {
                self.waiting = self.waiting.saturating_sub(1);
                self.hold_back(&mut actions);
            }
            Event::TemplateChanged(generation) => {
                if generation != self.generation {
                    self.generation = generation;
                    self.drain(&mut actions);
                }
            }
            Event::PressureChanged(is_pressed) => {
                self.is_pressed = is_pressed;
                if is_pressed {
                    self.drain(&mut actions);
                }
            }
            Event::HoldBackOver => self.is_held_back = false,
            Event::Closed => {
                self.wanted = 0;
                self.drain(&mut actions);
            }
        }
        self.refill(&mut actions);
        actions
    }

    fn drain(&mut self, actions: &mut Vec<Action>) {
        if self.waiting > 0 {
            actions.push(Action::GiveBack(self.waiting));
            self.waiting = 0;
        }
    }

    fn hold_back(&mut self, actions: &mut Vec<Action>) {
        let doublings = self.failures_in_a_row.min(HOLD_BACK_SECONDS_MAX.ilog2());
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if !self.is_held_back {
            self.is_held_back = true;
            let seconds = (HOLD_BACK_SECONDS_MIN << doublings).min(HOLD_BACK_SECONDS_MAX);
            actions.push(Action::HoldBack { seconds });
        }
    }

    fn refill(&mut self, actions: &mut Vec<Action>) {
        let may = self.generation.is_some() && self.tasks_starting == 0 && !self.is_pressed && !self.is_held_back;
        while may && self.starting < STARTING_MAX && self.waiting + self.starting < self.wanted {
            self.starting += 1;
            actions.push(Action::StartMember);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lets `events` happen to a pool of three with a template: all actions but the first fill's.
    fn check(events: &[Event]) -> Vec<Action> {
        let mut planner = filled(3);
        events.iter().flat_map(|event| planner.next(*event)).collect()
    }

    fn filled(wanted: usize) -> Planner {
        let mut planner = Planner::new(wanted);
        planner.next(Event::TemplateChanged(Some(1)));
        for _ in 0..wanted {
            planner.next(Event::MemberReady { generation: 1 });
        }
        assert_eq!(planner.waiting(), wanted);
        planner
    }

    #[test]
    fn a_pool_fills_as_soon_as_there_is_a_template_and_not_all_at_once() {
        let mut planner = Planner::new(3);
        let first = planner.next(Event::TemplateChanged(Some(1)));
        assert_eq!(first, [Action::StartMember; STARTING_MAX]);
        assert_eq!(
            planner.next(Event::MemberReady { generation: 1 }),
            [Action::StartMember]
        );
        assert_eq!(planner.next(Event::MemberReady { generation: 1 }), []);
        assert_eq!(planner.next(Event::MemberReady { generation: 1 }), []);
    }

    #[test]
    fn a_refill_waits_until_no_task_starts() {
        let events = [Event::StartBegan, Event::Taken, Event::StartBegan, Event::StartEnded];
        assert_eq!(check(&events), []);
        assert_eq!(
            check(&[&events[..], &[Event::StartEnded]].concat()),
            [Action::StartMember]
        );
    }

    #[test]
    fn pressure_gives_members_back_and_keeps_others_away() {
        let events = [Event::PressureChanged(true), Event::PressureChanged(true)];
        assert_eq!(check(&events), [Action::GiveBack(3)]);
        let over = check(&[Event::PressureChanged(true), Event::PressureChanged(false)]);
        assert_eq!(over, [Action::GiveBack(3), Action::StartMember, Action::StartMember]);
    }

    #[test]
    fn another_template_drains_the_pool_also_of_members_on_their_way() {
        let mut planner = Planner::new(2);
        planner.next(Event::TemplateChanged(Some(1)));
        planner.next(Event::MemberReady { generation: 1 });
        assert_eq!(
            planner.next(Event::TemplateChanged(Some(2))),
            [Action::GiveBack(1), Action::StartMember]
        );
        assert_eq!(
            planner.next(Event::MemberReady { generation: 1 }),
            [Action::Discard, Action::StartMember]
        );
        assert_eq!(planner.next(Event::MemberReady { generation: 2 }), []);
    }

    #[test]
    fn members_that_die_are_replaced_ever_later() {
        let mut planner = filled(1);
        let mut seconds_before = 0;
        for event in [Event::MemberDied, Event::MemberFailed, Event::MemberFailed] {
            let [Action::HoldBack { seconds }] = planner.next(event)[..] else {
                panic!("not held back")
            };
            assert!(seconds > seconds_before);
            seconds_before = seconds;
            assert_eq!(planner.next(Event::HoldBackOver), [Action::StartMember]);
        }
    }

    #[test]
    fn a_closed_pool_is_empty_and_stays_so() {
        let events = [Event::Closed, Event::TemplateChanged(Some(2)), Event::StartEnded];
        assert_eq!(check(&events), [Action::GiveBack(3)]);
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::StartBegan),
            Just(Event::StartEnded),
            Just(Event::Taken),
            (1..3_u64).prop_map(|generation| Event::MemberReady { generation }),
            Just(Event::MemberFailed),
            Just(Event::MemberDied),
            prop::option::of(1..3_u64).prop_map(Event::TemplateChanged),
            any::<bool>().prop_map(Event::PressureChanged),
            Just(Event::HoldBackOver),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_pool_is_bounded_and_full_in_the_end(
            wanted in 0..5_usize, events in prop::collection::vec(event(), 0..60)
        ) {
            let mut planner = Planner::new(wanted);
            let (mut starting, mut waiting, mut timers) = (0_usize, 0_usize, 0_usize);
            let calm = [Event::PressureChanged(false), Event::TemplateChanged(Some(7))];
            let ends = events.iter().filter(|event| **event == Event::StartBegan).count();
            let ends = std::iter::repeat_n(Event::StartEnded, ends);
            let mut events: Vec<Event> = events.into_iter().chain(ends).chain(calm).collect();
            events.reverse();
            loop {
                let event = match events.pop() {
                    Some(event) => event,
                    // What is owed comes at last.
                    None if starting > 0 => Event::MemberReady { generation: 7 },
                    None if timers > 0 => Event::HoldBackOver,
                    None => break,
                };
                match event {
                    Event::MemberReady { .. } | Event::MemberFailed if starting == 0 => continue,
                    Event::Taken | Event::MemberDied if waiting == 0 => continue,
                    Event::HoldBackOver if timers == 0 => continue,
                    Event::MemberReady { .. } => { starting -= 1; waiting += 1; }
                    Event::MemberFailed => starting -= 1,
                    Event::Taken | Event::MemberDied => waiting -= 1,
                    Event::HoldBackOver => timers -= 1,
                    _ => {}
                }
                for action in planner.next(event) {
                    match action {
                        Action::StartMember => starting += 1,
                        Action::GiveBack(members) => waiting -= members,
                        Action::Discard => waiting -= 1,
                        Action::HoldBack { .. } => timers += 1,
                    }
                }
                prop_assert_eq!(planner.waiting(), waiting);
                prop_assert!(starting <= STARTING_MAX && timers <= 1);
                prop_assert!(waiting <= wanted);
            }
            prop_assert_eq!(waiting, wanted);
        }
    }
}
