//! Documents as bytes.

use serde::Serialize;
use serde_json::Value;

/// `answer` as a document: members that are absent are left out, as ECS does.
///
/// # Errors
/// Where `answer` cannot be a JSON document.
pub fn document(answer: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(answer)?;
    prune(&mut value);
    Ok(value)
}

/// Removes every member that is null.
pub fn prune(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_are_left_out_at_every_depth() {
        let value = serde_json::json!({"a": null, "b": [{"c": null, "d": 1}], "e": {}});
        assert_eq!(document(&value).unwrap(), serde_json::json!({"b": [{"d": 1}], "e": {}}));
    }
}
