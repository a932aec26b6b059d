//! `mote task-definition`.

use anyhow::Result;
use api::client::Client;
use serde_json::{Value, json};

use super::{PAGE_LEN, check_failures, items, number, read_document, request, short_name, text};
use crate::args::{Definition, DefinitionDescribe, DefinitionLs, DefinitionRegister};
use crate::commands::task_name::for_each;
use crate::value::Format;
use crate::{host, output};

/// `mote task-definition`.
pub async fn definition(host: Option<String>, verb: Definition) -> Result<u8> {
    match verb {
        Definition::Register(arguments) => register(host, arguments).await,
        Definition::Describe(arguments) => describe(host, arguments).await,
        Definition::List(arguments) => list(host, arguments).await,
        Definition::Deregister(arguments) => {
            let client = host::connect(host).await?;
            for_each(&arguments.definitions, async |name| {
                let document = json!({"taskDefinition": name});
                let _: Value = client.ecs("DeregisterTaskDefinition", &document).await?;
                Ok(name)
            })
            .await
        }
        Definition::Rm(arguments) => {
            let client = host::connect(host).await?;
            for_each(&arguments.definitions, async |name| {
                let document = json!({"taskDefinitions": [name]});
                let mut answer: Value = client.ecs("DeleteTaskDefinitions", &document).await?;
                check_failures(&mut answer)?;
                Ok(name)
            })
            .await
        }
    }
}

async fn register(host: Option<String>, arguments: DefinitionRegister) -> Result<u8> {
    let mut document = read_document(&arguments.file)?;
    if let Some(family) = arguments.family {
        document["family"] = family.into();
    }
    let answer: Value = host::connect(host)
        .await?
        .ecs("RegisterTaskDefinition", &document)
        .await?;
    output::line(&name(&answer["taskDefinition"]))?;
    Ok(0)
}

/// `family:revision`.
fn name(definition: &Value) -> String {
    format!("{}:{}", text(definition, "family"), number(definition, "revision"))
}

async fn describe(host: Option<String>, arguments: DefinitionDescribe) -> Result<u8> {
    let document = json!({"taskDefinition": arguments.definition, "include": ["TAGS"]});
    let mut answer: Value = host::connect(host)
        .await?
        .ecs("DescribeTaskDefinition", &document)
        .await?;
    let mut definition = answer["taskDefinition"].take();
    if let Some(tags) = answer["tags"].as_array().filter(|tags| !tags.is_empty()) {
        definition["tags"] = tags.clone().into();
    }
    output::document(&arguments.format, &definition)?;
    Ok(0)
}

async fn list(host: Option<String>, arguments: DefinitionLs) -> Result<u8> {
    let client = host::connect(host).await?;
    let arns = all(&client, &arguments).await?;
    let rows: Vec<Value> = arns.iter().map(|arn| listed(arn)).collect();
    let header = ["FAMILY", "REVISION"];
    let name = |row: &Value| format!("{}:{}", text(row, "family"), text(row, "revision"));
    let row = |row: &Value| vec![text(row, "family").to_owned(), text(row, "revision").to_owned()];
    if arguments.listing.listing.format == Format::Json && !arguments.listing.quiet {
        output::json(&arns)?;
        return Ok(0);
    }
    output::quiet_list(&arguments.listing, &rows, &header, row, name)?;
    Ok(0)
}

/// What an ARN tells of a definition.
fn listed(arn: &str) -> Value {
    let (family, revision) = short_name(arn).split_once(':').unwrap_or((short_name(arn), ""));
    json!({"family": family, "revision": revision, "arn": arn})
}

async fn all(client: &Client, arguments: &DefinitionLs) -> Result<Vec<String>> {
    let status = if arguments.inactive { "INACTIVE" } else { "ACTIVE" };
    let mut arns = Vec::new();
    let mut next = Value::Null;
    loop {
        let document = json!({
            "familyPrefix": arguments.family, "status": status, "maxResults": PAGE_LEN, "nextToken": next,
        });
        let mut page: Value = client.ecs("ListTaskDefinitions", &request(document)).await?;
        let page_arns = items(&mut page, "taskDefinitionArns");
        arns.extend(page_arns.iter().filter_map(|arn| arn.as_str().map(str::to_owned)));
        next = page["nextToken"].take();
        if next.is_null() {
            return Ok(arns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_named_by_family_and_revision() {
        assert_eq!(name(&json!({"family": "web", "revision": 3})), "web:3");
        let listed = listed("arn:aws:ecs:us-east-1:000000000000:task-definition/web:3");
        assert_eq!((text(&listed, "family"), text(&listed, "revision")), ("web", "3"));
    }
}
