//! Applies the tables to a request.

use serde_json::{Map, Value};

use super::{Fate, Kind, Member};
use crate::ecs::error::{EcsError, ErrorKind};

/// How much of a value a message repeats.
const SHOWN_MAX: usize = 64;

/// Checks that a request has members of `members` only, each what it can be, and none that is refused.
///
/// # Errors
/// The first thing that is wrong, with the name of the member.
pub fn check(members: &[Member], request: &Value) -> Result<(), EcsError> {
    match request {
        Value::Object(given) => structure(members, given, ""),
        _ => Err(mistyped("the request", "an object")),
    }
}

fn structure(members: &[Member], given: &Map<String, Value>, path: &str) -> Result<(), EcsError> {
    let join = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for (name, value) in given {
        let Some(member) = members.iter().find(|member| member.name == name) else {
            let name = join(&shown(name));
            return Err(EcsError::invalid(format!("{name} is not a member that mote knows")));
        };
        if !value.is_null() {
            check_member(member, value, &join(name))?;
        }
    }
    let is_missing = |member: &&Member| member.is_required && given.get(member.name).is_none_or(Value::is_null);
    match members.iter().find(is_missing) {
        Some(member) => Err(EcsError::client(format!(
            "{} should not be null or empty.",
            join(member.name)
        ))),
        None => Ok(()),
    }
}

fn check_member(member: &Member, value: &Value, path: &str) -> Result<(), EcsError> {
    match member.fate {
        Fate::Refused(_) if says_nothing(value) => Ok(()),
        Fate::Refused(why) => Err(EcsError::invalid(format!("{path} is not supported by mote: {why}"))),
        Fate::Honoured | Fate::Echoed(_) => fits(&member.kind, value, path),
    }
}

fn fits(kind: &Kind, value: &Value, path: &str) -> Result<(), EcsError> {
    let is_fine = match (kind, value) {
        (Kind::Text, Value::String(_)) | (Kind::Boolean, Value::Bool(_)) | (Kind::Time, Value::Number(_)) => true,
        (Kind::Choice(choices), Value::String(choice)) => return chosen(choices, choice, path),
        (Kind::Integer, Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        (Kind::Map, Value::Object(entries)) => entries.values().all(Value::is_string),
        (Kind::List(kind), Value::Array(items)) => {
            let mut items = items.iter().enumerate();
            return items.try_for_each(|(index, item)| fits(kind, item, &format!("{path}[{index}]")));
        }
        (Kind::Structure(members), Value::Object(given)) => return structure(members, given, path),
        _ => false,
    };
    if is_fine {
        Ok(())
    } else {
        Err(mistyped(path, wanted(kind)))
    }
}

fn chosen(choices: &[&str], choice: &str, path: &str) -> Result<(), EcsError> {
    if choices.contains(&choice) {
        return Ok(());
    }
    let known = choices.join(", ");
    let what = if choices.len() == 1 { "only" } else { "one of" };
    Err(EcsError::invalid(format!(
        "{path} can be {what} {known} here, not {}",
        shown(choice)
    )))
}

const fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Choice(_) => "a string",
        Kind::Integer => "a whole number of 32 bits",
        Kind::Boolean => "true or false",
        Kind::Time => "a number of seconds",
        Kind::List(_) => "a list",
        Kind::Map => "an object with strings",
        Kind::Structure(_) | Kind::Other => "an object",
    }
}

/// Whether a value is what a client sends that wants nothing.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_true) => !is_true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(says_nothing),
    }
}

fn mistyped(path: &str, wanted: &str) -> EcsError {
    EcsError::new(ErrorKind::Serialization, format!("{path} has to be {wanted}"))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::operation;
    use super::*;

    fn refusal(name: &str, request: &Value) -> (ErrorKind, String) {
        let error = check(operation(name).unwrap().members, request).expect_err("it must be refused");
        (error.kind, error.message)
    }

    #[test]
    fn a_request_of_the_command_line_is_fine() {
        let request = json!({
            "cluster": "default", "count": 1, "launchType": "FARGATE", "taskDefinition": "hello:1", "clientToken": "t",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}},
            "overrides": {"containerOverrides": [{"name": "web", "command": ["echo", "hi"]}], "cpu": "512"},
            "tags": [{"key": "env", "value": "dev"}], "placementStrategy": [], "startedBy": null,
        });
        check(operation("RunTask").unwrap().members, &request).unwrap();
    }

    #[test]
    fn what_is_unknown_mistyped_missing_or_refused_is_named() {
        use ErrorKind::{Client, InvalidParameter, Serialization};
        let (invalid, serialization, client) = (InvalidParameter, Serialization, Client);
        let cases = [
            (
                json!({"taskDefinition": "a", "nonsense": 1}),
                invalid,
                "nonsense is not a member that mote knows",
            ),
            (
                json!({"taskDefinition": 1}),
                serialization,
                "taskDefinition has to be a string",
            ),
            (
                json!({"taskDefinition": "a", "count": 1.5}),
                serialization,
                "count has to be a whole number of 32 bits",
            ),
            (json!({}), client, "taskDefinition should not be null or empty."),
            (
                json!({"taskDefinition": "a", "launchType": "EC2"}),
                invalid,
                "launchType can be only FARGATE here, not EC2",
            ),
            (
                json!({"taskDefinition": "a", "overrides": {"containerOverrides": [{"resourceRequirements": [{"type": "GPU"}]}]}}),
                invalid,
                "overrides.containerOverrides[0].resourceRequirements is not supported by mote: there are no GPUs and no accelerators",
            ),
            (json!([]), serialization, "the request has to be an object"),
        ];
        for (request, kind, message) in cases {
            assert_eq!(refusal("RunTask", &request), (kind, message.to_owned()));
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-zA-Z]{0,8}".prop_map(Value::from),
        ];
        let names = prop_oneof![
            Just("taskDefinition"),
            Just("overrides"),
            Just("containerOverrides"),
            Just("tags"),
            Just("key")
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(names.clone().prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_passes_fits_the_type(request in any_value()) {
            if check(operation("RunTask").unwrap().members, &request).is_ok() {
                serde_json::from_value::<crate::ecs::tasks::RunTaskRequest>(request).unwrap();
            }
        }
    }
}
