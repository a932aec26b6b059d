//! `ListTasks` and `DescribeTasks`.

use api::ecs::arn::{self, Resource};
use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::page;
use api::ecs::shapes::Failure;
use api::ecs::tasks::{
    DESCRIBE_TASKS_MAX, DescribeTasksAnswer, DescribeTasksRequest, ListTasksAnswer, ListTasksRequest,
};
use serde_json::Value;

use super::describe::describe;
use crate::ecs::{Caller, Ecs, failed};
use crate::store::TaskFilter;

impl Ecs {
    pub(in crate::ecs) fn describe_tasks(
        &self,
        caller: &Caller,
        request: &DescribeTasksRequest,
    ) -> Result<DescribeTasksAnswer, EcsError> {
        let cluster = self.catalogue.active_cluster(request.cluster.as_deref())?;
        if request.tasks.is_empty() {
            return Err(EcsError::invalid("Tasks cannot be empty."));
        }
        if request.tasks.len() > DESCRIBE_TASKS_MAX {
            return Err(EcsError::invalid(format!(
                "tasks can name {DESCRIBE_TASKS_MAX} tasks at the most."
            )));
        }
        let wants_tags = request.include.iter().flatten().any(|what| what == "TAGS");
        let mut answer = DescribeTasksAnswer::default();
        for reference in &request.tasks {
            let Some(record) = self.task(reference, &cluster)? else {
                answer
                    .failures
                    .push(Failure::missing(self.task_arn(caller, reference, &cluster)));
                continue;
            };
            let tags = if wants_tags {
                self.catalogue.tags_of(&format!("task/{cluster}/{}", record.id))?
            } else {
                Vec::new()
            };
            answer.tasks.push(describe(&record, &caller.region, tags));
        }
        Ok(answer)
    }

    #[expect(clippy::unused_self, reason = "reads as the other methods")]
    pub(super) fn task_arn(&self, caller: &Caller, reference: &str, cluster: &str) -> String {
        if reference.starts_with("arn:") {
            return reference.to_owned();
        }
        let (cluster, id) = (cluster.to_owned(), reference.to_owned());
        Resource::Task { cluster, id }.arn(&caller.region)
    }

    pub(in crate::ecs) fn list_tasks(
        &self,
        caller: &Caller,
        request: &ListTasksRequest,
    ) -> Result<ListTasksAnswer, EcsError> {
        let cluster = self.catalogue.active_cluster(request.cluster.as_deref())?;
        let size = page::size(request.max_results, 100)?;
        let has_other_filter = request.family.is_some() || request.service_name.is_some();
        if request.started_by.is_some() && has_other_filter {
            return Err(EcsError::invalid("startedBy has to be the only filter."));
        }
        let service = request
            .service_name
            .as_deref()
            .map(|service| self.service_name(service, &cluster))
            .transpose()?;
        let is_empty = request.desired_status.as_deref() == Some("PENDING")
            || request
                .launch_type
                .as_deref()
                .is_some_and(|launch_type| launch_type != "FARGATE");
        if is_empty {
            return Ok(ListTasksAnswer::default());
        }
        // A token is good for the same list only.
        let list = format!(
            "tasks of {cluster} {:?} {:?} {:?} {:?}",
            request.family, service, request.started_by, request.desired_status
        );
        let behind = page::behind(&list, request.next_token.as_deref())?;
        let filter = TaskFilter {
            cluster: &cluster,
            is_wanted: request.desired_status.as_deref() != Some("STOPPED"),
            family: request.family.as_deref(),
            service: service.as_deref(),
            started_by: request.started_by.as_deref(),
            behind: behind.and_then(|number| number.parse().ok()),
            count_max: size,
        };
        let page = self.store.list_tasks(&filter).map_err(failed)?;
        let arn = |id: String| {
            Resource::Task {
                cluster: cluster.clone(),
                id,
            }
            .arn(&caller.region)
        };
        Ok(ListTasksAnswer {
            task_arns: page.ids.into_iter().map(arn).collect(),
            next_token: page.next.map(|number| page::token(&list, &number.to_string())),
        })
    }

    /// The name of the service that a request means.
    fn service_name(&self, reference: &str, cluster: &str) -> Result<String, EcsError> {
        let not_found = || EcsError::new(ErrorKind::ServiceNotFound, "Service not found.");
        let name = arn::service(reference, cluster)?.ok_or_else(not_found)?;
        let known: Option<Value> = self.store.service(cluster, &name).map_err(failed)?;
        known.map(|_| name).ok_or_else(not_found)
    }
}
