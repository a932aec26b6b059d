//! No circle of imports inside a crate.
//!
//! Modules are compared at the top level of a crate: a folder is one module, whatever its files import from each other.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// Which modules of one crate a module imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The circles found, each as `crate: a -> b -> a`.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut crates: BTreeMap<&str, Imports> = BTreeMap::new();
    for source in sources {
        let (Some(krate), Some(module)) = (source.krate(), module(source)) else {
            continue;
        };
        let imports = crates.entry(krate).or_default().entry(module).or_default();
        imports.extend(source.product_lines().filter_map(imported));
    }
    crates
        .iter()
        .filter_map(|(krate, imports)| Some(format!("{krate}: {}", circle(imports)?.join(" -> "))))
        .collect()
}

/// The top-level module that the file belongs to; none for roots, which only map the others.
fn module(source: &Source) -> Option<String> {
    let inside = source.path.split_once("/src/")?.1;
    let first = inside.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main", "bin"].contains(&first)).then(|| first.to_owned())
}

/// The top-level module named after `crate::` in an import or a path.
fn imported(line: &str) -> Option<String> {
    let code = line.split("//").next()?;
    let (_, path) = code.split_once("crate::")?;
    let name: String = path
        .chars()
        .take_while(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || *letter == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// One circle, if there is any: the way from a module back to itself.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    imports.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        let mut seen = BTreeSet::new();
        reach(imports, start, start, &mut way, &mut seen).then_some(way)
    })
}

fn reach(imports: &Imports, from: &str, goal: &str, way: &mut Vec<String>, seen: &mut BTreeSet<String>) -> bool {
    for next in imports.get(from).into_iter().flatten().filter(|next| *next != from) {
        if next == goal {
            way.push(next.clone());
            return true;
        }
        if imports.contains_key(next) && seen.insert(next.clone()) {
            way.push(next.clone());
            if reach(imports, next, goal, way, seen) {
                return true;
            }
            way.pop();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_files(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        check(&files.iter().map(source).collect::<Vec<_>>())
    }

    #[test]
    fn a_circle_over_three_modules_is_named() {
        let files = [
            ("crates/x/src/a.rs", "use crate::b::B;"),
            ("crates/x/src/b/mod.rs", "use crate::c;"),
            ("crates/x/src/c.rs", "fn f(a: crate::a::A) {}"),
        ];
        assert_eq!(check_files(&files), ["x: a -> b -> c -> a"]);
    }

    #[test]
    fn a_module_may_have_a_digit_in_its_name() {
        let files = [
            ("crates/x/src/ipv6.rs", "use crate::template::T;"),
            ("crates/x/src/template.rs", "use crate::ipv6::{A, B};"),
        ];
        assert_eq!(check_files(&files), ["x: ipv6 -> template -> ipv6"]);
    }

    #[test]
    fn siblings_in_a_folder_and_tests_may_import_each_other() {
        let files = [
            ("crates/x/src/a/mod.rs", "use crate::a::b::B;\nuse crate::c::C;"),
            (
                "crates/x/src/c.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\nuse crate::a::A;\n}",
            ),
        ];
        assert!(check_files(&files).is_empty());
    }
}
