//! `StopTask`.

use api::ecs::arn;
use api::ecs::error::EcsError;
use api::ecs::tasks::{StopTaskAnswer, StopTaskRequest};
use api::task::Status;

use super::describe::describe;
use super::run::refused;
use crate::core::{CoreError, StopTask};
use crate::ecs::{Caller, Ecs, failed};
use crate::record::{Stop, StopCode, TaskRecord};

/// The longest reason, in characters, as ECS has it.
const REASON_LEN_MAX: usize = 255;

/// What is told where a request gives no reason.
const REASON: &str = "Task stopped by user";

impl Ecs {
    pub(in crate::ecs) async fn stop_task(
        &self,
        caller: &Caller,
        request: &StopTaskRequest,
    ) -> Result<StopTaskAnswer, EcsError> {
        let cluster = self.catalogue.active_cluster(request.cluster.as_deref())?;
        let task = self
            .task(&request.task, &cluster)?
            .ok_or_else(EcsError::task_not_found)?;
        if task.status == Status::Stopped {
            return self.stopping(caller, &task);
        }
        let reason = request
            .reason
            .clone()
            .filter(|reason| !reason.is_empty())
            .unwrap_or_else(|| REASON.to_owned());
        if reason.chars().count() > REASON_LEN_MAX {
            return Err(EcsError::invalid(format!(
                "reason has to have at most {REASON_LEN_MAX} characters."
            )));
        }
        let stop = StopTask {
            stop: Stop {
                code: StopCode::UserInitiated,
                reason,
            },
            timeout_seconds: None,
        };
        let record = match self.core.stop(&task.id, stop).await {
            Ok(record) => record,
            Err(CoreError::Refused(error)) => return Err(refused(error)),
            Err(error) => return Err(EcsError::server(error.to_string())),
        };
        self.stopping(caller, &record)
    }

    fn stopping(&self, caller: &Caller, record: &TaskRecord) -> Result<StopTaskAnswer, EcsError> {
        let tags = self
            .catalogue
            .tags_of(&format!("task/{}/{}", record.cluster, record.id))?;
        Ok(StopTaskAnswer {
            task: describe(record, &caller.region, tags),
        })
    }

    /// The record of the task that a request means.
    pub(in crate::ecs) fn task(&self, reference: &str, cluster: &str) -> Result<Option<TaskRecord>, EcsError> {
        let Some(id) = arn::task(reference, cluster)? else {
            return Ok(None);
        };
        let task = self.store.task(&id).map_err(failed)?;
        Ok(task.filter(|task| task.cluster == cluster))
    }
}
