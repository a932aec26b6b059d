//! Room on the host, and the tasks that wait for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::Notice;
use crate::capacity::{Capacity, Room, Shortage};
use crate::lifecycle::Event;

/// The host's capacity, and how those are reached that wait for it.
pub struct Rooms {
    // Shared by all tasks; locked for moments.
    desk: Mutex<Desk>,
}

struct Desk {
    capacity: Capacity,
    waiting: HashMap<String, mpsc::Sender<Notice>>,
}

impl Rooms {
    /// A host that has `total`.
    #[must_use]
    pub fn new(total: Room) -> Self {
        Self {
            desk: Mutex::new(Desk {
                capacity: Capacity::new(total),
                waiting: HashMap::new(),
            }),
        }
    }

    /// What there is, and what of that is taken.
    #[must_use]
    pub fn status(&self) -> (Room, Room) {
        self.lock().capacity.status()
    }

    /// As [`Capacity::fits_ever`].
    ///
    /// # Errors
    /// What there is too little of, and how much there is.
    pub fn fits_ever(&self, need: Room) -> Result<(), (Shortage, Room)> {
        let desk = self.lock();
        let total = desk.capacity.status().0;
        desk.capacity.fits_ever(need).map_err(|shortage| (shortage, total))
    }

    /// Whether `task` has what it needs now; otherwise it hears of it by [`Event::Reserved`].
    pub fn ask(&self, task: &str, need: Room, notices: &mpsc::Sender<Notice>) -> bool {
        let mut desk = self.lock();
        let has_room = desk.capacity.ask(task, need);
        if !has_room {
            desk.waiting.insert(task.to_owned(), notices.clone());
        }
        has_room
    }

    /// As [`Capacity::note`].
    pub fn note(&self, task: &str, need: Room) {
        self.lock().capacity.note(task, need);
    }

    /// As [`Capacity::give_back`]; who gets what it waited for is told.
    pub fn give_back(&self, task: &str) {
        let mut desk = self.lock();
        desk.waiting.remove(task);
        for served in desk.capacity.give_back(task) {
            if let Some(notices) = desk.waiting.remove(&served) {
                // Not here: a task may be slow to take its notices.
                tokio::spawn(async move { notices.send(Notice::Event(Event::Reserved)).await });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        // Nothing that holds the lock leaves a change half-done.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
