//! `mote task run`: tasks from a definition.

use anyhow::{Context, Result, bail};
use api::client::Client;
use api::task::Exit;
use serde_json::{Value, json};

use super::{check_failures, items, read_document, request, short_name, tags, text};
use crate::args::{TaskRun, TaskVerb};
use crate::{host, output, value};

/// `mote task`.
pub async fn task(host: Option<String>, verb: TaskVerb) -> Result<u8> {
    match verb {
        TaskVerb::Run(arguments) => run(host, arguments).await,
    }
}

async fn run(host: Option<String>, arguments: TaskRun) -> Result<u8> {
    let client = host::connect(host).await?;
    let document = request(json!({
        "taskDefinition": arguments.definition,
        "cluster": arguments.cluster,
        "count": arguments.count,
        "launchType": "FARGATE",
        "group": arguments.group,
        "startedBy": arguments.started_by,
        "enableExecuteCommand": arguments.enable_execute_command.then_some(true),
        "tags": tags(&arguments.tag)?,
        "overrides": overrides(&client, &arguments).await?,
    }));
    let mut answer: Value = client.ecs("RunTask", &document).await?;
    let tasks = items(&mut answer, "tasks");
    let ids: Vec<String> = tasks
        .iter()
        .map(|task| short_name(text(task, "taskArn")).to_owned())
        .collect();
    for id in &ids {
        output::line(id)?;
    }
    check_failures(&mut answer)?;
    if arguments.wait {
        ended(&client, &ids).await
    } else {
        Ok(0)
    }
}

/// Waits for all; the exit code of the first that failed.
async fn ended(client: &Client, ids: &[String]) -> Result<u8> {
    let mut code = 0;
    for id in ids {
        let task = client.wait_task(id).await?;
        let own = task.exit.unwrap_or(Exit::Failed).shell_code();
        if code == 0 && own != 0 {
            code = own;
            output::note(&format!("task {id}: {}", task.stopped_reason.unwrap_or_default()));
        }
    }
    Ok(code)
}

/// What differs from the definition.
async fn overrides(client: &Client, arguments: &TaskRun) -> Result<Value> {
    if let Some(file) = &arguments.overrides {
        return read_document(file);
    }
    if arguments.env.is_empty() && arguments.command.is_empty() {
        return Ok(Value::Null);
    }
    let container = match &arguments.container {
        Some(name) => name.clone(),
        None => only_container(client, &arguments.definition).await?,
    };
    let env = value::environment(&[], &arguments.env, |name| std::env::var(name).ok())?;
    Ok(container_override(&container, &env, &arguments.command))
}

fn container_override(container: &str, env: &[String], command: &[String]) -> Value {
    let pairs = env.iter().filter_map(|variable| variable.split_once('='));
    let environment: Vec<Value> = pairs
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut document = json!({"name": container});
    if !environment.is_empty() {
        document["environment"] = environment.into();
    }
    if !command.is_empty() {
        document["command"] = command.into();
    }
    json!({"containerOverrides": [document]})
}

async fn only_container(client: &Client, definition: &str) -> Result<String> {
    let document = json!({"taskDefinition": definition});
    let mut answer: Value = client.ecs("DescribeTaskDefinition", &document).await?;
    let containers = items(&mut answer["taskDefinition"], "containerDefinitions");
    match containers.as_slice() {
        [container] => Ok(text(container, "name").to_owned()),
        [] => None.context("the definition has no container"),
        _ => {
            let names: Vec<_> = containers.iter().map(|container| text(container, "name")).collect();
            bail!(
                "the definition has several containers: say which one with --container: {}",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_has_only_what_was_said() {
        assert_eq!(
            container_override("main", &["A=1=2".into()], &[]),
            json!({"containerOverrides": [{"name": "main", "environment": [{"name": "A", "value": "1=2"}]}]})
        );
        assert_eq!(
            container_override("main", &[], &["ls".into()]),
            json!({"containerOverrides": [{"name": "main", "command": ["ls"]}]})
        );
    }
}
