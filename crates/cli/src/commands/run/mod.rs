//! `mote run`: one request that creates, starts and attaches to a task; and an end as its process ends.

mod request;

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context, Result, bail};
use api::client::{Client, ClientError};
use api::error::ErrorCode;
use api::task::{Exit, RunRequest, Task};

use super::image::{load_with_progress, pull_request, pull_with_progress};
use crate::args::{PullPolicy, Run};
use crate::session::{Connected, Ended, Interruptions, Session, Subject};
use crate::{host, output};

pub use request::TERMINAL_SIZE;

/// Transports that name a file of this host instead of a registry's image.
const ARCHIVE_TRANSPORTS: [&str; 3] = ["oci-archive:", "docker-archive:", "oci:"];

/// `mote run`.
pub async fn run(host: Option<String>, arguments: Run) -> Result<u8> {
    if arguments.tty && arguments.interactive && !arguments.detach && !std::io::stdin().is_terminal() {
        bail!("standard input is not a terminal: leave out -t, or -i");
    }
    let mut request = request::request(&arguments)?;
    let mut id_file = arguments.cidfile.as_deref().map(IdFile::create).transpose()?;
    let client = host::connect(host).await?;
    if let Some(path) = archive_path(&arguments.image) {
        request.image = load_one(&client, path).await?;
    }
    let mut interruptions = Interruptions::listen()?;
    if arguments.detach {
        return start_in_background(&client, &request, &arguments, &mut interruptions, id_file).await;
    }
    let create = || client.run(&request);
    let (task, attached) = with_image(create, &client, &arguments, &mut interruptions).await?;
    if let Some(file) = &mut id_file {
        file.write(&task)?;
    }
    let connected = Connected {
        tty: arguments.tty,
        input: arguments.interactive,
    };
    let subject = Subject::Started {
        client: client.clone(),
        task,
    };
    let ended = Session::new(subject, attached, interruptions, connected)?.run().await?;
    let Ended::Task(task) = ended else {
        return Ok(0);
    };
    if arguments.timing {
        output::timing(&task.clock);
    }
    Ok(exit_code(&task))
}

/// Starts the task and leaves it as soon as it runs, after its id was printed.
async fn start_in_background(
    client: &Client,
    request: &RunRequest,
    arguments: &Run,
    interruptions: &mut Interruptions,
    id_file: Option<IdFile>,
) -> Result<u8> {
    let create = || client.create_task(request);
    let task = with_image(create, client, arguments, interruptions).await?;
    if let Some(mut file) = id_file {
        file.write(&task.id)?;
    }
    client.start_task(&task.id).await?;
    output::line(&task.id)?;
    let task = answered(client.wait_until_running(&task.id), interruptions).await??;
    let has_run = task.times.started_ms.is_some();
    Ok(if has_run { 0 } else { exit_code(&task) })
}

/// The new file that gets the task's id.
struct IdFile {
    file: std::fs::File,
    path: PathBuf,
}

impl IdFile {
    fn create(path: &Path) -> Result<Self> {
        let file = std::fs::File::create_new(path);
        let file = file.with_context(|| format!("cannot make the file {} for the task's id", path.display()))?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    fn write(&mut self, id: &str) -> Result<()> {
        let written = self.file.write_all(id.as_bytes());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
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

/// What `create` answers, with the image pulled before where the policy says so.
async fn with_image<T, F: Future<Output = Result<T, ClientError>>>(
    create: impl Fn() -> F,
    client: &Client,
    arguments: &Run,
    interruptions: &mut Interruptions,
) -> Result<T> {
    let local = archive_path(&arguments.image).is_some();
    if arguments.pull == PullPolicy::Always && !local {
        pull(client, arguments, interruptions).await?;
    }
    match answered(create(), interruptions).await? {
        Err(error) if error.code() == Some(ErrorCode::ImageNotFound) && may_pull(arguments.pull) && !local => {
            output::note(&format!("{} is not in the store: pulling it", arguments.image));
            pull(client, arguments, interruptions).await?;
            Ok(answered(create(), interruptions).await??)
        }
        other => Ok(other?),
    }
}

/// The host agent's answer. One interruption waits for it, so that the task can be stopped in good order; a second one does not.
async fn answered<T>(
    answer: impl Future<Output = Result<T, ClientError>>,
    interruptions: &mut Interruptions,
) -> Result<Result<T, ClientError>> {
    let mut answer = pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer),
            interruption = interruptions.next() => {
                if interruption.count > 1 {
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
        pulled = pull_with_progress(client, &request, arguments.quiet) => pulled.map(drop),
        _ = interruptions.next() => bail!("interrupted while {} was pulled", arguments.image),
    }
}

/// The exit code as Docker gives it; says why where the process did not run to an end of its own.
pub fn exit_code(task: &Task) -> u8 {
    let exit = task.exit.unwrap_or(Exit::Failed);
    if let (Exit::Failed | Exit::NotFound | Exit::NotExecutable, Some(reason)) = (exit, &task.stopped_reason) {
        output::note(reason);
    }
    exit.shell_code()
}
