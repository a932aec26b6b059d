//! What is done now and then, for nobody in particular: tasks that stopped long ago are forgotten, logs that nobody keeps are
//! removed, what tasks use is noted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::core::Core;
use crate::logs::Logs;
use crate::ports::Records;
use crate::sentence::sentence;
use crate::store::Store;
use crate::usage;

/// How often logs are looked through.
const SWEEPING_PERIOD: Duration = Duration::from_secs(60 * 60);

/// How often it is noted what tasks use: the most of it that a loss of power costs.
const NOTING_PERIOD: Duration = Duration::from_secs(60);

/// How often old notes are looked for.
const NOTES_PER_FORGETTING: u32 = 60;

/// Forgets the tasks that stopped long ago and that there is no room for.
pub fn forget_old(core: &Core, store: &Store) {
    let expired = match store.expired_tasks(clock::wall_ms()) {
        Ok(expired) => expired,
        Err(error) => return tracing::warn!(error = sentence(&error), "cannot look for old tasks"),
    };
    for id in expired {
        // The core does not know those any more that stopped before it was started.
        if core.forget(&id).is_err()
            && let Err(error) = store.remove(&id)
        {
            tracing::warn!(task = id, error = sentence(error.as_ref()), "cannot forget an old task");
        }
    }
}

/// Removes logs that nobody keeps, now and every hour, as long as the runtime lives.
pub fn sweep_logs(logs: Logs, store: Store) {
    tokio::spawn(async move {
        let mut period = tokio::time::interval(SWEEPING_PERIOD);
        loop {
            period.tick().await;
            let (logs, store) = (logs.clone(), store.clone());
            let swept = tokio::task::spawn_blocking(move || sweep(&logs, &store));
            match swept.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = sentence(&error), "cannot look through all logs"),
                Err(_) => return,
            }
        }
    });
}

/// Notes every minute what tasks use, and forgets every hour what those used that ended long ago, as long as the runtime lives.
pub fn note_usage(core: Arc<Core>, store: Store) {
    tokio::spawn(async move {
        let mut period = tokio::time::interval(NOTING_PERIOD);
        for round in 0_u32.. {
            period.tick().await;
            let (core, store) = (core.clone(), store.clone());
            let noted = tokio::task::spawn_blocking(move || {
                if round % NOTES_PER_FORGETTING == 0 {
                    store.forget_usage(clock::wall_ms())?;
                }
                usage::note(&core, &store)
            });
            match noted.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = sentence(&error), "cannot note what tasks use"),
                Err(_) => return,
            }
        }
    });
}

fn sweep(logs: &Logs, store: &Store) -> io::Result<()> {
    // Where that cannot be told, nothing is removed.
    let is_known = |task: &str| store.task(task).map_or(true, |found| found.is_some());
    logs.sweep(clock::wall_ms(), &is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_tasks_that_nobody_knows_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::new(directory.path().join("logs"), 1 << 20);
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        let known = crate::services::view::tests::record("STOPPED");
        store.put(&[&known]).unwrap();
        for task in [known.id.as_str(), "0123"] {
            std::fs::create_dir_all(directory.path().join("logs").join(task).join("app")).unwrap();
        }
        sweep(&logs, &store).unwrap();
        assert!(directory.path().join("logs").join(&known.id).join("app").exists());
        assert!(!directory.path().join("logs/0123").exists());
    }
}
