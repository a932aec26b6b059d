//! From a request's bytes to its operation, and from what that says to a document.

use std::sync::Arc;

use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::{json, members};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Caller, Ecs, access};

impl Ecs {
    /// Performs `operation` on a request's body; the answer's document.
    ///
    /// # Errors
    /// ECS's own, or what mote refuses.
    pub async fn call(self: &Arc<Self>, caller: Caller, operation: &str, body: &[u8]) -> Result<Value, EcsError> {
        let known = members::operation(operation).ok_or_else(|| unknown(operation))?;
        access::check(caller.role, "ecs", operation)?;
        let request = parse(body)?;
        members::check(known.members, &request)?;
        match operation {
            "RunTask" => answer(&self.run_task(&caller, &read(request)?).await?),
            "StopTask" => answer(&self.stop_task(&caller, &read(request)?).await?),
            "GetTaskProtection" => answer(&self.get_task_protection(&caller, &read(request)?).await?),
            "UpdateTaskProtection" => answer(&self.update_task_protection(&caller, &read(request)?).await?),
            "ExecuteCommand" => answer(&self.execute_command(&caller, &read(request)?).await?),
            _ if is_of_services(operation) => {
                let mut answer = self.services.call(&caller, operation, request).await?;
                json::prune(&mut answer);
                Ok(answer)
            }
            _ => {
                let (ecs, operation) = (self.clone(), operation.to_owned());
                let called = tokio::task::spawn_blocking(move || ecs.call_blocking(&caller, &operation, request));
                called
                    .await
                    .map_err(|error| EcsError::server(format!("the operation failed: {error}")))?
            }
        }
    }

    /// The operations that wait for the disk and nothing else.
    fn call_blocking(&self, caller: &Caller, operation: &str, request: Value) -> Result<Value, EcsError> {
        match operation {
            "CreateCluster" => answer(&self.create_cluster(caller, read(request)?)?),
            "DeleteAccountSetting" => answer(&self.delete_account_setting(&read(request)?)?),
            "DeleteCluster" => answer(&self.delete_cluster(caller, &read(request)?)?),
            "DeleteTaskDefinitions" => answer(&self.delete_task_definitions(caller, &read(request)?)?),
            "DeregisterTaskDefinition" => answer(&self.deregister_task_definition(caller, &read(request)?)?),
            "DescribeCapacityProviders" => answer(&self.describe_capacity_providers(caller, &read(request)?)?),
            "DescribeClusters" => answer(&self.describe_clusters(caller, &read(request)?)?),
            "DescribeTaskDefinition" => answer(&self.describe_task_definition(caller, &read(request)?)?),
            "DescribeTasks" => answer(&self.describe_tasks(caller, &read(request)?)?),
            "ListAccountSettings" => answer(&self.list_account_settings(&read(request)?)?),
            "ListClusters" => answer(&self.list_clusters(caller, &read(request)?)?),
            "ListTagsForResource" => answer(&self.list_tags_for_resource(&read(request)?)?),
            "ListTaskDefinitionFamilies" => answer(&self.list_task_definition_families(&read(request)?)?),
            "ListTaskDefinitions" => answer(&self.list_task_definitions(caller, &read(request)?)?),
            "ListTasks" => answer(&self.list_tasks(caller, &read(request)?)?),
            "PutAccountSetting" | "PutAccountSettingDefault" => answer(&self.put_account_setting(&read(request)?)?),
            "PutClusterCapacityProviders" => answer(&self.put_cluster_capacity_providers(caller, read(request)?)?),
            "RegisterTaskDefinition" => answer(&self.register_task_definition(caller, read(request)?)?),
            "TagResource" => answer(&self.tag_resource(&read(request)?)?),
            "UntagResource" => answer(&self.untag_resource(&read(request)?)?),
            "UpdateCluster" | "UpdateClusterSettings" => answer(&self.update_cluster(caller, read(request)?)?),
            _ => Err(unknown(operation)),
        }
    }
}

/// The document of a request's body. An empty body is an empty document.
fn parse(body: &[u8]) -> Result<Value, EcsError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        EcsError::new(
            ErrorKind::Serialization,
            format!("the request's body is no JSON document: {error}"),
        )
    })
}

/// A request that was checked.
fn read<T: DeserializeOwned>(request: Value) -> Result<T, EcsError> {
    serde_json::from_value(without_nulls(request))
        .map_err(|error| EcsError::new(ErrorKind::Serialization, error.to_string()))
}

/// A member that is null is one that is absent.
fn without_nulls(mut request: Value) -> Value {
    json::prune(&mut request);
    request
}

fn answer(answer: &impl Serialize) -> Result<Value, EcsError> {
    json::document(answer).map_err(|error| EcsError::server(format!("cannot write the answer: {error}")))
}

fn is_of_services(operation: &str) -> bool {
    operation.contains("Service")
}

fn unknown(operation: &str) -> EcsError {
    let unsupported = members::UNSUPPORTED
        .iter()
        .find(|(_, names)| names.contains(&operation));
    match unsupported {
        Some((why, _)) => EcsError::new(
            ErrorKind::UnsupportedFeature,
            format!("{operation} is not supported by mote: {why}."),
        ),
        None => EcsError::new(ErrorKind::UnknownOperation, ""),
    }
}
