//! The environment: the platform's, then the image's, then the caller's; a later value takes the place of an earlier one.

use api::error::ApiError;

use super::{defaults, invalid};

/// Merges the environments; see the module. An entry of the image that is no `NAME=value` is left out.
pub fn merge(image: &[String], request: &[String], hostname: &str, terminal: bool) -> Result<Vec<String>, ApiError> {
    let mut merged = vec![format!("PATH={}", defaults::PATH), format!("HOSTNAME={hostname}")];
    if terminal {
        merged.push(format!("TERM={}", defaults::TERM));
    }
    for entry in image.iter().filter(|entry| name(entry).is_some()) {
        set(&mut merged, entry);
    }
    for entry in request {
        if name(entry).is_none() {
            return invalid(format!("the environment's {entry:?} is not NAME=value"));
        }
        set(&mut merged, entry);
    }
    Ok(merged)
}

fn name(entry: &str) -> Option<&str> {
    entry
        .split_once('=')
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty())
}

fn set(merged: &mut Vec<String>, entry: &str) {
    match merged.iter_mut().find(|other| name(other) == name(entry)) {
        Some(other) => entry.clone_into(other),
        None => merged.push(entry.to_owned()),
    }
}
