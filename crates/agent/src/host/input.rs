//! Input on its way from the attached clients to a container's process.

use std::sync::Arc;

use protocol::guest::{TerminalSize, ToGuest};
use tokio::sync::{mpsc, watch};

use super::link::GuestLink;
use super::{Input, TaskHost};
use crate::record::TaskRecord;

impl TaskHost {
    /// From now on containers get the input that clients send. It waits until then.
    pub(super) fn pump_input(&mut self, record: &TaskRecord) {
        for (index, plan) in record.plan.containers.iter().enumerate() {
            if let Some(input) = self.links.inputs.get_mut(index).and_then(Option::take) {
                let (guest, process) = (self.links.guest.subscribe(), self.processes[index].subscribe());
                self.work.spawn(pump(input, guest, process, plan.stdin));
            }
        }
    }
}

async fn pump(
    mut input: mpsc::Receiver<Input>,
    mut guest: watch::Receiver<Option<Arc<GuestLink>>>,
    process: watch::Receiver<u32>,
    has_stdin: bool,
) {
    while let Some(next) = input.recv().await {
        // A guest that is not reached yet will be, or its task is over.
        let Ok(link) = guest.wait_for(Option::is_some).await.map(|link| link.clone()) else {
            return;
        };
        let Some(link) = link else { continue };
        let process = *process.borrow();
        // Input that a process does not take, or no more, is dropped.
        match next {
            Input::Bytes(_) | Input::End if !has_stdin => {}
            Input::Bytes(bytes) => drop(link.commands().input(process, bytes).await),
            Input::End => drop(link.commands().end_input(process).await),
            Input::Resize(size) => {
                let size = TerminalSize {
                    columns: size.columns,
                    rows: size.rows,
                };
                let _ = link.commands().send(&ToGuest::Resize { process, size });
            }
        }
    }
}
