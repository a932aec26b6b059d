//! Names with values: environments and labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why an environment could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The file cannot be read.
    #[error("cannot read the file of names and values {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name is empty or holds white space.
    #[error("'{text}' is neither NAME=VALUE nor NAME")]
    Name {
        /// What was written.
        text: String,
    },
}

/// Labels, as [`environment`] but with a bare name for an empty value.
///
/// # Errors
/// [`EnvironmentError`]
pub fn labels(files: &[PathBuf], given: &[String]) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let lines = environment(files, given, |_| Some(String::new()))?;
    let pairs = lines.iter().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The variables of `files`, then `given`, each `NAME=VALUE`. A bare `NAME` takes its value from `inherited`, and is left out where that has none.
///
/// # Errors
/// [`EnvironmentError`]
pub fn environment(
    files: &[PathBuf],
    given: &[String],
    inherited: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, EnvironmentError> {
    let mut variables = Vec::new();
    for path in files {
        let text = read(path)?;
        let lines = text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            variables.extend(variable(line, &inherited)?);
        }
    }
    for text in given {
        variables.extend(variable(text, &inherited)?);
    }
    Ok(variables)
}

fn read(path: &Path) -> Result<String, EnvironmentError> {
    std::fs::read_to_string(path).map_err(|source| EnvironmentError::Read {
        path: path.to_owned(),
        source,
    })
}

fn variable(text: &str, inherited: impl Fn(&str) -> Option<String>) -> Result<Option<String>, EnvironmentError> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(EnvironmentError::Name { text: text.to_owned() });
    }
    if text.contains('=') {
        return Ok(Some(text.to_owned()));
    }
    Ok(inherited(name).map(|value| format!("{name}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_inherited_or_left_out() {
        let given = ["A=1", "HOME", "MISSING", "EMPTY="].map(str::to_owned);
        let inherited = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        assert_eq!(
            environment(&[], &given, inherited).unwrap(),
            ["A=1", "HOME=/root", "EMPTY="]
        );
        assert!(environment(&[], &["=x".to_owned()], inherited).is_err());
    }

    #[test]
    fn an_environment_file_has_comments_and_comes_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# comment\n\nA=1\n  B=2 # kept\n").unwrap();
        let variables = environment(&[file.path().to_owned()], &["A=3".to_owned()], |_| None).unwrap();
        assert_eq!(variables, ["A=1", "B=2 # kept", "A=3"]);
    }

    #[test]
    fn a_label_may_have_no_value() {
        let found = labels(&[], &["a=1=2".to_owned(), "b".to_owned()]).unwrap();
        let expected = [("a", "1=2"), ("b", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }
}
