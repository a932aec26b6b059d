//! The key of a template: a digest over everything that the saved guest depends on.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use protocol::{guest, vmm};
use sha2::{Digest, Sha256};

use super::hexadecimal;

/// Characters of a key: 128 bits in hexadecimal.
pub const KEY_LEN: usize = 32;

/// Changes whenever templates of the same ingredients are made in another way.
const RECIPE: u32 = 1;

/// What of `/proc/cpuinfo` says what a guest sees of its CPU.
const CPU_FIELDS: [&str; 6] = ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"];

/// The files that a template is made from.
#[derive(Clone, Copy, Debug)]
pub struct Ingredients<'a> {
    /// The guest kernel.
    pub kernel: &'a Path,
    /// The initramfs.
    pub initramfs: &'a Path,
    /// The VMM, whose saved state only it can read.
    pub vmm: &'a Path,
    /// What is appended to the VMM's kernel command line.
    pub command_line: &'a str,
}

/// The key of the template that `ingredients` make on this host, as they are now.
///
/// # Errors
/// Where one of them cannot be looked at; the path is in the error.
pub fn key(ingredients: &Ingredients<'_>) -> Result<String, (std::path::PathBuf, io::Error)> {
    let mut text = format!(
        "recipe {RECIPE}\nguest contract {}\nbase memory {} MiB\ncommand line {}\n",
        guest::VERSION,
        vmm::BASE_MEMORY_MIB,
        ingredients.command_line
    );
    for path in [ingredients.kernel, ingredients.initramfs, ingredients.vmm] {
        let identity = identity(path).map_err(|error| (path.to_owned(), error))?;
        // Writing to a String does not fail.
        let _ = writeln!(text, "{} {identity}", path.display());
    }
    let path = Path::new("/proc/cpuinfo");
    let cpus = std::fs::read_to_string(path).map_err(|error| (path.to_owned(), error))?;
    text.push_str(&cpu(&cpus));
    let _ = writeln!(text, "host {}", rustix::system::uname().release().to_string_lossy());
    let mut key = hexadecimal(&Sha256::digest(text.as_bytes()));
    key.truncate(KEY_LEN);
    Ok(key)
}

/// What changes when a file is replaced or written to. Its content is not read: a kernel has tens of megabytes, and the change time
/// cannot be set back.
fn identity(path: &Path) -> io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    Ok(format!(
        "device {} inode {} size {} modified {}.{} changed {}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    ))
}

/// The first processor's lines that matter; the others are alike.
fn cpu(cpuinfo: &str) -> String {
    let matters = |line: &&str| {
        line.split_once(':')
            .is_some_and(|(name, _)| CPU_FIELDS.contains(&name.trim()))
    };
    let first = cpuinfo.lines().take_while(|line| !line.trim().is_empty());
    first.filter(matters).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&Path)) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["kernel", "initramfs", "vmm"] {
            std::fs::write(path(name), name).unwrap();
        }
        let key = || {
            key(&Ingredients {
                kernel: &path("kernel"),
                initramfs: &path("initramfs"),
                vmm: &path("vmm"),
                command_line: "",
            })
            .unwrap()
        };
        let before = key();
        assert_eq!(before.len(), KEY_LEN);
        change(directory.path());
        before == key()
    }

    #[test]
    fn a_key_lasts_as_long_as_its_ingredients() {
        assert!(check(|_| ()));
        assert!(!check(
            |directory| std::fs::write(directory.join("vmm"), "other").unwrap()
        ));
        assert!(!check(|directory| {
            std::fs::write(directory.join("new"), "kernel").unwrap();
            std::fs::rename(directory.join("new"), directory.join("kernel")).unwrap();
        }));
    }

    #[test]
    fn a_missing_ingredient_is_named() {
        let missing = Path::new("/nowhere/kernel");
        let (path, _) = key(&Ingredients {
            kernel: missing,
            initramfs: missing,
            vmm: missing,
            command_line: "",
        })
        .unwrap_err();
        assert_eq!(path, missing);
    }

    #[test]
    fn only_what_a_guest_sees_of_one_cpu_counts() {
        let text = "processor\t: 0\nflags\t\t: fpu vme\ncpu MHz\t\t: 2100.1\n\nprocessor\t: 1\nflags\t\t: fpu\n";
        assert_eq!(cpu(text), "flags\t\t: fpu vme\n");
    }
}
