//! What a person is asked before something goes.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};

use crate::output;

/// Asks the person whether `what` may go; nobody to ask is a refusal.
pub fn is_confirmed(what: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked whether to remove things: give --force");
    }
    output::question(&format!("This removes {what}. Go on? [y/N] "))?;
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
