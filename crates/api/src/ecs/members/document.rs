//! The tables for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Fate, Kind, Member, OPERATIONS, UNSUPPORTED};

/// All tables as a JSON document: for a check against ECS's own model.
#[must_use]
pub fn table() -> Value {
    let operations = OPERATIONS.iter();
    let operations = operations.map(|operation| (operation.name.to_owned(), members(operation.members)));
    let unsupported: Vec<&str> = UNSUPPORTED
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    json!({ "operations": Value::Object(operations.collect()), "unsupported": unsupported })
}

fn members(list: &[Member]) -> Value {
    let one = |member: &Member| {
        let fate = match member.fate {
            Fate::Honoured => "honoured",
            Fate::Echoed(_) => "echoed",
            Fate::Refused(_) => "refused",
        };
        let description = json!({ "kind": kind(&member.kind), "fate": fate, "required": member.is_required });
        (member.name.to_owned(), description)
    };
    Value::Object(list.iter().map(one).collect())
}

fn kind(of: &Kind) -> Value {
    match of {
        Kind::Text => json!("string"),
        Kind::Choice(choices) => json!({ "choice": choices }),
        Kind::Integer => json!("integer"),
        Kind::Boolean => json!("boolean"),
        Kind::Time => json!("timestamp"),
        Kind::List(of) => json!({ "list": kind(of) }),
        Kind::Map => json!("map"),
        Kind::Structure(of) => json!({ "structure": members(of) }),
        Kind::Other => json!("other"),
    }
}

/// What comes before the tables.
const INTRODUCTION: &str = "\
# The protocol of Amazon ECS, as mote speaks it

`POST /` with `X-Amz-Target: AmazonEC2ContainerServiceV20141113.OPERATION`: what the AWS command line, boto3 and every AWS SDK send. This page is made
from the tables in `crates/api/src/ecs/members`, which also check every request; a test keeps the two the same.

Every member of a request is **honoured**, or **told again** because what it says has no meaning on one host, or **refused** with a sentence that names it. A
member that is refused may still be there when it says nothing (`false`, 0, an empty string, list or object). A member that is not listed is refused.
Answers have only members of ECS's own model.

- CPU and memory may have any value, not only those of Fargate's table: `\"256\"`, `\".25 vCPU\"`, `\"0.001 vCPU\"`; `\"512\"`, `\"0.5 GB\"`.
- With `networkMode` `awsvpc`, and without any, a task has an address of its own that its host reaches; nothing is published on the host. With `bridge`, each
  `portMappings` is published on the host, at `hostPort` or, where that is 0 or absent, at a free port that `networkBindings` tells. With `none`, there is no network.
- `environmentFiles` are files of the host (`file:///etc/app.env`), and so are `secrets` whose `valueFrom` begins with `file://`; both, and volumes with a
  `host.sourcePath`, only below the directories that the host agent was started with (`--allow-host-path`). Any other `valueFrom` is the name, or an ARN
  that ends with the name, of a secret in the host agent's own encrypted store.
- A volume with a `host.sourcePath` is that directory of the host, made where it is missing; changes are seen on both sides at once, and symbolic links lead to places
  in the container. A volume without is empty at first and gone with its task.
- Account `000000000000`; any region is accepted, and ARNs are of the one that the request was signed for.
";

/// All tables as a page.
#[must_use]
pub fn document() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Operations\n");
    let mut operations = OPERATIONS.to_vec();
    operations.sort_by_key(|operation| operation.name);
    for operation in operations {
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n### {}\n\n| member | what becomes of it |\n|---|---|\n",
            operation.name
        );
        rows(&mut page, operation.members, "");
    }
    page.push_str("\n## What mote does not have\n\nThese are refused with `UnsupportedFeatureException`:\n\n| operations | why |\n|---|---|\n");
    for (why, names) in UNSUPPORTED {
        let _ = writeln!(page, "| {} | {why} |", names.join(", "));
    }
    page.push_str("\nEverything else is refused with `UnknownOperationException`.\n");
    page
}

fn rows(page: &mut String, list: &[Member], path: &str) {
    for member in list {
        let name = format!("{path}{}", member.name);
        let (what, why) = match member.fate {
            Fate::Honoured => ("honoured", None),
            Fate::Echoed(why) => ("told again", Some(why)),
            Fate::Refused(why) => ("refused", Some(why)),
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let mut of = &member.kind;
        let mut suffix = "";
        if let Kind::List(inner) = of {
            of = inner;
            suffix = "[]";
        }
        let choices = match of {
            Kind::Choice(choices) => format!(" (`{}`)", choices.join("`, `")),
            _ => String::new(),
        };
        let required = if member.is_required { ", required" } else { "" };
        let _ = writeln!(page, "| `{name}{suffix}`{required} | {what}{choices}{why} |");
        if let Kind::Structure(inner) = of {
            rows(page, inner, &format!("{name}{suffix}."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set to anything, it has the page written instead of compared.
    const UPDATE_VARIABLE: &str = "MOTE_UPDATE_DOCS";

    #[test]
    fn the_page_says_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ecs-api.md");
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == document(),
            "docs/ecs-api.md is out of date: run this test with {UPDATE_VARIABLE}=1"
        );
    }
}
