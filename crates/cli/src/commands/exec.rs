//! `mote exec` and `mote attach`: this terminal in a task that runs.

use std::io::IsTerminal;

use anyhow::{Result, bail};
use api::client::Client;
use api::exec::{ExecEnd, ExecRequest};
use api::task::{Container, Exit, Status, Task};

use super::run::{TERMINAL_SIZE, exit_code};
use super::task_name::split_container;
use crate::args::{Attach, Exec};
use crate::session::{Connected, Ended, Interruptions, Session, Subject};
use crate::{host, output, terminal, value};

/// `mote exec`.
pub async fn exec(host: Option<String>, arguments: Exec) -> Result<u8> {
    if arguments.tty && arguments.interactive && !std::io::stdin().is_terminal() {
        bail!("standard input is not a terminal: leave out -t, or -i");
    }
    let (task, container) = split_container(&arguments.task, arguments.container);
    let request = ExecRequest {
        container,
        command: arguments.command,
        env: value::environment(&arguments.env_file, &arguments.env, |name| std::env::var(name).ok())?,
        user: arguments.user,
        working_directory: arguments.workdir,
        terminal: arguments.tty.then(|| terminal::size().unwrap_or(TERMINAL_SIZE)),
        stdin: arguments.interactive,
    };
    let client = host::connect(host).await?;
    let attached = client.execute(&task, &request).await?;
    if arguments.detach {
        let (_, mut writer) = attached.split();
        writer.send(&api::attach::Frame::Detach).await?;
        return Ok(0);
    }
    let connected = Connected {
        tty: arguments.tty,
        input: arguments.interactive,
    };
    let interruptions = Interruptions::listen_to_all()?;
    let session = Session::new(Subject::Executed, attached, interruptions, connected)?;
    Ok(match session.run().await? {
        Ended::Process(end) => process_exit_code(&end),
        Ended::Task(task) => exit_code(&task),
        Ended::Left => 0,
    })
}

/// The exit code as Docker gives it; says why where the process did not run to an end of its own.
fn process_exit_code(end: &ExecEnd) -> u8 {
    if let (Exit::Failed | Exit::NotFound | Exit::NotExecutable, Some(reason)) = (end.exit, &end.reason) {
        output::note(reason);
    }
    end.exit.shell_code()
}

/// `mote attach`.
pub async fn attach(host: Option<String>, arguments: Attach) -> Result<u8> {
    let (name, container) = split_container(&arguments.task, arguments.container);
    let client = host::connect(host).await?;
    let task = client.task(&name).await?;
    if task.status == Status::Stopped {
        bail!("task {name} has stopped: see what it wrote with `mote logs {name}`");
    }
    let connected = connected(&task, container.as_deref(), !arguments.no_stdin);
    attach_to(&client, task, container, connected).await
}

async fn attach_to(client: &Client, task: Task, container: Option<String>, connected: Connected) -> Result<u8> {
    let attached = client.attach_container(&task.id, container.as_deref()).await?;
    let interruptions = Interruptions::listen_to_all()?;
    let subject = Subject::Joined {
        client: client.clone(),
        task: task.id,
        container,
    };
    Ok(
        match Session::new(subject, attached, interruptions, connected)?.run().await? {
            Ended::Task(task) => exit_code(&task),
            Ended::Process(end) => process_exit_code(&end),
            Ended::Left => 0,
        },
    )
}

/// What a container of a task gets of this terminal.
fn connected(task: &Task, container: Option<&str>, wants_input: bool) -> Connected {
    let mut containers = task.containers.iter();
    let found = match container {
        Some(name) => containers.find(|container| container.name == name),
        None => containers.find(|container| container.is_essential),
    };
    let has = |what: fn(&Container) -> bool| found.is_some_and(what);
    let is_terminal = std::io::stdin().is_terminal();
    Connected {
        tty: has(|container| container.has_terminal) && is_terminal,
        input: has(|container| container.has_stdin) && wants_input,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_container_has_is_connected() {
        let container = |name: &str, has_stdin| Container {
            name: name.to_owned(),
            is_essential: true,
            has_stdin,
            ..Container::default()
        };
        let task = Task {
            containers: vec![container("a", false), container("b", true)],
            ..Task::default()
        };
        assert!(!connected(&task, None, true).input);
        assert!(connected(&task, Some("b"), true).input);
        assert!(!connected(&task, Some("b"), false).input);
        assert!(!connected(&task, Some("c"), true).input);
    }

    #[test]
    fn an_executed_process_ends_as_in_a_shell() {
        let code = |exit| process_exit_code(&ExecEnd { exit, reason: None });
        assert_eq!(code(Exit::Code(7)), 7);
        assert_eq!(code(Exit::Signal(9)), 137);
        assert_eq!(code(Exit::NotFound), 127);
        assert_eq!(code(Exit::NotExecutable), 126);
    }
}
