//! Health checks: a command in a container, for as long as it may take.

use std::time::Duration;

use api::task::Exit;

use super::{Command, Notice, TaskHost};
use crate::lifecycle::Event;
use crate::record::TaskRecord;

/// The number of `SIGKILL`.
const SIGKILL: u8 = 9;

impl TaskHost {
    /// Runs a container's health check, and tells how it ended.
    pub(super) fn check_health(&mut self, record: &TaskRecord, container: usize, process: u32) {
        let plan = &record.plan.containers[container];
        let Some(check) = &plan.health_check else { return };
        let timeout = Duration::from_secs(u64::from(check.timeout_seconds));
        let command = Command {
            container: plan.name.clone(),
            argv: check.command.clone(),
            env: vec![],
            working_directory: None,
            user: None,
            terminal: None,
            stdin: false,
        };
        let link = self.links.guest.borrow().clone();
        let executed = link.and_then(|link| link.execute(command).ok());
        let notices = self.links.notices.clone();
        self.work.spawn(async move {
            let is_healthy = match executed {
                Some(executed) => {
                    let control = executed.control();
                    let ended = tokio::time::timeout(timeout, executed.ended()).await;
                    if ended.is_err() {
                        control.signal(SIGKILL);
                    }
                    ended.is_ok_and(|end| end.exit == Exit::Code(0))
                }
                None => false,
            };
            // A task that is over takes no notices.
            let checked = Event::HealthChecked { process, is_healthy };
            let _ = notices.send(Notice::Event(checked)).await;
        });
    }
}
