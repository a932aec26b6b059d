//! `mote service`.

use anyhow::{Context, Result};
use api::client::Client;
use serde_json::{Value, json};

use super::{check_failures, items, number, request, short_name, tags, text};
use crate::args::{
    Service, ServiceCreate, ServiceDescribe, ServiceLs, ServiceOptions, ServiceRm, ServiceScale, ServiceUpdate,
};
use crate::commands::task_name::for_each;
use crate::{host, output};

/// The most services that one call describes, as ECS has it.
const DESCRIBED_MAX: u32 = 10;

/// `mote service`.
pub async fn service(host: Option<String>, verb: Service) -> Result<u8> {
    let client = host::connect(host).await?;
    match verb {
        Service::Create(arguments) => create(&client, arguments).await,
        Service::List(arguments) => list(&client, arguments).await,
        Service::Describe(arguments) => describe(&client, arguments).await,
        Service::Scale(arguments) => scale(&client, arguments).await,
        Service::Update(arguments) => update(&client, arguments).await,
        Service::Rm(arguments) => remove(&client, arguments).await,
    }
}

async fn create(client: &Client, arguments: ServiceCreate) -> Result<u8> {
    arguments
        .options
        .task_definition
        .as_ref()
        .context("say which definition with --task-definition")?;
    let mut document = options(&arguments.options);
    document["serviceName"] = arguments.name.into();
    document["launchType"] = "FARGATE".into();
    document["tags"] = tags(&arguments.tag)?;
    if document["desiredCount"].is_null() {
        document["desiredCount"] = 1.into();
    }
    let answer: Value = client.ecs("CreateService", &request(document)).await?;
    output::line(text(&answer["service"], "serviceName"))?;
    Ok(0)
}

/// What creating and updating have in common.
fn options(options: &ServiceOptions) -> Value {
    let breaker = json!({"enable": true, "rollback": true});
    let deployment = json!({
        "minimumHealthyPercent": options.minimum_healthy_percent,
        "maximumPercent": options.maximum_percent,
        "deploymentCircuitBreaker": if options.circuit_breaker { breaker } else { Value::Null },
    });
    let is_said = deployment
        .as_object()
        .is_some_and(|members| members.values().any(|member| !member.is_null()));
    json!({
        "cluster": options.cluster,
        "taskDefinition": options.task_definition,
        "desiredCount": options.count,
        "enableExecuteCommand": options.enable_execute_command.then_some(true),
        "healthCheckGracePeriodSeconds": options.health_check_grace_period,
        "deploymentConfiguration": if is_said { deployment } else { Value::Null },
    })
}

async fn list(client: &Client, arguments: ServiceLs) -> Result<u8> {
    let mut services = Vec::new();
    let mut next = Value::Null;
    loop {
        let document = json!({"cluster": arguments.cluster, "maxResults": DESCRIBED_MAX, "nextToken": next});
        let mut page: Value = client.ecs("ListServices", &request(document)).await?;
        let arns = items(&mut page, "serviceArns");
        if !arns.is_empty() {
            services.extend(described(client, arguments.cluster.as_deref(), &arns.into()).await?);
        }
        next = page["nextToken"].take();
        if next.is_null() {
            break;
        }
    }
    let header = [
        "NAME",
        "STATUS",
        "DEFINITION",
        "DESIRED",
        "RUNNING",
        "PENDING",
        "DEPLOYMENT",
    ];
    let name = |service: &Value| text(service, "serviceName").to_owned();
    output::quiet_list(&arguments.listing, &services, &header, row, name)?;
    Ok(0)
}

async fn described(client: &Client, cluster: Option<&str>, services: &Value) -> Result<Vec<Value>> {
    let document = request(json!({"cluster": cluster, "services": services, "include": ["TAGS"]}));
    let mut answer: Value = client.ecs("DescribeServices", &document).await?;
    check_failures(&mut answer)?;
    Ok(items(&mut answer, "services"))
}

fn row(service: &Value) -> Vec<String> {
    let deployments = service["deployments"].as_array();
    let mut states = deployments.into_iter().flatten();
    let primary = states.find(|deployment| text(deployment, "status") == "PRIMARY");
    vec![
        text(service, "serviceName").to_owned(),
        text(service, "status").to_owned(),
        short_name(text(service, "taskDefinition")).to_owned(),
        number(service, "desiredCount").to_string(),
        number(service, "runningCount").to_string(),
        number(service, "pendingCount").to_string(),
        primary
            .map(|deployment| text(deployment, "rolloutState"))
            .unwrap_or_default()
            .to_owned(),
    ]
}

async fn describe(client: &Client, arguments: ServiceDescribe) -> Result<u8> {
    let services = described(client, arguments.cluster.as_deref(), &arguments.services.into()).await?;
    output::list(&arguments.format, &services, &[], |_| Vec::new())?;
    Ok(0)
}

async fn scale(client: &Client, arguments: ServiceScale) -> Result<u8> {
    for (name, count) in arguments.services {
        let document = json!({"cluster": arguments.cluster, "service": name, "desiredCount": count});
        let _: Value = client.ecs("UpdateService", &request(document)).await?;
        output::line(&name)?;
    }
    Ok(0)
}

async fn update(client: &Client, arguments: ServiceUpdate) -> Result<u8> {
    let mut document = options(&arguments.options);
    document["service"] = arguments.name.into();
    document["forceNewDeployment"] = arguments.force_new_deployment.then_some(true).into();
    let answer: Value = client.ecs("UpdateService", &request(document)).await?;
    output::line(text(&answer["service"], "serviceName"))?;
    Ok(0)
}

async fn remove(client: &Client, arguments: ServiceRm) -> Result<u8> {
    for_each(&arguments.services, async |name| {
        let document = json!({
            "cluster": arguments.cluster, "service": name, "force": arguments.force.then_some(true),
        });
        let _: Value = client.ecs("DeleteService", &request(document)).await?;
        Ok(name)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_row() {
        let service = json!({
            "serviceName": "web", "status": "ACTIVE", "desiredCount": 2, "runningCount": 1, "pendingCount": 1,
            "taskDefinition": "arn:aws:ecs:us-east-1:000000000000:task-definition/web:3",
            "deployments": [{"status": "ACTIVE"}, {"status": "PRIMARY", "rolloutState": "IN_PROGRESS"}],
        });
        assert_eq!(row(&service), ["web", "ACTIVE", "web:3", "2", "1", "1", "IN_PROGRESS"]);
        assert_eq!(row(&json!({}))[6], "");
    }

    #[test]
    fn only_what_was_said_of_a_deployment_is_asked_for() {
        let said = |change: fn(&mut ServiceOptions)| {
            let mut given = ServiceOptions {
                cluster: None,
                task_definition: None,
                count: None,
                minimum_healthy_percent: None,
                maximum_percent: None,
                circuit_breaker: false,
                enable_execute_command: false,
                health_check_grace_period: None,
            };
            change(&mut given);
            request(options(&given))
        };
        assert_eq!(said(|_| ()), json!({}));
        assert_eq!(
            said(|options| options.circuit_breaker = true),
            json!({"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": true, "rollback": true}}})
        );
        assert_eq!(
            said(|options| options.maximum_percent = Some(200)),
            json!({"deploymentConfiguration": {"maximumPercent": 200}})
        );
    }
}
