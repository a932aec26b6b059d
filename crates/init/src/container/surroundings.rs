//! What surrounds a program: its working directory and its environment.

use std::fs;
use std::io;
use std::path::Path;

use super::program;
use crate::failure::{Attempt, StepError};

/// Enters the working directory, which is made where it is missing. This process is in the root directory.
///
/// # Errors
/// The kernel's.
pub fn enter_working_directory(path: &str) -> Result<(), StepError> {
    let path = Path::new("/").join(path);
    if path == Path::new("/") {
        return Ok(());
    }
    if std::env::set_current_dir(&path).is_ok() {
        return Ok(());
    }
    match fs::create_dir_all(&path) {
        // Something else is there: entering it gives the better reason.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.attempting(|| format!("create the working directory {}", path.display()))?,
    }
    std::env::set_current_dir(&path).attempting(|| format!("enter the working directory {}", path.display()))
}

/// The environment with `HOME` in it.
pub fn with_home(mut environment: Vec<String>, home: &str) -> Vec<String> {
    if program::variable(&environment, "HOME").is_none() {
        environment.push(format!("HOME={home}"));
    }
    environment
}

/// An environment in which `added` is instead of what has the same name, or behind the rest.
pub fn overlaid(mut environment: Vec<String>, added: Vec<String>) -> Vec<String> {
    for entry in added {
        let name = entry.split('=').next().unwrap_or_default();
        let is_same = |other: &String| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        match environment.iter().position(is_same) {
            Some(index) => environment[index] = entry,
            None => environment.push(entry),
        }
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(strings: &[&str]) -> Vec<String> {
        strings.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn home_is_added_only_where_it_is_missing() {
        let environment = strings(&["HOMEPAGE=x"]);
        assert_eq!(with_home(environment, "/root"), ["HOMEPAGE=x", "HOME=/root"]);
        let environment = strings(&["HOME=/h"]);
        assert_eq!(with_home(environment.clone(), "/root"), environment);
    }

    #[test]
    fn what_is_added_replaces_what_has_its_name() {
        let environment = strings(&["A=1", "AB=2"]);
        let added = strings(&["A=3=4", "C="]);
        assert_eq!(overlaid(environment, added), ["A=3=4", "AB=2", "C="]);
    }
}
