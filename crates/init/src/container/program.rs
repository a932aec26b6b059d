//! The program of a container: where it is looked for, and what it means that it could not be executed.

use std::ffi::{CStr, CString, NulError};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use protocol::guest::StartFailure;
use rustix::io::Errno;

use crate::{reaper, sys};

/// Where a program is looked for if the environment does not say (execvp(3)).
const PATH_WITHOUT_ENVIRONMENT: &str = "/bin:/usr/bin";

/// What the kernel reads of a script to find its interpreter (`BINPRM_BUF_SIZE`).
const SCRIPT_HEAD_LEN: u64 = 256;

/// Why a program cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// There is no argument at all.
    #[error("the image and the request name no program")]
    Missing,
    /// A string that the kernel cannot take.
    #[error("an argument or environment variable contains a zero byte")]
    ZeroByte(#[from] NulError),
}

/// Everything that `execve` takes, ready before the container is released.
#[derive(Debug)]
pub struct Program {
    name: String,
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// Whether it gets a process of its own below a [`reaper`].
    is_led: bool,
}

/// Why a program was not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of failure.
    pub reason: StartFailure,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    /// The refusal of what comes before the program.
    pub const fn other(message: String) -> Self {
        Self {
            reason: StartFailure::Other,
            message,
        }
    }
}

impl Program {
    /// Prepares to execute the program `argv[0]`, looked up in the `PATH` of `environment` where it has no slash.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn new(argv: &[String], environment: &[String]) -> Result<Self, ProgramError> {
        let name = argv
            .first()
            .filter(|name| !name.is_empty())
            .ok_or(ProgramError::Missing)?;
        Ok(Self {
            name: name.clone(),
            candidates: c_strings(&candidates(name, variable(environment, "PATH")))?,
            arguments: c_strings(argv)?,
            environment: c_strings(environment)?,
            is_led: false,
        })
    }

    /// The same program, below a [`reaper`] or not.
    #[must_use]
    pub fn led(self, is_led: bool) -> Self {
        Self { is_led, ..self }
    }

    /// Executes another program in its place, with its environment. Returns only where that failed.
    pub fn replace_self(&self, path: &CStr, arguments: &[CString]) -> io::Error {
        sys::process::execute(path, arguments, &self.environment)
    }

    /// Tries every place, as execvpe(3) does. Returns only where none had a program that the kernel executes.
    pub fn execute(&self) -> Refusal {
        if self.is_led
            && let Err(refusal) = reaper::lead(self)
        {
            return refusal;
        }
        let mut refusals = Vec::new();
        for path in &self.candidates {
            let error = sys::process::execute(path, &self.arguments, &self.environment);
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            refusals.push((path, errno));
            if !matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) {
                break;
            }
        }
        // The kernel says the same of a program that is not there and of one whose interpreter is not.
        let is_absent =
            |path: &CStr, errno| matches!(errno, Errno::NOENT | Errno::NOTDIR) && rustix::fs::stat(path).is_err();
        let refused = refusals.into_iter().find(|(path, errno)| !is_absent(path, *errno));
        match refused.map(|(path, errno)| (path.to_string_lossy().into_owned(), errno)) {
            Some((path, Errno::NOENT)) => {
                let script = script_head(Path::new(&path)).unwrap_or_default();
                missing_interpreter(&path, interpreter(&script))
            }
            Some((path, errno)) => refusal(&path, errno),
            None => not_found(&self.name),
        }
    }
}

/// The strings as the kernel takes them.
fn c_strings(strings: &[String]) -> Result<Vec<CString>, NulError> {
    strings.iter().map(|text| CString::new(text.as_str())).collect()
}

/// The value of a variable in an environment; the first counts, as for getenv(3).
pub fn variable<'a>(environment: &'a [String], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// The paths at which to look for `name`, in order.
fn candidates(name: &str, path: Option<&str>) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let directories = path.unwrap_or(PATH_WITHOUT_ENVIRONMENT).split(':');
    // An empty directory is the working directory (POSIX, environment variables, PATH).
    let directories = directories.map(|directory| if directory.is_empty() { "." } else { directory });
    directories
        .map(|directory| format!("{}/{name}", directory.trim_end_matches('/')))
        .collect()
}

/// The first bytes of a file, with which a script names its interpreter.
fn script_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(SCRIPT_HEAD_LEN).read_to_end(&mut head)?;
    Ok(head)
}

/// The interpreter that a script's first line asks for (execve(2), "Interpreter scripts").
fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = Path::new(std::ffi::OsStr::from_bytes(line))
        .to_string_lossy()
        .into_owned();
    line.split_whitespace().next().map(str::to_owned)
}

