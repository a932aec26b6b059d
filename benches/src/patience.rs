//! Waiting for what tells nobody when it happens. Nothing that is measured waits so.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

/// How often to look before it is an error, and how long to wait in between.
const LOOKS_MAX: u32 = 1200;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Looks until there is an answer; `what` tells for a person what is waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let mut looks = (0..LOOKS_MAX).map(|turn| {
        if turn > 0 {
            sleep(LOOK_INTERVAL);
        }
        look()
    });
    looks
        .find_map(|found| found)
        .with_context(|| format!("waited in vain until {what}"))
}
