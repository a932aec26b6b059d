//! What tasks may take of the host, and who waits for what: pure.
//!
//! Memory is given away once. CPU is given away more often than there is, since a limit bounds what each task takes. Who came first is served first: a
//! large task is not passed for ever by small ones.

use std::collections::{HashMap, VecDeque};

/// What a task needs, or a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// CPU, in thousandths of a vCPU.
    pub vcpu_milli: u64,
    /// Memory of guests, in MiB.
    pub memory_mib: u64,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
}

/// Who has what, and who waits.
#[derive(Debug)]
pub struct Capacity {
    total: Room,
    taken: HashMap<String, Room>,
    /// All of `taken` together.
    sum: Room,
    waiting: VecDeque<(String, Room)>,
}

impl Capacity {
    /// A host that has `total`.
    #[must_use]
    pub fn new(total: Room) -> Self {
        Self {
            total,
            taken: HashMap::new(),
            sum: Room::default(),
            waiting: VecDeque::new(),
        }
    }

    /// What there is, and what of that is taken.
    #[must_use]
    pub const fn status(&self) -> (Room, Room) {
        (self.total, self.sum)
    }

    /// Whether the host could hold a task that needs this, if it held no other.
    ///
    /// # Errors
    /// What there is too little of.
    pub const fn fits_ever(&self, need: Room) -> Result<(), Shortage> {
        if need.memory_mib > self.total.memory_mib {
            return Err(Shortage::Memory);
        }
        if need.vcpu_milli > self.total.vcpu_milli {
            return Err(Shortage::Cpu);
        }
        Ok(())
    }

    /// Gives `task` what it needs, or lets it wait; whether it has it.
    pub fn ask(&mut self, task: &str, need: Room) -> bool {
        if self.taken.contains_key(task) {
            return true;
        }
        if self.waiting.is_empty() && self.fits(need) {
            self.note(task, need);
            return true;
        }
        self.waiting.push_back((task.to_owned(), need));
        false
    }

    /// Notes that `task` has this, whether it fits or not: it was given by an earlier host agent.
    pub fn note(&mut self, task: &str, need: Room) {
        let before = self.taken.insert(task.to_owned(), need);
        self.free(before);
        self.sum.vcpu_milli += need.vcpu_milli;
        self.sum.memory_mib += need.memory_mib;
    }

    const fn free(&mut self, room: Option<Room>) {
        if let Some(room) = room {
            self.sum.vcpu_milli -= room.vcpu_milli;
            self.sum.memory_mib -= room.memory_mib;
        }
    }

    /// Takes back what `task` has or waits for; who gets what it waited for.
    pub fn give_back(&mut self, task: &str) -> Vec<String> {
        let before = self.taken.remove(task);
        self.free(before);
        self.waiting.retain(|(waiting, _)| waiting != task);
        let mut served = vec![];
        while let Some((next, need)) = self.waiting.front().cloned() {
            if !self.fits(need) {
                break;
            }
            self.waiting.pop_front();
            self.note(&next, need);
            served.push(next);
        }
        served
    }

    /// What fits into an empty host fits once that is empty, also where its total was larger before.
    fn fits(&self, need: Room) -> bool {
        self.taken.is_empty()
            || (self.sum.memory_mib + need.memory_mib <= self.total.memory_mib
                && self.sum.vcpu_milli + need.vcpu_milli <= self.total.vcpu_milli)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn room(vcpu_milli: u64, memory_mib: u64) -> Room {
        Room { vcpu_milli, memory_mib }
    }

    #[test]
    fn what_never_fits_is_told_by_what_is_short() {
        let capacity = Capacity::new(room(1000, 100));
        assert_eq!(capacity.fits_ever(room(1000, 100)), Ok(()));
        assert_eq!(capacity.fits_ever(room(1001, 100)), Err(Shortage::Cpu));
        assert_eq!(capacity.fits_ever(room(1, 101)), Err(Shortage::Memory));
    }

    #[test]
    fn who_waits_is_served_in_order_and_not_passed() {
        let mut capacity = Capacity::new(room(1000, 100));
        assert!(capacity.ask("a", room(1, 60)));
        assert!(!capacity.ask("large", room(1, 80)));
        assert!(!capacity.ask("small", room(1, 10)));
        assert_eq!(capacity.give_back("a"), ["large", "small"]);
    }

    #[test]
    fn who_gives_up_waiting_is_not_in_the_way() {
        let mut capacity = Capacity::new(room(1000, 100));
        assert!(capacity.ask("a", room(1, 60)));
        assert!(!capacity.ask("b", room(1, 80)));
        assert!(!capacity.ask("c", room(1, 10)));
        assert_eq!(capacity.give_back("b"), ["c"]);
    }

    proptest! {
        #[test]
        fn never_more_is_given_than_there_is(asks in prop::collection::vec((0..8_u8, 0..2000_u64, 0..200_u64, any::<bool>()), 0..60)) {
            let mut capacity = Capacity::new(room(1000, 100));
            for (task, vcpu_milli, memory_mib, gives_back) in asks {
                let (task, need) = (task.to_string(), room(vcpu_milli, memory_mib));
                if gives_back {
                    capacity.give_back(&task);
                } else if capacity.fits_ever(need).is_ok() && !capacity.waiting.iter().any(|(other, _)| *other == task) {
                    capacity.ask(&task, need);
                }
                let (total, taken) = capacity.status();
                prop_assert!(taken.memory_mib <= total.memory_mib && taken.vcpu_milli <= total.vcpu_milli);
                let sum = |part: fn(&Room) -> u64| capacity.taken.values().map(part).sum::<u64>();
                prop_assert_eq!((sum(|room| room.vcpu_milli), sum(|room| room.memory_mib)), (taken.vcpu_milli, taken.memory_mib));
            }
            for task in 0..8_u8 {
                capacity.give_back(&task.to_string());
            }
            prop_assert!(capacity.waiting.is_empty() && capacity.taken.is_empty());
            prop_assert_eq!(capacity.sum, Room::default());
        }
    }
}
