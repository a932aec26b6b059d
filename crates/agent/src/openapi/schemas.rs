//! The types of `crates/api` as JSON schemas, read from their source as serde would make them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};

/// What serde is told of a type or a member.
#[derive(Debug, Default)]
struct Told {
    rename_all: Option<String>,
    rename: Option<String>,
    tag: Option<String>,
    is_optional: bool,
    is_strict: bool,
    is_flattened: bool,
}

/// All public types of these sources, by name.
pub fn types(sources: &[String]) -> BTreeMap<String, Item> {
    let mut types = BTreeMap::new();
    for source in sources {
        for item in syn::parse_file(source).unwrap().items {
            let name = match &item {
                Item::Struct(item) => item.ident.to_string(),
                Item::Enum(item) => item.ident.to_string(),
                _ => continue,
            };
            types.insert(name, item);
        }
    }
    types
}

/// The schema of a type, and the names of the types that it needs.
pub fn schema(item: &Item, needed: &mut Vec<String>) -> Value {
    let (attributes, mut schema) = match item {
        Item::Struct(item) => (&item.attrs, structure(&told(&item.attrs), &item.fields, needed)),
        Item::Enum(item) => (&item.attrs, choice(&told(&item.attrs), item, needed)),
        _ => unreachable!("only structures and enums are kept"),
    };
    schema["description"] = json!(comment(attributes));
    schema
}

fn structure(of: &Told, fields: &Fields, needed: &mut Vec<String>) -> Value {
    if let Fields::Unnamed(fields) = fields {
        return type_schema(&fields.unnamed[0].ty, needed);
    }
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let member = told(&field.attrs);
        assert!(!member.is_flattened, "flattened members are not known here");
        let name = field.ident.as_ref().unwrap().to_string();
        let name = member
            .rename
            .unwrap_or_else(|| renamed(&name, of.rename_all.as_deref(), false));
        let mut schema = type_schema(&field.ty, needed);
        if schema.get("$ref").is_none() {
            schema["description"] = json!(comment(&field.attrs));
        }
        if !member.is_optional && !of.is_optional && !is_option(&field.ty) {
            required.push(name.clone());
        }
        properties.insert(name, schema);
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if of.is_strict {
        schema["additionalProperties"] = json!(false);
    }
    schema
}

fn choice(of: &Told, item: &syn::ItemEnum, needed: &mut Vec<String>) -> Value {
    let name = |variant: &syn::Variant| {
        let name = variant.ident.to_string();
        told(&variant.attrs)
            .rename
            .unwrap_or_else(|| renamed(&name, of.rename_all.as_deref(), true))
    };
    if item
        .variants
        .iter()
        .all(|variant| matches!(variant.fields, Fields::Unit))
        && of.tag.is_none()
    {
        let names: Vec<String> = item.variants.iter().map(name).collect();
        return json!({ "type": "string", "enum": names });
    }
    let variants: Vec<Value> = item
        .variants
        .iter()
        .map(|variant| {
            let inner = match &variant.fields {
                Fields::Unit => None,
                fields => Some(structure(&Told::default(), fields, needed)),
            };
            tagged(of.tag.as_deref(), &name(variant), inner)
        })
        .collect();
    json!({ "oneOf": variants })
}

/// A variant with its name beside or around what it holds.
fn tagged(tag: Option<&str>, name: &str, inner: Option<Value>) -> Value {
    match (tag, inner) {
        (None, None) => json!({ "const": name }),
        (None, Some(inner)) => json!({ "type": "object", "properties": { name: inner }, "required": [name] }),
        (Some(tag), inner) => {
            let beside = json!({ "type": "object", "properties": { tag: { "const": name } }, "required": [tag] });
            match inner {
                None => beside,
                Some(inner) => json!({ "allOf": [beside, inner] }),
            }
        }
    }
}

fn type_schema(of: &Type, needed: &mut Vec<String>) -> Value {
    match of {
        Type::Tuple(tuple) => {
            let items: Vec<Value> = tuple.elems.iter().map(|item| type_schema(item, needed)).collect();
            json!({ "type": "array", "prefixItems": items, "minItems": items.len(), "maxItems": items.len() })
        }
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            let mut arguments = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => arguments.args.iter(),
                _ => return named(&last.ident.to_string(), needed),
            }
            .filter_map(|argument| match argument {
                GenericArgument::Type(of) => Some(type_schema(of, needed)),
                _ => None,
            });
            let first = arguments.next();
            match (last.ident.to_string().as_str(), first, arguments.next()) {
                ("Option", Some(inner), None) => json!({ "anyOf": [inner, { "type": "null" }] }),
                ("Vec", Some(inner), None) => json!({ "type": "array", "items": inner }),
                ("Box", Some(inner), None) => inner,
                ("BTreeMap" | "HashMap", Some(_), Some(value)) => {
                    json!({ "type": "object", "additionalProperties": value })
                }
                (other, _, _) => panic!("{other} is not known here"),
            }
        }
        _ => panic!("a kind of type that is not known here"),
    }
}

fn named(name: &str, needed: &mut Vec<String>) -> Value {
    match name {
        "String" | "char" => json!({ "type": "string" }),
        "bool" => json!({ "type": "boolean" }),
        "u8" | "u16" | "u32" | "u64" | "usize" => json!({ "type": "integer", "minimum": 0 }),
        "i64" | "i32" => json!({ "type": "integer" }),
        "f64" => json!({ "type": "number" }),
        "Value" => json!({}),
        "IpAddr" | "Ipv4Addr" | "Ipv6Addr" => json!({ "type": "string" }),
        other => {
            needed.push(other.to_owned());
            json!({ "$ref": format!("#/components/schemas/{other}") })
        }
    }
}

fn is_option(of: &Type) -> bool {
    matches!(of, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

fn told(attributes: &[Attribute]) -> Told {
    let mut told = Told::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                let name = meta.path.get_ident().unwrap().to_string();
                let value = match meta.value() {
                    Ok(value) => Some(value.parse::<syn::LitStr>()?.value()),
                    Err(_) => None,
                };
                match name.as_str() {
                    "rename_all" => told.rename_all = value,
                    "rename" => told.rename = value,
                    "tag" => told.tag = value,
                    "default" => told.is_optional = true,
                    "deny_unknown_fields" => told.is_strict = true,
                    "flatten" => told.is_flattened = true,
                    "transparent" | "skip_serializing_if" => {}
                    other => panic!("serde's {other} is not known here"),
                }
                Ok(())
            })
            .unwrap();
    }
    told
}

/// The comment of something, as one line.
pub fn comment(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// A name as serde's `rename_all` has it.
fn renamed(name: &str, rule: Option<&str>, is_variant: bool) -> String {
    let words = if is_variant {
        words(name)
    } else {
        name.split('_').map(str::to_owned).collect()
    };
    match rule {
        None => name.to_owned(),
        Some("snake_case") => words.join("_"),
        Some("kebab-case") => words.join("-"),
        Some("lowercase") => words.concat(),
        Some("UPPERCASE") => words.concat().to_uppercase(),
        Some("SCREAMING_SNAKE_CASE") => words.join("_").to_uppercase(),
        Some(other) => panic!("serde's rule {other} is not known here"),
    }
}

/// The words of a variant's name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in name.chars() {
        if character.is_uppercase() || words.is_empty() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(character.to_lowercase());
        }
    }
    words
}
