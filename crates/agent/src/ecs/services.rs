//! The way to the operations on services, and what services need of tasks and definitions.

use std::sync::Arc;

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::json;
use api::ecs::shapes::Tag;
use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::definition::HostPaths;
use super::ports::{Protection, ServiceOperations, TaskCore};
use super::tasks::{ServiceTask, new_task_for_service};
use super::{Caller, Catalogue, tags};
use crate::core::StopTask;
use crate::record::{ServiceOrigin, Stop, StopCode, TaskRecord};
use crate::sentence::sentence;
use crate::services::operations::{self, Context};
use crate::services::outside::{Tasks, WantedTask};
use crate::services::request;
use crate::services::service::{Propagate, Service};
use crate::services::{ServiceError, Services};
use crate::store::Store;

/// The operations on these services, with what `catalogue` knows.
pub struct CatalogueServices {
    services: Services,
    catalogue: Catalogue,
}

impl CatalogueServices {
    /// The operations on these services.
    #[must_use]
    pub const fn new(services: Services, catalogue: Catalogue) -> Self {
        Self { services, catalogue }
    }

    async fn answer(&self, caller: &Caller, operation: &str, request: Value) -> Result<Value, EcsError> {
        let context = Context {
            services: &self.services,
            catalogue: &self.catalogue,
            region: &caller.region,
        };
        match operation {
            "CreateService" => answer(&operations::create(context, read(request)?).await?),
            "UpdateService" => answer(&operations::update(context, read(request)?).await?),
            "DeleteService" => answer(&operations::delete(context, read(request)?).await?),
            "DescribeServices" => answer(&operations::describe(context, read(request)?).await?),
            "ListServices" => answer(&operations::list(context, &read(request)?)?),
            "ListServiceDeployments" => answer(&operations::list_deployments(context, read(request)?).await?),
            "DescribeServiceDeployments" => answer(&operations::describe_deployments(context, read(request)?).await?),
            "StopServiceDeployment" => answer(&operations::stop_deployment(context, read(request)?).await?),
            _ => Err(EcsError::new(ErrorKind::UnknownOperation, "")),
        }
    }
}

impl ServiceOperations for CatalogueServices {
    fn call<'a>(
        &'a self,
        caller: &'a Caller,
        operation: &'a str,
        request: Value,
    ) -> BoxFuture<'a, Result<Value, EcsError>> {
        self.answer(caller, operation, request).boxed()
    }

    fn protection<'a>(&'a self, task: &'a TaskRecord) -> BoxFuture<'a, Result<Option<Protection>, EcsError>> {
        async move {
            let Some(origin) = &task.service else { return Ok(None) };
            let service = self.services.get(&task.cluster, &origin.service).await;
            let service = service.map_err(|error| EcsError::server(sentence(&error)))?;
            let open = |service: Arc<Service>| service.open.iter().find(|open| open.id == task.id).cloned();
            Ok(service.and_then(open).map(|open| Protection {
                until_ms: open.protected_until_ms,
            }))
        }
        .boxed()
    }

    fn protect<'a>(
        &'a self,
        task: &'a TaskRecord,
        until_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Protection>, EcsError>> {
        async move {
            let Some(origin) = &task.service else { return Ok(None) };
            let id = task.id.clone();
            let change = self
                .services
                .change(&task.cluster, &origin.service, move |service, _, _| {
                    request::protect(service, &id, until_ms)
                });
            match change.await {
                Ok(_) => Ok(Some(Protection { until_ms })),
                Err(ServiceError::Refused(_) | ServiceError::NotFound) => Ok(None),
                Err(error) => Err(EcsError::server(sentence(&error))),
            }
        }
        .boxed()
    }
}

fn read<T: DeserializeOwned>(mut request: Value) -> Result<T, EcsError> {
    json::prune(&mut request);
    serde_json::from_value(request).map_err(|error| EcsError::new(ErrorKind::Serialization, error.to_string()))
}

fn answer(answer: &impl Serialize) -> Result<Value, EcsError> {
    json::document(answer).map_err(|error| EcsError::server(format!("cannot write the answer: {error}")))
}

