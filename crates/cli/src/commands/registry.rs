//! `mote login`, `mote logout`.

use std::io::IsTerminal;

use anyhow::{Context, Result, bail};
use api::image::{LoginRequest, LogoutRequest};

use crate::args::{Login, Logout};
use crate::terminal::NoEcho;
use crate::{host, output};

/// `mote login`.
pub async fn login(host: Option<String>, arguments: Login) -> Result<u8> {
    let username = match arguments.username {
        Some(username) => username,
        None => ask("User name: ")?,
    };
    let password = match arguments.password {
        Some(password) => password,
        None if arguments.password_stdin => std::io::read_to_string(std::io::stdin())
            .context("cannot read the password from standard input")?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        None => ask_secretly("Password: ")?,
    };
    if username.is_empty() || password.is_empty() {
        bail!("a user name and a password are needed");
    }
    let request = LoginRequest {
        registry: arguments.registry,
        username,
        password,
        insecure: arguments.insecure,
    };
    host::connect(host).await?.login(&request).await?;
    output::line(&format!("signed in to {}", request.registry))?;
    Ok(0)
}

/// `mote logout`.
pub async fn logout(host: Option<String>, arguments: Logout) -> Result<u8> {
    let request = LogoutRequest {
        registry: arguments.registry,
    };
    let done = host::connect(host).await?.logout(&request).await?;
    let registry = &request.registry;
    output::line(&if done.was_signed_in {
        format!("signed out of {registry}")
    } else {
        format!("was not signed in to {registry}")
    })?;
    Ok(0)
}

fn ask(question: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked: give --username and --password-stdin");
    }
    output::question(question)?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask_secretly(question: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked: give --password-stdin");
    }
    let answer = {
        let _quiet = NoEcho::enter().context("cannot hide the password while it is typed")?;
        ask(question)?
    };
    // The end of the line was not shown either.
    output::question("\n")?;
    Ok(answer)
}
