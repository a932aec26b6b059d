//! What keeps the host agent busy: started tasks, requests, attached clients.

use std::time::Duration;

use tokio::sync::watch;

/// Counts what is under way. Clones count the same.
#[derive(Clone, Debug)]
pub struct Activity {
    count: watch::Sender<usize>,
}

/// Something that is under way for as long as this value lives.
#[derive(Debug)]
pub struct Presence {
    count: watch::Sender<usize>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            count: watch::Sender::new(0),
        }
    }
}

impl Activity {
    /// Something begins.
    #[must_use]
    pub fn begin(&self) -> Presence {
        self.count.send_modify(|count| *count += 1);
        Presence {
            count: self.count.clone(),
        }
    }

    /// Waits until nothing is under way.
    pub async fn none(&self) {
        // The sender lives as long as this value.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Waits until nothing was under way for so long.
    pub async fn idle_for(&self, duration: Duration) {
        let mut count = self.count.subscribe();
        loop {
            let _ = count.wait_for(|count| *count == 0).await;
            tokio::select! {
                () = tokio::time::sleep(duration) => return,
                _ = count.changed() => {}
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_last_thing_that_ended() {
        let activity = Activity::default();
        let presence = activity.begin();
        let idle = activity.idle_for(Duration::from_secs(60));
        tokio::pin!(idle);
        assert!(tokio::time::timeout(Duration::from_secs(600), &mut idle).await.is_err());
        drop(presence);
        assert!(tokio::time::timeout(Duration::from_secs(59), &mut idle).await.is_err());
        drop(activity.begin());
        assert!(tokio::time::timeout(Duration::from_secs(59), &mut idle).await.is_err());
        idle.await;
    }
}
