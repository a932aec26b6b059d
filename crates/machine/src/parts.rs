//! The programs and files that a machine is started from.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::qemu::Files;

/// Prepares the parts; part of the program, so that it works without a checkout.
const SCRIPT: &str = include_str!("../../../scripts/machine.sh");

/// The file name of the program that watches over a machine.
pub const SUPERVISOR: &str = "mote-machine-supervisor";
/// The file name of the machine's PID 1.
pub const INIT: &str = "mote-machine-init";

/// Our own programs that a machine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// [`SUPERVISOR`].
    pub supervisor: PathBuf,
    /// [`INIT`], linked statically.
    pub init: PathBuf,
}

/// The parts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// One of our programs is nowhere.
    #[error("{program} is missing: it belongs into {}", directory.display())]
    NoProgram {
        /// Its file name.
        program: &'static str,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// This program does not know where it is itself.
    #[error("cannot find this program's own directory")]
    NoDirectory(#[source] io::Error),
    /// The script does not run.
    #[error("cannot run bash to prepare the machine's parts")]
    Script(#[source] io::Error),
    /// The script failed; its words are in the text.
    #[error("cannot prepare the machine's parts: {reason}")]
    Failed {
        /// The script's last line.
        reason: String,
    },
}

impl Programs {
    /// Finds the programs beside the one that runs.
    pub fn find() -> Result<Self, PartsError> {
        let program = std::env::current_exe().map_err(PartsError::NoDirectory)?;
        Self::in_directory(program.parent().unwrap_or(Path::new("/")))
    }

    fn in_directory(directory: &Path) -> Result<Self, PartsError> {
        let find = |program| {
            let path = directory.join(program);
            let missing = || PartsError::NoProgram {
                program,
                directory: directory.to_owned(),
            };
            path.is_file().then_some(path).ok_or_else(missing)
        };
        Ok(Self {
            supervisor: find(SUPERVISOR)?,
            init: find(INIT)?,
        })
    }
}

/// Prepares the files, which takes half a minute and the network once, and milliseconds from then on.
pub fn prepare(init: &Path) -> Result<Files, PartsError> {
    let output = Command::new("bash")
        .args(["-c", SCRIPT, "machine.sh"])
        .arg(init)
        .stdin(Stdio::null())
        .output()
        .map_err(PartsError::Script)?;
    let last_line = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim_end()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()
    };
    if !output.status.success() {
        let reason = last_line(&output.stderr);
        return Err(PartsError::Failed {
            reason: reason.strip_prefix("machine: ").unwrap_or(&reason).to_owned(),
        });
    }
    Ok(files_in(Path::new(&last_line(&output.stdout))))
}

/// Where `scripts/machine.sh` lays things.
fn files_in(directory: &Path) -> Files {
    let base = directory.join("base");
    Files {
        qemu: base.join("qemu"),
        firmware: base.join("firmware"),
        virtiofsd: base.join("virtiofsd"),
        kernel: base.join("vmlinux"),
        initramfs: directory.join("initramfs"),
        modules: base.join("modules"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(SUPERVISOR), "").unwrap();
        let error = Programs::in_directory(directory.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{INIT} is missing: it belongs into {}", directory.path().display())
        );
    }

    #[test]
    fn the_script_says_in_one_line_why_it_cannot() {
        let error = prepare(Path::new("/no/such/init")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot prepare the machine's parts: there is no file /no/such/init"
        );
    }
}
