//! `mote run`: one request that creates, starts and attaches to a task; and an end as its process ends.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::{Result, bail};
use api::client::{Attached, Client, ClientError};
use api::error::ErrorCode;
use api::task::{Exit, RunRequest, Task, TerminalSize};

use super::image::{load_with_progress, pull_request, pull_with_progress};
use crate::args::{PullPolicy, Run, SecurityOption};
use crate::session::{Connected, Interruptions, Session};
use crate::{host, output, terminal, value};

/// The size of a terminal that nobody looks at.
const TERMINAL_SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// Transports that name a file of this host instead of a registry's image.
const ARCHIVE_TRANSPORTS: [&str; 3] = ["oci-archive:", "docker-archive:", "oci:"];

/// `mote run`.
pub async fn run(host: Option<String>, arguments: Run) -> Result<u8> {
    if arguments.tty && arguments.interactive && !std::io::stdin().is_terminal() {
        bail!("standard input is not a terminal: leave out -t, or -i");
    }
    let mut request = request(&arguments)?;
    let client = host::connect(host).await?;
    if let Some(path) = archive_path(&arguments.image) {
        request.image = load_one(&client, path).await?;
    }
    let mut interruptions = Interruptions::listen()?;
    let task = start(&client, &request, &arguments, &mut interruptions).await?;
    let connected = Connected {
        tty: arguments.tty,
        input: arguments.interactive,
    };
    let ended = Session::new(&client, task, interruptions, connected)?.run().await?;
    if arguments.timing {
        output::timing(&ended.clock);
    }
    Ok(exit_code(&ended))
}

/// The request that the options ask for.
fn request(arguments: &Run) -> Result<RunRequest> {
    let env = value::environment(&arguments.env_file, &arguments.env, |name| std::env::var(name).ok())?;
    let entrypoint = arguments.entrypoint.clone();
    Ok(RunRequest {
        image: arguments.image.clone(),
        name: arguments.name.clone(),
        vcpu_milli: arguments.cpu.0,
        memory_mib: arguments.memory.0,
        env,
        working_directory: arguments.workdir.clone(),
        user: arguments.user.clone(),
        entrypoint: entrypoint.map(|program| if program.is_empty() { Vec::new() } else { vec![program] }),
        command: arguments.command.clone(),
        hostname: arguments.hostname.clone(),
        terminal: arguments.tty.then(|| terminal::size().unwrap_or(TERMINAL_SIZE)),
        stdin: arguments.interactive,
        remove: arguments.rm,
        no_new_privileges: arguments.security_opt.contains(&SecurityOption::NoNewPrivileges),
        waits_for_vcpus: !arguments.no_cpu_wait,
        timeout_seconds: arguments.timeout,
        stop_timeout_seconds: arguments.stop_timeout,
        ..RunRequest::default()
    })
}

/// The file that an image's transport names, if it has one.
fn archive_path(image: &str) -> Option<PathBuf> {
    ARCHIVE_TRANSPORTS
        .iter()
        .find_map(|transport| image.strip_prefix(transport))
        .map(PathBuf::from)
}

/// Loads the only image of an archive; what to call it.
async fn load_one(client: &Client, path: PathBuf) -> Result<String> {
    let images = load_with_progress(client, Some(&path), None, true).await?;
    match images.as_slice() {
        [image] => Ok(image.names.first().unwrap_or(&image.digest).clone()),
        _ => bail!(
            "{} holds {} images: `mote load` it and run one by its name",
            path.display(),
            images.len()
        ),
    }
}

/// Creates and starts the task, pulling its image where the policy says so; its id and its stream.
async fn start(
    client: &Client,
    request: &RunRequest,
    arguments: &Run,
    interruptions: &mut Interruptions,
) -> Result<(String, Attached)> {
    let local = archive_path(&arguments.image).is_some();
    if arguments.pull == PullPolicy::Always && !local {
        pull(client, arguments, interruptions).await?;
    }
    match created(client, request, interruptions).await? {
        Err(error) if error.code() == Some(ErrorCode::ImageNotFound) && may_pull(arguments.pull) && !local => {
            output::note(&format!("{} is not in the store: pulling it", request.image));
            pull(client, arguments, interruptions).await?;
            Ok(created(client, request, interruptions).await??)
        }
        other => Ok(other?),
    }
}

/// The host agent's answer. One interruption waits for it, so that the task can be stopped in good order; a second one does not.
async fn created(
    client: &Client,
    request: &RunRequest,
    interruptions: &mut Interruptions,
) -> Result<Result<(String, Attached), ClientError>> {
    let mut answer = pin!(client.run(request));
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer),
            count = interruptions.next() => {
                if count > 1 {
                    bail!("interrupted before the host agent answered");
                }
            }
        }
    }
}

fn may_pull(policy: PullPolicy) -> bool {
    policy == PullPolicy::Missing
}

async fn pull(client: &Client, arguments: &Run, interruptions: &mut Interruptions) -> Result<()> {
    let request = pull_request(&arguments.image, &arguments.registry, None)?;
    tokio::select! {
        pulled = pull_with_progress(client, &request, false) => pulled.map(drop),
        _ = interruptions.next() => bail!("interrupted while {} was pulled", arguments.image),
    }
}

/// The exit code as Docker gives it; says why where the process did not run to an end of its own.
fn exit_code(task: &Task) -> u8 {
    let exit = task.exit.unwrap_or(Exit::Failed);
    if let (Exit::Failed | Exit::NotFound | Exit::NotExecutable, Some(reason)) = (exit, &task.stopped_reason) {
        output::note(reason);
    }
    exit.shell_code()
}
