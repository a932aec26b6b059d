//! Starts a program on pipes or on a terminal of its own.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use machine::wire::{ExecRequest, Refusal, TerminalSize};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::kernel;

/// The environment that a program gets whatever the request says; the request's own variables override it.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("TERM", "dumb"),
];

/// Room in a pipe of ours, in bytes: system calls are dear in an emulated machine.
pub const PIPE_LEN: usize = 1 << 20;

/// A program that runs, and our ends of its standard streams.
pub struct Program {
    pub child: Child,
    /// Where its input goes.
    pub input: File,
    /// Where its output comes from.
    pub output: File,
    /// Where its errors come from; with a terminal they come as output.
    pub errors: Option<File>,
    /// The terminal, for changes of its size.
    pub terminal: Option<File>,
}

/// Starts the program of a request.
pub fn start(request: &ExecRequest) -> Result<Program, (Refusal, String)> {
    let directory = request.working_directory.as_deref().unwrap_or(Path::new("/"));
    if let Err(error) = std::fs::read_dir(directory) {
        return Err((
            Refusal::WorkingDirectory,
            format!("cannot enter {}: {error}", directory.display()),
        ));
    }
    let [name, arguments @ ..] = request.argv.as_slice() else {
        return Err((Refusal::Failed, "no program is named".to_owned()));
    };
    let mut command = Command::new(name);
    command.args(arguments).current_dir(directory).env_clear();
    command
        .envs(ENVIRONMENT.iter().copied())
        .envs(request.env.iter().map(|(name, value)| (name, value)));
    let started = match request.terminal {
        Some(size) => on_terminal(command, size),
        None => on_pipes(command),
    };
    started.map_err(|error| (refusal(&error), format!("cannot run {name}: {error}")))
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => Refusal::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => Refusal::NotExecutable,
        // A file that is no program of this machine's.
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => Refusal::NotExecutable,
        _ => Refusal::Failed,
    }
}

fn on_pipes(mut command: Command) -> io::Result<Program> {
    let (its_input, input) = wide_pipe()?;
    let (output, its_output) = wide_pipe()?;
    let (errors, its_errors) = wide_pipe()?;
    command
        .stdin(Stdio::from(its_input))
        .stdout(Stdio::from(its_output))
        .stderr(Stdio::from(its_errors));
    kernel::start_in_own_session(&mut command, false);
    let child = command.spawn()?;
    Ok(Program {
        child,
        input: File::from(input),
        output: File::from(output),
        errors: Some(File::from(errors)),
        terminal: None,
    })
}

fn wide_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::pipe::fcntl_setpipe_size(&writer, PIPE_LEN)?;
    Ok((reader, writer))
}

fn on_terminal(mut command: Command, size: TerminalSize) -> io::Result<Program> {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let name = rustix::pty::ptsname(&ours, Vec::new())?;
    let its = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let ours = File::from(ours);
    resize(&ours, size)?;
    command
        .stdin(Stdio::from(its.try_clone()?))
        .stdout(Stdio::from(its.try_clone()?))
        .stderr(Stdio::from(its));
    kernel::start_in_own_session(&mut command, true);
    let child = command.spawn()?;
    // `command` ends here and with it our copies of the program's side: the terminal hangs up when the program's own are closed.
    drop(command);
    Ok(Program {
        child,
        input: ours.try_clone()?,
        output: ours.try_clone()?,
        errors: None,
        terminal: Some(ours),
    })
}

/// Tells the terminal, and the programs on it, its size.
pub fn resize(terminal: &File, size: TerminalSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
