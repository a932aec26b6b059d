//! Each parser of hostile bytes has a fuzz target: `fuzz/fuzz_targets/CRATE_MODULE.rs` for the top-level module that it is in.

use std::collections::BTreeSet;
use std::path::Path;

use super::source::Source;

/// The crates in which a public `parse` takes bytes of a stranger.
const HOSTILE_INPUT: [&str; 5] = ["api", "devices", "image", "network", "protocol"];

/// The modules with parsers that have no target.
pub fn check(root: &Path, sources: &[Source]) -> Vec<String> {
    let targets: BTreeSet<String> = sources.iter().filter_map(parser).collect();
    let folder = root.join("fuzz/fuzz_targets");
    let missing = targets
        .into_iter()
        .filter(|target| !folder.join(format!("{target}.rs")).is_file());
    missing
        .map(|target| format!("hostile bytes are parsed, and there is no fuzz/fuzz_targets/{target}.rs"))
        .collect()
}

/// The name of the target, if the file has a public `parse`, a function or a method.
fn parser(source: &Source) -> Option<String> {
    let krate = source.krate().filter(|krate| HOSTILE_INPUT.contains(krate))?;
    let is_parser = |line: &str| {
        ["(", "<", "_"]
            .iter()
            .any(|next| line.starts_with(&format!("pub fn parse{next}")))
    };
    source.product_lines().find(|line| is_parser(line.trim_start()))?;
    let inside = source.path.split_once("/src/")?.1;
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    Some(format!("{krate}_{module}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_is_known_by_crate_and_module() {
        let check = |path: &str, text: &str| {
            parser(&Source {
                path: path.to_owned(),
                text: text.to_owned(),
            })
        };
        let text = "impl A {\n    pub fn parse(bytes: &[u8]) -> Result<A, B> {";
        assert_eq!(check("crates/api/src/attach.rs", text).as_deref(), Some("api_attach"));
        assert_eq!(check("crates/image/src/tar/pax.rs", text).as_deref(), Some("image_tar"));
        assert_eq!(check("crates/cli/src/value.rs", text), None);
        assert_eq!(check("crates/api/src/task.rs", "//! pub fn parse("), None);
    }
}
