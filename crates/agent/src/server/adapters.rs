//! What other parts want to know of tasks, answered by their core.

use std::sync::Arc;

use api::error::ApiError;
use api::task::Status;
use futures_util::future::{BoxFuture, FutureExt};

use crate::core::Core;
use crate::logs::native::{LoggedContainer, LoggedTask, LoggedTasks};

/// The core, for those who read logs.
pub struct Logged(pub Arc<Core>);

impl LoggedTasks for Logged {
    fn find(&self, task: &str) -> Result<LoggedTask, ApiError> {
        let record = self.0.find(task)?;
        let containers = record.plan.containers.iter().map(|plan| LoggedContainer {
            name: plan.name.clone(),
            has_terminal: plan.terminal.is_some(),
        });
        Ok(LoggedTask {
            id: record.id.clone(),
            containers: containers.collect(),
        })
    }

    fn stopped<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()> {
        // A task stops when all that its containers wrote is stored.
        async { drop(self.0.wait(id, Status::Stopped).await) }.boxed()
    }
}
