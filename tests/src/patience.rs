//! Waiting for what tells nobody when it happens.

use std::thread::sleep;
use std::time::Duration;

/// How often is looked; with [`PAUSE`] far longer than anything takes on the slowest machine.
const ATTEMPTS: usize = 1200;

/// The time between two looks, beside what a look takes.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until there is an answer.
///
/// # Panics
/// Where there never is one: `what` did not happen.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..ATTEMPTS {
        if let Some(answer) = look() {
            return answer;
        }
        sleep(PAUSE);
    }
    panic!("{what}: in vain");
}
