//! The verbs that speak the protocol of Amazon ECS: definitions, tasks of them, services, clusters.

pub mod cluster;
pub mod definition;
pub mod service;
pub mod task;

use std::path::Path;

use anyhow::{Context, Result, bail};
use api::ecs::json::prune;
use serde_json::{Value, json};

/// The greatest page of a list, as ECS has it.
const PAGE_LEN: u32 = 100;

/// The last part of an ARN, which is what people call the thing; a name stays as it is.
fn short_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A member that is a string, or nothing.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// A member that is a number, or 0.
fn number(value: &Value, member: &str) -> i64 {
    value[member].as_i64().unwrap_or_default()
}

/// The members of a list.
fn items(value: &mut Value, member: &str) -> Vec<Value> {
    match value[member].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// A request without the members that say nothing.
fn request(mut document: Value) -> Value {
    prune(&mut document);
    document
}

/// Tags, as ECS has them; nothing where there are none.
fn tags(texts: &[String]) -> Result<Value> {
    let tag = |text: &String| {
        let pair = text.split_once('=');
        let (key, value) = pair.with_context(|| format!("'{text}' is no tag: write KEY=VALUE"))?;
        Ok(json!({"key": key, "value": value}))
    };
    let tags: Vec<Value> = texts.iter().map(tag).collect::<Result<_>>()?;
    Ok(if tags.is_empty() { Value::Null } else { tags.into() })
}

/// The document in a file, or in standard input for `-`.
fn read_document(path: &Path) -> Result<Value> {
    let name = path.display();
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
    } else {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?
    };
    let document: Value = serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
    if !document.is_object() {
        bail!("{name} holds no JSON object");
    }
    Ok(document)
}

/// Fails where ECS could not do something for all that it was asked for.
fn check_failures(answer: &mut Value) -> Result<()> {
    let failures = items(answer, "failures");
    let sentences: Vec<_> = failures.iter().map(failure).collect();
    if sentences.is_empty() {
        Ok(())
    } else {
        bail!("{}", sentences.join("; "))
    }
}

fn failure(failure: &Value) -> String {
    let name = short_name(text(failure, "arn"));
    let (reason, detail) = (text(failure, "reason"), text(failure, "detail"));
    let what = match (reason, detail) {
        ("MISSING", _) => "there is none of that name".to_owned(),
        (_, "") => reason.to_owned(),
        _ => format!("{reason}: {detail}"),
    };
    if name.is_empty() {
        what
    } else {
        format!("{name}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_only_what_was_said() {
        let document = request(json!({"a": null, "b": {"c": null}, "tags": tags(&[]).unwrap(), "d": 1}));
        assert_eq!(document, json!({"b": {}, "d": 1}));
        assert_eq!(
            tags(&["team=blue".to_owned()]).unwrap(),
            json!([{"key": "team", "value": "blue"}])
        );
        assert!(tags(&["team".to_owned()]).is_err());
    }

    #[test]
    fn a_failure_is_a_sentence() {
        let mut answer = json!({"failures": [
            {"arn": "arn:aws:ecs:us-east-1:0:service/default/web", "reason": "MISSING"},
            {"reason": "RESOURCE:MEMORY", "detail": "too little"},
        ]});
        let error = check_failures(&mut answer).unwrap_err();
        assert_eq!(
            error.to_string(),
            "web: there is none of that name; RESOURCE:MEMORY: too little"
        );
        check_failures(&mut json!({"failures": []})).unwrap();
        check_failures(&mut json!({})).unwrap();
    }

    #[test]
    fn a_document_is_an_object() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, is_document) in [("{}", true), ("[]", false), ("{", false)] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(read_document(file.path()).is_ok(), is_document, "{text}");
        }
    }
}
