//! After a restart of the host agent: what an earlier one has left of a task, found again.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::{Held, Kept, TaskHost, microvm};
use crate::clock;
use crate::lifecycle::{Event, State};
use crate::record::TaskRecord;
use crate::sentence::sentence;
use crate::session::Known;

/// Where the kernel tells its boots apart.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// This boot of the host; nothing where the kernel does not tell.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

/// The id of the microVM that may live and that this task is to go on with.
#[must_use]
pub fn is_kept<'a>(kept: &'a Kept, boot_id: &str) -> Option<&'a String> {
    let is_alive = kept.state.has_microvm() && kept.boot_id == boot_id;
    kept.microvm.as_ref().filter(|_| is_alive)
}

impl TaskHost {
    /// Takes over what an earlier host agent has left of the task: [`Event::Found`], [`Event::Untold`] or [`Event::Lost`].
    pub async fn adopt(&mut self, record: &mut TaskRecord, kept: &mut Kept) -> Event {
        if let Some(id) = is_kept(kept, &self.shared.boot_id)
            && self.shared.launcher.has_door(id)
        {
            // It may be on its way to the host agent that is gone, and ends when it does not find it.
            if let Err(error) = self.shared.launcher.discard(id).await {
                return Event::Lost(format!("the microVM cannot be ended: {}", sentence(&error)));
            }
            kept.microvm = None;
            kept.timers.clear();
            return Event::Untold;
        }
        if let Ok((_, need)) = super::need(&record.plan)
            && kept.state.has_microvm()
        {
            self.shared.rooms.note(&record.id, need);
        }
        let same_boot = kept.boot_id == self.shared.boot_id;
        kept.boot_id.clone_from(&self.shared.boot_id);
        if !same_boot {
            return Event::Lost("the host was restarted".to_owned());
        }
        let Some(id) = kept.microvm.clone().filter(|_| kept.state.has_microvm()) else {
            return Event::Lost("the host agent was restarted".to_owned());
        };
        let used = self.shared.launcher.used(&id);
        let found = match self.shared.launcher.find(&id).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                record.used = used;
                return Event::Lost("the microVM ended while no host agent ran".to_owned());
            }
            Err(error) => return Event::Lost(format!("the microVM cannot be reached: {}", sentence(&error))),
        };
        let mut outputs = match self.outputs(record) {
            Ok(outputs) => outputs,
            Err(message) => return Event::Lost(message),
        };
        let known = known(record, &kept.state);
        for (process, container, _) in &known {
            outputs.add(*process, *container);
        }
        self.presence.get_or_insert_with(|| self.links.activity.begin());
        let whereabouts = found.held.whereabouts(found.process.id());
        self.links.whereabouts.send_replace(Some(whereabouts));
        for (container, state) in kept.state.containers.iter().enumerate() {
            self.processes[container].send_replace(state.process);
        }
        let known = known.into_iter().map(|(_, _, known)| known).collect();
        let watch = self.watch(outputs);
        self.held = Held::Microvm(microvm::adopt(id, found, known, watch));
        self.pump_input(record);
        let now_ms = clock::wall_ms();
        for (timer, at_ms) in kept.timers.clone() {
            self.sleep(timer, Duration::from_millis(at_ms.saturating_sub(now_ms)));
        }
        Event::Found
    }
}

/// The processes that the guest may speak of: the last of each container, and all others whose output has not ended.
fn known(record: &TaskRecord, state: &State) -> Vec<(u32, usize, Known)> {
    let mut processes = BTreeSet::new();
    for (container, current) in state.containers.iter().enumerate() {
        processes.insert((current.process, container));
        processes.extend(current.previous.map(|process| (process, container)));
        processes.extend(state.open_outputs(container).map(|process| (process, container)));
    }
    let known = |(process, container): (u32, usize)| {
        let plan = &record.plan.containers[container];
        let known = Known {
            process,
            container: plan.name.clone(),
            has_terminal: plan.terminal.is_some(),
            has_stdin: plan.stdin,
        };
        (process, container, known)
    };
    processes.into_iter().map(known).collect()
}
