//! The person's terminal while a task has it.

use std::io;

use api::task::TerminalSize;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

/// Holds the terminal in raw mode, so that every key reaches the task; dropping it restores the mode found.
pub struct RawMode {
    found: Termios,
}

impl RawMode {
    /// Puts the terminal of standard input into raw mode.
    pub fn enter() -> io::Result<Self> {
        let found = termios::tcgetattr(io::stdin())?;
        let mut raw = found.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { found })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may be gone, and with it the need to restore it.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.found);
    }
}

/// Hides what is typed; dropping it restores the mode found.
pub struct NoEcho {
    found: Termios,
}

impl NoEcho {
    /// Has the terminal of standard input show nothing.
    pub fn enter() -> io::Result<Self> {
        let found = termios::tcgetattr(io::stdin())?;
        let mut quiet = found.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self { found })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // The terminal may be gone, and with it the need to restore it.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.found);
    }
}

/// The size of the terminal's window, where `standard output` has one.
pub fn size() -> Option<TerminalSize> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    Some(TerminalSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
    .filter(|size| size.columns > 0 && size.rows > 0)
}
