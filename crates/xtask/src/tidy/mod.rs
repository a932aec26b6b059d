//! `cargo xtask tidy`: the house rules that no compiler knows, held by reading the sources as text.

mod circles;
mod dependencies;
mod files;
mod fuzzing;
mod source;

use std::path::Path;

use anyhow::{Result, bail};

/// Checks every rule; the error lists all that is broken.
pub fn tidy(root: &Path) -> Result<()> {
    let sources = source::read_all(root)?;
    let mut broken = dependencies::check(root)?;
    broken.extend(files::check(&sources));
    broken.extend(circles::check(&sources));
    broken.extend(fuzzing::check(root, &sources));
    if broken.is_empty() {
        return Ok(());
    }
    broken.sort();
    bail!("tidy: {} broken\n  {}", count(broken.len()), broken.join("\n  "))
}

fn count(rules: usize) -> String {
    if rules == 1 {
        "1 rule".to_owned()
    } else {
        format!("{rules} rules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        if let Err(error) = tidy(root) {
            panic!("{error}");
        }
    }
}
