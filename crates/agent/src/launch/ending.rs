//! How a VMM ended, in the words that a person reads.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use protocol::vmm::ExitCode;

use super::cgroup;

/// What the kernel ends processes by when memory runs out.
const SIGKILL: i32 = 9;

/// How much of what a VMM has written to standard error is read, in bytes: its end.
const STDERR_LEN_MAX: u64 = 4096;

/// How many lines of that are told.
const STDERR_LINES_MAX: usize = 3;

/// Where it is told how a VMM ended, as far as it does not tell so itself.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The file that is its standard error.
    pub stderr: PathBuf,
    /// Its control group.
    pub cgroup: PathBuf,
}

impl Traces {
    /// Why the VMM ended, for a person: its own words where there are any.
    #[must_use]
    pub fn ending(&self, status: &io::Result<Option<ExitStatus>>, ended: Option<(ExitCode, String)>) -> String {
        let is_out_of_memory = cgroup::has_run_out_of_memory(&self.cgroup);
        ending(status, ended, is_out_of_memory, &last_lines(&self.stderr))
    }
}

/// The last lines of the file that is a VMM's standard error.
fn last_lines(stderr: &Path) -> String {
    let mut kept = Vec::new();
    // What cannot be read says nothing.
    let _ = File::open(stderr).and_then(|mut file| {
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(STDERR_LEN_MAX)))?;
        file.take(STDERR_LEN_MAX).read_to_end(&mut kept)
    });
    summarize(&kept)
}

fn summarize(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let printable = |line: &str| {
        line.trim()
            .chars()
            .filter(|character| !character.is_control())
            .collect::<String>()
    };
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(STDERR_LINES_MAX)..].join("; ")
}

/// As [`Traces::ending`]. The kernel ends processes of a control group that `is_out_of_memory`.
fn ending(
    status: &io::Result<Option<ExitStatus>>,
    ended: Option<(ExitCode, String)>,
    is_out_of_memory: bool,
    stderr: &str,
) -> String {
    if let Some((_, message)) = ended.filter(|(_, message)| !message.is_empty()) {
        return message;
    }
    let how = match status {
        Ok(None) => "the VMM ended".to_owned(),
        Ok(Some(status)) => match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(ExitCode::GuestShutdown) => "the guest shut down".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::GuestPanic) => "the guest kernel panicked".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Stopped) => "the VMM was told to stop".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Saved) => "the VMM saved its guest".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Failure) && !stderr.is_empty() => return stderr.to_owned(),
            (Some(code), _) => format!("the VMM exited with code {code}"),
            (None, Some(SIGKILL)) if is_out_of_memory => {
                "the VMM was ended by the kernel: it needed more memory than its control group may have".to_owned()
            }
            (None, Some(signal)) => format!("the VMM was ended by signal {signal}"),
            (None, None) => "the VMM ended".to_owned(),
        },
        Err(error) => format!("the VMM cannot be waited for: {error}"),
    };
    if stderr.is_empty() {
        how
    } else {
        format!("{how}: {stderr}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw_status: i32, ended: Option<&str>, stderr: &str, expected: &str) {
        let ended = ended.map(|message| (ExitCode::Failure, message.to_owned()));
        assert_eq!(
            ending(&Ok(Some(ExitStatus::from_raw(raw_status))), ended, false, stderr),
            expected
        );
    }

    #[test]
    fn the_vmms_own_words_come_first() {
        check(1 << 8, Some("cannot open /dev/kvm"), "noise", "cannot open /dev/kvm");
        check(1 << 8, None, "cannot open /dev/kvm", "cannot open /dev/kvm");
    }

    #[test]
    fn a_kill_where_memory_has_run_out_is_told_as_that() {
        let told = |raw_status| ending(&Ok(Some(ExitStatus::from_raw(raw_status))), None, true, "");
        assert!(told(9).contains("more memory"));
        assert_eq!(told(15), "the VMM was ended by signal 15");
    }

    #[test]
    fn an_end_without_words_is_told_by_its_status() {
        check(0, None, "", "the guest shut down");
        check(3 << 8, None, "", "the guest kernel panicked");
        check(9, None, "", "the VMM was ended by signal 9");
        check(
            101 << 8,
            None,
            "thread panicked",
            "the VMM exited with code 101: thread panicked",
        );
    }

    #[test]
    fn only_the_last_lines_of_a_long_complaint_are_kept() {
        let text = "filler\n".repeat(10_000) + "one\n\ntwo\n\x1b[31mthree\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(last_lines(file.path()), "one; two; [31mthree");
    }
}