fn not_found(name: &str) -> Refusal {
    let place = if name.contains('/') {
        "there is no such file"
    } else {
        "there is no such file in PATH"
    };
    Refusal {
        reason: StartFailure::NotFound,
        message: format!("cannot execute {name}: {place}"),
    }
}

fn missing_interpreter(path: &str, interpreter: Option<String>) -> Refusal {
    let missing = match interpreter {
        Some(interpreter) => format!("its interpreter {interpreter} does not exist"),
        None => "the dynamic loader it needs does not exist".to_owned(),
    };
    Refusal {
        reason: StartFailure::NotFound,
        message: format!("cannot execute {path}: {missing}"),
    }
}

/// What it means that the kernel refused an existing file.
fn refusal(path: &str, errno: Errno) -> Refusal {
    let reason = match errno {
        Errno::NOENT | Errno::NOTDIR => StartFailure::NotFound,
        Errno::TOOBIG | Errno::NOMEM | Errno::AGAIN => StartFailure::Other,
        _ => StartFailure::NotExecutable,
    };
    Refusal {
        reason,
        message: format!("cannot execute {path}: {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(name: &str, path: Option<&str>, expected: &[&str]) {
        assert_eq!(candidates(name, path), expected);
    }

    #[test]
    fn a_name_is_looked_for_in_every_directory_in_order() {
        check("sh", Some("/usr/bin:/bin/"), &["/usr/bin/sh", "/bin/sh"]);
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        check("./run", Some("/bin"), &["./run"]);
        check("/run", Some("/bin"), &["/run"]);
    }

    #[test]
    fn an_empty_directory_is_the_working_directory() {
        check("run", Some(":/bin:"), &["./run", "/bin/run", "./run"]);
    }

    #[test]
    fn without_a_path_the_usual_directories_are_tried() {
        check("sh", None, &["/bin/sh", "/usr/bin/sh"]);
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = [
            "PATHS=/a".to_owned(),
            "PATH=/b".to_owned(),
            "PATH=/c".to_owned(),
            "EMPTY=".to_owned(),
        ];
        assert_eq!(variable(&environment, "PATH"), Some("/b"));
        assert_eq!(variable(&environment, "EMPTY"), Some(""));
        assert_eq!(variable(&environment, "HOME"), None);
    }

    #[test]
    fn a_script_names_its_interpreter() {
        assert_eq!(interpreter(b"#! /bin/bash -e\necho").as_deref(), Some("/bin/bash"));
        assert_eq!(interpreter(b"#!/bin/sh").as_deref(), Some("/bin/sh"));
        assert_eq!(interpreter(b"#!\n"), None);
        assert_eq!(interpreter(b"\x7fELF"), None);
    }

    #[test]
    fn refusals_are_told_apart_as_a_shell_does() {
        assert_eq!(refusal("/x", Errno::ACCESS).reason, StartFailure::NotExecutable);
        assert_eq!(refusal("/x", Errno::NOEXEC).reason, StartFailure::NotExecutable);
        assert_eq!(refusal("/x", Errno::TOOBIG).reason, StartFailure::Other);
        assert_eq!(
            not_found("x").message,
            "cannot execute x: there is no such file in PATH"
        );
    }

    #[track_caller]
    fn check_refused(argv0: &str, path: &str, reason: StartFailure) {
        let environment = [format!("PATH={path}")];
        let refusal = Program::new(&[argv0.to_owned()], &environment).unwrap().execute();
        assert_eq!(refusal.reason, reason, "{}", refusal.message);
    }

    #[test]
    fn the_kernel_refuses_what_cannot_be_executed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("data"), "data").unwrap();
        std::fs::write(at("script"), "#!/no/such/interpreter\n").unwrap();
        rustix::fs::chmod(at("script").as_str(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        let path = directory.path().to_str().unwrap();
        check_refused("data", path, StartFailure::NotExecutable);
        check_refused("script", path, StartFailure::NotFound);
        check_refused("missing", path, StartFailure::NotFound);
        check_refused(&at("data/missing"), path, StartFailure::NotFound);
        check_refused(path, path, StartFailure::NotExecutable);
    }

    proptest! {
        #[test]
        fn there_is_a_candidate_for_every_directory(name in "[a-z]{1,8}", directories in prop::collection::vec("/[a-z]{0,8}", 1..5)) {
            let found = candidates(&name, Some(&directories.join(":")));
            prop_assert_eq!(found.len(), directories.len());
            for (path, directory) in found.iter().zip(&directories) {
                prop_assert_eq!(path, &format!("{}/{}", directory.trim_end_matches('/'), name));
            }
        }
    }
}
