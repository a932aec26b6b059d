//! How to print: for people, for programs, or as they say.

use std::str::FromStr;

use serde_json::Value;

/// How to print what is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// A line for each thing, in the way that is written.
    Template(Template),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ if text.contains("{{") => Template::parse(text).map(Self::Template),
            _ => Err("write table, json, or a template such as '{{.id}} {{.status}}'".to_owned()),
        }
    }
}

/// Text with places: `{{.MEMBER.MEMBER}}` stands for a member of the JSON document, `{{json .MEMBER}}` for its JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Member { path: Vec<String>, is_json: bool },
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (place, after) = after
                .split_once("}}")
                .ok_or("a place in the template has no end: write {{.MEMBER}}")?;
            parts.push(Part::Text(unescape(before)));
            parts.push(member(place)?);
            rest = after;
        }
        parts.push(Part::Text(unescape(rest)));
        Ok(Self { parts })
    }

    /// The text for one document; a member that is not there is empty.
    pub fn fill(&self, document: &Value) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Member { path, is_json } => text.push_str(&shown(find(document, path), *is_json)),
            }
        }
        text
    }
}

fn member(place: &str) -> Result<Part, String> {
    let place = place.trim();
    let (is_json, path) = match place.strip_prefix("json ") {
        Some(path) => (true, path.trim()),
        None => (false, place),
    };
    let path = path.strip_prefix('.').ok_or_else(|| {
        format!("'{{{{{place}}}}}' is no place in a template: write {{{{.MEMBER}}}} or {{{{json .MEMBER}}}}")
    })?;
    let path = path
        .split('.')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    Ok(Part::Member { path, is_json })
}

/// `\t` and `\n`, which shells leave as they are.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn find<'a>(document: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(document, |value, name| match value {
        Value::Array(items) => name
            .parse::<usize>()
            .ok()
            .and_then(|index| items.get(index))
            .unwrap_or(&Value::Null),
        _ => member_of(value, name),
    })
}

/// A member by its name, whose case does not matter: Docker's templates write `{{.ID}}`.
fn member_of<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_object();
    let found = members.and_then(|members| members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)));
    found.map_or(&Value::Null, |(_, value)| value)
}

fn shown(value: &Value, is_json: bool) -> String {
    match value {
        Value::String(text) if !is_json => text.clone(),
        Value::Null if !is_json => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(template: &str, expected: &str) {
        let document = json!({"id": "3f2a", "exit": {"code": 7}, "ports": [80], "none": null});
        let Ok(Format::Template(template)) = template.parse() else {
            panic!("{template} is no template")
        };
        assert_eq!(template.fill(&document), expected);
    }

    #[test]
    fn a_place_stands_for_a_member() {
        check("{{.ID}}: {{ .exit.code }}", "3f2a: 7");
        check(
            "{{json .id}}\\t{{.ports.0}}|{{.none}}|{{.missing.too}}",
            "\"3f2a\"\t80||",
        );
        check("{{json .exit}}", r#"{"code":7}"#);
    }

    #[test]
    fn what_is_no_format_is_refused() {
        assert_eq!("table".parse(), Ok(Format::Table));
        assert_eq!("json".parse(), Ok(Format::Json));
        for text in ["yaml", "{{.id", "{{id}}", "{{range .}}"] {
            assert!(text.parse::<Format>().is_err(), "{text}");
        }
    }
}
