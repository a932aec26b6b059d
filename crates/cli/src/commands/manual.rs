//! `mote completions` and `mote man`: what shells and people read of the command line.

use std::io::Write;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::{Arguments, Completions, Man};
use crate::output;

/// `mote completions`.
pub fn completions(arguments: &Completions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "mote", &mut script);
    output::bytes(&script)?;
    Ok(0)
}

/// `mote man`.
pub fn manual(arguments: &Man) -> Result<u8> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    for (name, page) in pages()? {
        let path = directory.join(name);
        let mut file = std::fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.write_all(&page)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(0)
}

/// A page for `mote` and for each verb: the file's name, and what is in it.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        waiting.extend(verbs.cloned());
        let name = command.get_display_name().unwrap_or("mote").to_owned();
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .context("cannot make a manual page")?;
        pages.push((format!("{name}.1"), page));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["mote.1", "mote-run.1", "mote-service-scale.1", "mote-agent-install.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(
            pages
                .iter()
                .all(|(_, page)| page.starts_with(b".ie") || page.starts_with(b".TH"))
        );
    }

    #[test]
    fn every_shell_gets_completions() {
        for shell in [
            clap_complete::Shell::Bash,
            clap_complete::Shell::Zsh,
            clap_complete::Shell::Fish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "mote", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("task-definition"));
        }
    }
}
