//! After a restart of the host agent: tasks go on, or stop with a reason.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::tasks::STOPPED_MAX;
use super::{Core, Entry, First, Newborn};
use crate::host::{self, Kept};
use crate::lifecycle::{Rules, State};
use crate::output::Outlets;
use crate::ports::Failure;
use crate::record::{NetworkRecord, TaskRecord};

/// The ids of the microVMs that may live and that tasks are to go on with.
#[must_use]
pub fn kept_microvms(unfinished: &[TaskRecord], boot_id: &str) -> HashSet<String> {
    let kept = unfinished.iter().map(kept);
    kept.filter_map(|kept| host::is_kept(&kept, boot_id).cloned()).collect()
}

/// What tasks that have not stopped hold of the network.
#[must_use]
pub fn live_networks(unfinished: &[TaskRecord]) -> Vec<(String, NetworkRecord)> {
    let network = |record: &TaskRecord| Some((record.id.clone(), record.network.clone()?));
    unfinished.iter().filter_map(network).collect()
}

/// What the core has kept. A record of which nothing can be read is one of a task that has no microVM any more.
fn kept(record: &TaskRecord) -> Kept {
    let read = serde_json::from_value(record.core.clone());
    let fits = |kept: &Kept| kept.state.containers.len() == record.plan.containers.len();
    read.ok().filter(fits).unwrap_or_else(|| Kept {
        state: State::new(&Rules::of(&record.plan)),
        boot_id: String::new(),
        microvm: None,
        network: None,
        stop_signals: vec![],
        timers: vec![],
    })
}

impl Core {
    /// Lets the tasks of an earlier host agent go on, and remembers those that stopped.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn restore(self: &Arc<Self>, unfinished: Vec<TaskRecord>) -> Result<(), Failure> {
        for record in self.records.stopped(STOPPED_MAX)? {
            self.tasks.add_stopped(Arc::new(over(record)));
        }
        for record in unfinished {
            let kept = kept(&record);
            // It was accepted, so it has a size.
            let (sizing, _) = host::need(&record.plan)?;
            tracing::info!(task = record.id, name = record.name, status = ?record.status, "found in the store");
            self.begin(Newborn {
                record,
                kept,
                sizing,
                found: None,
                first: First::Adoption,
            });
        }
        Ok(())
    }
}

/// What is left to hold of a task that has stopped.
fn over(mut record: TaskRecord) -> Entry {
    record.core = serde_json::Value::Null;
    let closed = || {
        let outlets = Outlets::default();
        outlets.close();
        Arc::new(outlets)
    };
    let containers = record.plan.containers.len();
    Entry {
        outlets: (0..containers).map(|_| closed()).collect(),
        inputs: (0..containers).map(|_| None).collect(),
        record: watch::Sender::new(Arc::new(record)).subscribe(),
        notices: mpsc::channel(1).0,
        whereabouts: watch::Sender::new(None).subscribe(),
        guest: watch::Sender::new(None).subscribe(),
    }
}
