//! How a VMM ended, in the words that a person reads.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use protocol::vmm::ExitCode;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of what a VMM writes to standard error is kept, in bytes: its end.
const STDERR_LEN_MAX: usize = 4096;

/// How many lines of that are told.
const STDERR_LINES_MAX: usize = 3;

/// Reads a VMM's standard error to its end and keeps the last lines.
pub async fn last_lines(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..len]);
        let surplus = kept.len().saturating_sub(STDERR_LEN_MAX);
        kept.drain(..surplus);
    }
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

/// Why a VMM ended, for a person: its own words where there are any.
pub fn ending(status: &io::Result<ExitStatus>, ended: Option<(ExitCode, String)>, stderr: &str) -> String {
    if let Some((_, message)) = ended.filter(|(_, message)| !message.is_empty()) {
        return message;
    }
    let how = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(ExitCode::GuestShutdown) => "the guest shut down".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::GuestPanic) => "the guest kernel panicked".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Stopped) => "the VMM was told to stop".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Saved) => "the VMM saved its guest".to_owned(),
            (Some(code), _) if code == i32::from(ExitCode::Failure) && !stderr.is_empty() => return stderr.to_owned(),
            (Some(code), _) => format!("the VMM exited with code {code}"),
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
        assert_eq!(ending(&Ok(ExitStatus::from_raw(raw_status)), ended, stderr), expected);
    }

    #[test]
    fn the_vmms_own_words_come_first() {
        check(1 << 8, Some("cannot open /dev/kvm"), "noise", "cannot open /dev/kvm");
        check(1 << 8, None, "cannot open /dev/kvm", "cannot open /dev/kvm");
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

    #[tokio::test]
    async fn only_the_last_lines_of_a_long_complaint_are_kept() {
        let text = "filler\n".repeat(10_000) + "one\n\ntwo\n\x1b[31mthree\n";
        assert_eq!(last_lines(text.as_bytes()).await, "one; two; [31mthree");
    }
}
