//! Protection of services' tasks against being stopped when there are too many.

use api::ecs::error::EcsError;
use api::ecs::shapes::{Failure, Timestamp};
use api::ecs::tasks::{GetTaskProtectionRequest, ProtectedTask, TaskProtectionAnswer, UpdateTaskProtectionRequest};
use api::task::Status;

use crate::clock;
use crate::ecs::ports::Protection;
use crate::ecs::{Caller, Ecs};
use crate::record::TaskRecord;

/// The most tasks that one request may protect.
const TASKS_MAX: usize = 10;

/// For how many minutes tasks are protected where a request says nothing, and at the most.
const MINUTES: i64 = 120;
const MINUTES_MAX: i64 = 2880;

/// What becomes of a protection.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Until(Option<u64>),
}

impl Ecs {
    pub(in crate::ecs) async fn get_task_protection(
        &self,
        caller: &Caller,
        request: &GetTaskProtectionRequest,
    ) -> Result<TaskProtectionAnswer, EcsError> {
        let tasks = request.tasks.as_deref().unwrap_or_default();
        self.protections(caller, request.cluster.as_deref(), tasks, Change::Nothing)
            .await
    }

    pub(in crate::ecs) async fn update_task_protection(
        &self,
        caller: &Caller,
        request: &UpdateTaskProtectionRequest,
    ) -> Result<TaskProtectionAnswer, EcsError> {
        let minutes = request.expires_in_minutes.unwrap_or(MINUTES);
        let valid = u64::try_from(minutes)
            .ok()
            .filter(|_| (1..=MINUTES_MAX).contains(&minutes));
        let minutes =
            valid.ok_or_else(|| EcsError::invalid(format!("expiresInMinutes has to be 1 to {MINUTES_MAX}.")))?;
        if !(1..=TASKS_MAX).contains(&request.tasks.len()) {
            return Err(EcsError::invalid(format!("tasks has to name 1 to {TASKS_MAX} tasks.")));
        }
        let until_ms = request.protection_enabled.then(|| clock::wall_ms() + minutes * 60_000);
        let change = Change::Until(until_ms);
        self.protections(caller, request.cluster.as_deref(), &request.tasks, change)
            .await
    }

    async fn protections(
        &self,
        caller: &Caller,
        cluster: Option<&str>,
        tasks: &[String],
        change: Change,
    ) -> Result<TaskProtectionAnswer, EcsError> {
        let cluster = self.catalogue.active_cluster(cluster)?;
        let mut answer = TaskProtectionAnswer::default();
        for reference in tasks {
            let arn = self.task_arn(caller, reference, &cluster);
            let Some(record) = self.task(reference, &cluster)? else {
                answer.failures.push(Failure::missing(arn));
                continue;
            };
            let Some(protection) = self.protect(&record, change).await? else {
                let detail = "Only tasks of services that have not stopped are protected.".to_owned();
                let reason = Some("TASK_NOT_VALID".to_owned());
                answer.failures.push(Failure {
                    arn: Some(arn),
                    reason,
                    detail: Some(detail),
                });
                continue;
            };
            let until = protection.until_ms.filter(|until_ms| *until_ms > clock::wall_ms());
            answer.protected_tasks.push(ProtectedTask {
                task_arn: self.task_arn(caller, &record.id, &cluster),
                protection_enabled: until.is_some(),
                expiration_date: until.map(Timestamp::from_unix_ms),
            });
        }
        Ok(answer)
    }

    /// The task's protection, after the change; none where it is not one that can be protected.
    async fn protect(&self, record: &TaskRecord, change: Change) -> Result<Option<Protection>, EcsError> {
        if record.service.is_none() || record.status == Status::Stopped {
            return Ok(None);
        }
        match change {
            Change::Nothing => self.services.protection(record).await,
            Change::Until(until_ms) => self.services.protect(record, until_ms).await,
        }
    }
}
