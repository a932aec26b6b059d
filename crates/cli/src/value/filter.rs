//! What is shown of a list.

use std::str::FromStr;

/// A condition on the things of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What it is about.
    pub key: String,
    /// What that must be.
    pub value: String,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write KEY=VALUE".to_owned()),
        }
    }
}

/// Whether a thing fits: for each key that is named, one of its values. `fits` tells of a key and a value whether the thing has them, and is
/// `None` for a key that things do not have.
///
/// # Errors
/// One sentence, that names the key.
pub fn matches(filters: &[Filter], fits: impl Fn(&str, &str) -> Option<bool>) -> Result<bool, String> {
    let mut all_fit = true;
    for filter in filters {
        let mut same_key = filters.iter().filter(|other| other.key == filter.key);
        let unknown = || format!("there is no filter '{}': `--help` lists them", filter.key);
        let any = same_key.try_fold(false, |any, other| fits(&other.key, &other.value).map(|fit| any || fit));
        all_fit &= any.ok_or_else(unknown)?;
    }
    Ok(all_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filters: &[&str], expected: Option<bool>) {
        let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
        let fits = |key: &str, value: &str| match key {
            "name" => Some(value == "web"),
            "status" => Some(value == "running"),
            _ => None,
        };
        assert_eq!(matches(&filters, fits).ok(), expected, "{filters:?}");
    }

    #[test]
    fn one_value_of_each_key_must_fit() {
        check(&[], Some(true));
        check(&["name=web", "name=job"], Some(true));
        check(&["name=web", "status=stopped"], Some(false));
        check(&["name=web", "status=running"], Some(true));
        check(&["colour=red"], None);
        assert!("name".parse::<Filter>().is_err());
    }
}
