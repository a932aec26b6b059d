//! Each parser of hostile bytes has a fuzz target that names it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::source::Source;

/// The crates in which a public `parse` takes bytes of a stranger.
const HOSTILE_INPUT: [&str; 4] = ["api", "devices", "image", "protocol"];

/// The parsers that no file under `fuzz/fuzz_targets/` mentions by crate and module.
pub fn check(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let mut targets = String::new();
    let folder = root.join("fuzz/fuzz_targets");
    if folder.is_dir() {
        for entry in fs::read_dir(&folder).context("cannot list fuzz/fuzz_targets")? {
            let path = entry.context("cannot list fuzz/fuzz_targets")?.path();
            targets += &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        }
    }
    Ok(sources
        .iter()
        .filter_map(parser)
        .filter(|parser| !targets.contains(parser.as_str()))
        .map(missing)
        .collect())
}

fn missing(parser: String) -> String {
    format!("{parser} parses hostile bytes and no fuzz target calls it by this path")
}

/// The path of the module, if the file has a public `parse`, a function's or a method's.
fn parser(source: &Source) -> Option<String> {
    let krate = source.krate().filter(|krate| HOSTILE_INPUT.contains(krate))?;
    let is_parser = |line: &str| {
        ["(", "<", "_"]
            .iter()
            .any(|next| line.starts_with(&format!("pub fn parse{next}")))
    };
    source.product_lines().find(|line| is_parser(line.trim_start()))?;
    let inside = source
        .path
        .split_once("/src/")?
        .1
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    Some(format!("{krate}::{}", inside.replace('/', "::")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_is_known_by_its_path() {
        let check = |path: &str, text: &str| {
            parser(&Source {
                path: path.to_owned(),
                text: text.to_owned(),
            })
        };
        let text = "pub fn parse(bytes: &[u8]) -> Result<A, B> {";
        assert_eq!(check("crates/api/src/attach.rs", text).as_deref(), Some("api::attach"));
        assert_eq!(
            check("crates/image/src/tar/mod.rs", text).as_deref(),
            Some("image::tar")
        );
        assert_eq!(check("crates/cli/src/value.rs", text), None);
    }
}
