//! The document, made of the source of `crates/api`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use syn::{Expr, Item, Lit};

use super::DOCUMENT;
use super::routes::{Operation, operations};
use super::schemas::{comment, schema, types};

/// With this variable the document is written anew.
const UPDATE_VARIABLE: &str = "MOTE_UPDATE_DOCS";

/// What has routes of its own kind: no documents of ours.
const NOT_OURS: [&str; 2] = ["ecs", "client"];

fn api() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src")
}

/// The sources that have types.
fn sources(directory: &Path) -> Vec<String> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    let mut sources = Vec::new();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !NOT_OURS.contains(&name) {
            sources.extend(self::sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(fs::read_to_string(&path).unwrap());
        }
    }
    sources
}

/// The routes: path and comment.
fn routes() -> Vec<(String, String)> {
    let source = fs::read_to_string(api().join("route.rs")).unwrap();
    let constant = |item: Item| match item {
        Item::Const(item) => match *item.expr {
            Expr::Lit(literal) => match literal.lit {
                Lit::Str(path) => Some((path.value(), comment(&item.attrs))),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let constants = syn::parse_file(&source).unwrap().items.into_iter().filter_map(constant);
    constants
        .filter(|(path, comment)| path.starts_with('/') && !operations(comment).is_empty())
        .collect()
}

fn document() -> Value {
    let types = types(&sources(&api()));
    let mut needed = vec!["ApiError".to_owned()];
    let mut paths = Map::new();
    for (path, comment) in routes() {
        let mut item = Map::new();
        for operation in operations(&comment) {
            item.insert(
                operation.method.clone(),
                described(&path, &operation, &types, &mut needed),
            );
        }
        paths.insert(path, item.into());
    }
    let mut schemas = BTreeMap::new();
    while let Some(name) = needed.pop() {
        let Entry::Vacant(place) = schemas.entry(name) else {
            continue;
        };
        let name = place.key();
        let item = types
            .get(name)
            .unwrap_or_else(|| panic!("{name} is no type of crates/api"));
        place.insert(schema(item, &mut needed));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mote",
            "description": "What the protocol of Amazon ECS has no word for. ECS and CloudWatch Logs are served at / and described by their own models.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn described(path: &str, operation: &Operation, types: &BTreeMap<String, Item>, needed: &mut Vec<String>) -> Value {
    let mut described = json!({
        "operationId": operation_id(path, &operation.method),
        "description": operation.description,
        "responses": responses(operation, needed),
    });
    let mut parameters: Vec<Value> = (path.split('{').skip(1))
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for name in &operation.query {
        parameters.push(json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    }
    match (&operation.takes, operation.method.as_str()) {
        (Some(name), "get") => parameters.extend(query(&types[name], needed)),
        (Some(name), _) => {
            needed.push(name.clone());
            described["requestBody"] = content("application/json", json!({ "$ref": reference(name) }));
        }
        (None, "post") if operation.description.contains("the bytes of") => {
            described["requestBody"] = content("application/octet-stream", json!({}));
        }
        (None, _) => {}
    }
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    described
}

/// The members of a type as members of a query.
fn query(item: &Item, needed: &mut Vec<String>) -> Vec<Value> {
    let schema = schema(item, needed);
    let members = schema["properties"].as_object().unwrap();
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    (members.iter())
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": is_required(name), "schema": schema }))
        .collect()
}

fn responses(operation: &Operation, needed: &mut Vec<String>) -> Value {
    let mut responses = Map::new();
    if operation.upgrades {
        responses.insert(
            "101".to_owned(),
            json!({ "description": "The connection becomes a stream of frames." }),
        );
    } else if let Some(name) = &operation.answers {
        needed.push(name.clone());
        let media = if operation.answers_lines {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let mut answer = content(media, json!({ "$ref": reference(name) }));
        answer["description"] = json!(if operation.answers_lines {
            "One document a line."
        } else {
            "Done."
        });
        responses.insert("2XX".to_owned(), answer);
    } else {
        responses.insert("2XX".to_owned(), json!({ "description": "Done." }));
    }
    let mut refusal = content("application/json", json!({ "$ref": reference("ApiError") }));
    refusal["description"] = json!("A refusal.");
    responses.insert("default".to_owned(), refusal);
    responses.into()
}

fn content(media: &str, schema: Value) -> Value {
    json!({ "content": { media: { "schema": schema } } })
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// `get` and `/v1/tasks/{task}`: `getV1TasksTask`.
fn operation_id(path: &str, method: &str) -> String {
    let words = path.split(|character: char| !character.is_ascii_alphanumeric());
    let capitals = words.map(|word| word[..word.len().min(1)].to_uppercase() + word.get(1..).unwrap_or_default());
    method.to_owned() + &capitals.collect::<String>()
}

#[test]
fn the_document_is_what_the_api_says_of_itself() {
    let mut made = serde_json::to_string_pretty(&document()).unwrap();
    made.push('\n');
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openapi/openapi.json"),
            &made,
        )
        .unwrap();
        return;
    }
    assert!(
        made == DOCUMENT,
        "openapi.json is out of date: run this test with {UPDATE_VARIABLE}=1"
    );
}

#[test]
fn every_route_is_in_the_document() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let routes = routes();
    assert!(routes.len() > 20, "the routes are not found");
    for (path, _) in routes {
        assert!(document["paths"].get(&path).is_some(), "{path}");
    }
}
