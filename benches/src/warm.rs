//! Programs and their libraries, brought into the machine's memory.
//!
//! A machine reads the host's files from outside, and waiting for the outside would be counted. Its own layer over them is in memory: a file that
//! was opened for writing is there as a whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Brings programs, and what they are linked with, into memory.
pub fn keep_in_memory<'a>(programs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let mut files = BTreeSet::from([PathBuf::from("/etc/ld.so.cache")]);
    for program in programs {
        // It fails where a program is static, or no program.
        let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
        files.extend(libraries(&String::from_utf8_lossy(&output.stdout)));
        files.insert(program.to_owned());
    }
    for file in files {
        // Links are followed: what they lead to is what is read.
        File::options()
            .append(true)
            .open(&file)
            .with_context(|| format!("cannot open {} for writing", file.display()))?;
    }
    Ok(())
}

/// The files that `ldd` names.
fn libraries(printed: &str) -> Vec<PathBuf> {
    let named = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.iter().find(|word| word.starts_with('/')).map(PathBuf::from)
    };
    printed.lines().filter_map(named).collect()
}

/// The program of that name, as a shell would find it.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // What administrators run is not on everybody's path.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let printed = "\tlinux-vdso.so.1 (0x00007fd25cf41000)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007fd2)\n\t/lib64/ld-linux-x86-64.so.2 (0x0)\n";
        assert_eq!(
            libraries(printed),
            [PathBuf::from("/lib/libc.so.6"), "/lib64/ld-linux-x86-64.so.2".into()]
        );
        assert!(libraries("\tnot a dynamic executable\n").is_empty());
    }
}
