//! Runs `ip`, `bridge` and `nft`, which read what to do from standard input, many things at a time.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The most that is repeated of what a program says of its failure, in characters.
const SAID_LEN_MAX: usize = 300;

/// Why something could not be done by a program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or cannot be talked to.
    #[error("cannot run {program}; it is needed for tasks with a network")]
    Run {
        /// The program.
        program: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// It says no.
    #[error("{program} cannot {attempted}: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it was to do.
        attempted: &'static str,
        /// What it said.
        said: String,
    },
    /// It says something that is not understood.
    #[error("what {program} says is not understood")]
    Answer {
        /// The program.
        program: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// Has `ip` do these lines, in order, up to the first that fails.
///
/// # Errors
/// [`ProgramError`]; what came before was done.
pub async fn ip(attempted: &'static str, lines: &str) -> Result<(), ProgramError> {
    run("ip", &["-batch", "-"], attempted, lines).await.map(drop)
}

/// Has `ip` do these lines, and go on where one fails.
///
/// # Errors
/// [`ProgramError`] where one failed.
pub async fn ip_all(attempted: &'static str, lines: &str) -> Result<(), ProgramError> {
    run("ip", &["-force", "-batch", "-"], attempted, lines).await.map(drop)
}

/// What `ip` shows.
///
/// # Errors
/// [`ProgramError`]
pub async fn ip_show(attempted: &'static str, arguments: &[&str]) -> Result<Vec<u8>, ProgramError> {
    let arguments = [&["-json"], arguments].concat();
    run("ip", &arguments, attempted, "").await
}

/// Has `bridge` do these lines, in order, up to the first that fails.
///
/// # Errors
/// [`ProgramError`]; what came before was done.
pub async fn bridge(attempted: &'static str, lines: &str) -> Result<(), ProgramError> {
    run("bridge", &["-batch", "-"], attempted, lines).await.map(drop)
}

/// Has the packet filter do all of `script`, or nothing.
///
/// # Errors
/// [`ProgramError`]
pub async fn nft(attempted: &'static str, script: &str) -> Result<(), ProgramError> {
    run("nft", &["-f", "-"], attempted, script).await.map(drop)
}

async fn run(
    program: &'static str,
    arguments: &[&str],
    attempted: &'static str,
    input: &str,
) -> Result<Vec<u8>, ProgramError> {
    let failed = |source| ProgramError::Run { program, source };
    let mut child = Command::new(program)
        .args(arguments)
        // Many systems have them where only root looks.
        .env("PATH", search_path())
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading all says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(ProgramError::Failed {
        program,
        attempted,
        said: first_sentence(&output.stderr),
    })
}

fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin:/usr/bin:/bin")
}

/// The line by which a program says what went wrong.
fn first_sentence(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it does not say why")
        .chars()
        .take(SAID_LEN_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_program_says_the_first_line_counts() {
        assert_eq!(
            first_sentence(b"\nCannot find device\nCommand failed\n"),
            "Cannot find device"
        );
        assert_eq!(first_sentence(b""), "it does not say why");
        assert_eq!(first_sentence(&[b'x'; 1000]).len(), SAID_LEN_MAX);
    }

    #[tokio::test]
    async fn a_failure_says_what_was_attempted() {
        let error = run("false", &[], "make a bridge", "line\n").await.unwrap_err();
        assert_eq!(error.to_string(), "false cannot make a bridge: it does not say why");
        let error = run("mote-no-such-program", &[], "do it", "").await.unwrap_err();
        assert!(error.to_string().starts_with("cannot run mote-no-such-program"));
    }
}