impl operations::Catalogue for Catalogue {
    fn cluster(&self, reference: Option<&str>) -> Result<String, EcsError> {
        self.active_cluster(reference)
    }

    fn definition(&self, reference: &str) -> Result<String, EcsError> {
        let definition = self.active_definition(reference)?;
        Ok(format!("{}:{}", definition.family, definition.revision))
    }

    fn tags(&self, cluster: &str, service: &str) -> Result<Vec<(String, String)>, EcsError> {
        let tags = self.tags_of(&format!("service/{cluster}/{service}"))?;
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    fn set_tags(&self, cluster: &str, service: &str, tags: &[(String, String)]) -> Result<(), EcsError> {
        let tag = |(key, value): &(String, String)| Tag {
            key: key.clone(),
            value: value.clone(),
        };
        let tags: Vec<Tag> = tags.iter().map(tag).collect();
        self.replace_tags(&format!("service/{cluster}/{service}"), &tags)
    }
}

/// What starts and stops the tasks of services.
pub struct ServiceTasks {
    core: Arc<dyn TaskCore>,
    store: Store,
    catalogue: Catalogue,
    paths: HostPaths,
}

impl ServiceTasks {
    /// Tasks on this core, of definitions in `store` that may name files of the host below `paths`.
    #[must_use]
    pub fn new(core: Arc<dyn TaskCore>, store: Store, paths: HostPaths) -> Self {
        let catalogue = Catalogue::new(store.clone());
        Self {
            core,
            store,
            catalogue,
            paths,
        }
    }

    async fn try_start(&self, wanted: &WantedTask) -> Result<String, String> {
        let task = self.task(wanted).map_err(|error| error.message)?;
        let records = self.core.submit(vec![task]).await.map_err(|error| sentence(&error))?;
        let record = records.into_iter().next().ok_or("the task was not accepted")?;
        let resource = format!("task/{}/{}", record.cluster, record.id);
        let tagged = self.store.tag(&resource, &record.tags, usize::MAX);
        tagged.map_err(|error| sentence(&error))?;
        Ok(record.id)
    }

    fn task(&self, wanted: &WantedTask) -> Result<crate::core::NewTask, EcsError> {
        let definition = self
            .catalogue
            .definition(&wanted.definition, "TaskDefinition not found.")?;
        let whose = wanted.options.propagate.map(|propagate| match propagate {
            Propagate::Definition => format!("task-definition/{}", wanted.definition),
            Propagate::Service => format!("service/{}/{}", wanted.cluster, wanted.service),
        });
        let propagated = whose.map(|resource| self.catalogue.tags_of(&resource)).transpose()?;
        let mut tags = tags::checked(&propagated.unwrap_or_default())?;
        if wanted.options.managed_tags {
            tags.push(("aws:ecs:clusterName".to_owned(), wanted.cluster.clone()));
            tags.push(("aws:ecs:serviceName".to_owned(), wanted.service.clone()));
        }
        let origin = ServiceOrigin {
            service: wanted.service.clone(),
            deployment: wanted.deployment.clone(),
        };
        let task = ServiceTask {
            cluster: &wanted.cluster,
            origin,
            can_execute: wanted.options.can_execute,
            tags,
            echoed: wanted.echoed.clone(),
        };
        new_task_for_service(&definition, &self.paths, task)
    }
}

impl Tasks for ServiceTasks {
    fn start<'a>(&'a self, wanted: &'a WantedTask) -> BoxFuture<'a, Result<String, String>> {
        self.try_start(wanted).boxed()
    }

    fn stop<'a>(&'a self, task: &'a str, reason: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let stop = Stop {
                code: StopCode::ServiceSchedulerInitiated,
                reason: reason.to_owned(),
            };
            let stopped = self
                .core
                .stop(
                    task,
                    StopTask {
                        stop,
                        timeout_seconds: None,
                    },
                )
                .await;
            if let Err(error) = stopped {
                tracing::debug!(
                    task,
                    error = sentence(&error),
                    "a service's task could not be asked to stop"
                );
            }
        }
        .boxed()
    }
}
