//! `mote cp`: files from or to a task, by a tar that is executed in it.

mod archive;
mod channel;
mod place;

use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context, Result, bail};
use api::attach::Frame;
use api::client::{AttachedReader, AttachedWriter, Client};
use api::exec::ExecRequest;
use api::task::Exit;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::args::Cp;
use crate::host;
use crate::sink::{Sink, Target as Stream};
use archive::Target;
use channel::{PieceReader, PieceWriter, pieces};
use place::{Place, arrival, named};

/// Bytes of an archive from standard input that are sent at once.
const PIECE_LEN: usize = 64 << 10;

/// The most bytes that are kept of what tar has to say.
const COMPLAINT_LEN_MAX: usize = 4096;

/// `mote cp`.
pub async fn copy(host: Option<String>, arguments: Cp) -> Result<u8> {
    let container = arguments.container.as_deref();
    let source = Place::parse(&arguments.source, container);
    let destination = Place::parse(&arguments.destination, container);
    let client = host::connect(host).await?;
    match (source, destination) {
        (Place::Task { .. }, Place::Task { .. }) => {
            bail!("files are copied from a task or to one, not between two: copy them to this host first")
        }
        (Place::Task { task, container, path }, destination) => {
            let remote = Remote {
                client,
                task,
                container,
            };
            download(&remote, &path, destination).await?;
        }
        (source, Place::Task { task, container, path }) => {
            let remote = Remote {
                client,
                task,
                container,
            };
            upload(&remote, source, &path).await?;
        }
        _ => bail!("name a task at one end: TASK:PATH"),
    }
    Ok(0)
}

/// A container, to execute commands in.
struct Remote {
    client: Client,
    task: String,
    container: Option<String>,
}

impl Remote {
    async fn execute(&self, command: &[&str], stdin: bool) -> Result<(AttachedReader, AttachedWriter)> {
        let request = ExecRequest {
            container: self.container.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            user: Some("0".to_owned()),
            working_directory: Some("/".to_owned()),
            stdin,
            ..ExecRequest::default()
        };
        Ok(self.client.execute(&self.task, &request).await?.split())
    }

    /// Whether a path is a directory. In an image that cannot tell, it is none.
    async fn is_directory(&self, path: &str) -> Result<bool> {
        let (mut reader, _writer) = self.execute(&["test", "-d", path], false).await?;
        let ended = heard(&mut reader, async |_| Ok(())).await?;
        Ok(ended.exit == Exit::Code(0))
    }
}

/// How an executed command ended, and what it complained of.
struct Heard {
    exit: Exit,
    complaint: Vec<u8>,
}

impl Heard {
    /// Fails where tar did.
    fn check(&self) -> Result<()> {
        match self.exit {
            Exit::Code(0) => Ok(()),
            Exit::NotFound | Exit::NotExecutable => {
                bail!("the container's image has no tar, which copying needs")
            }
            _ => {
                let complaint = String::from_utf8_lossy(&self.complaint);
                let first = complaint.lines().next().unwrap_or("it did not say why");
                bail!("cannot copy: {first}")
            }
        }
    }
}

/// Takes what a command writes, until it has ended.
async fn heard(reader: &mut AttachedReader, mut take: impl AsyncFnMut(Vec<u8>) -> Result<()>) -> Result<Heard> {
    let mut complaint = Vec::new();
    loop {
        match reader.next().await? {
            Some(Frame::Stdout(bytes)) => take(bytes).await?,
            Some(Frame::Stderr(bytes)) => {
                let room = COMPLAINT_LEN_MAX.saturating_sub(complaint.len());
                complaint.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Some(Frame::Exited(end)) => {
                if end.exit == Exit::Failed {
                    bail!(
                        "{}",
                        end.reason
                            .unwrap_or_else(|| "the command did not run to its end".to_owned())
                    );
                }
                let exit = end.exit;
                return Ok(Heard { exit, complaint });
            }
            Some(_) => {}
            None => bail!("the host agent went away while files were copied"),
        }
    }
}

async fn download(remote: &Remote, path: &str, destination: Place) -> Result<()> {
    let what = named(path);
    let command = ["tar", "-C", &what.parent, "-cf", "-", &what.name];
    let (mut reader, _writer) = remote.execute(&command, false).await?;
    let Place::Host(destination) = destination else {
        let mut stdout = Sink::new(Stream::Output);
        let take = async |bytes: Vec<u8>| stdout.write(&bytes).await.context("cannot write the archive");
        return heard(&mut reader, take).await?.check();
    };
    let target = if what.is_content || destination.is_dir() {
        Target::Into(destination)
    } else {
        Target::As(destination)
    };
    let (sender, receiver) = pieces();
    let unpacking = tokio::task::spawn_blocking(move || archive::unpack(PieceReader::new(receiver), &target));
    // Where the unpacking fails, it says why.
    let take = async |bytes| sender.send(bytes).await.context("the archive was not taken");
    let heard = heard(&mut reader, take).await;
    drop(sender);
    let unpacked = unpacking.await.context("unpacking failed")?;
    match heard {
        Ok(heard) => heard.check().and(unpacked),
        Err(error) => unpacked.and(Err(error)),
    }
}

async fn upload(remote: &Remote, source: Place, path: &str) -> Result<()> {
    let is_directory = remote.is_directory(path).await?;
    let (sender, receiver) = pieces();
    let (into, packing) = match source {
        Place::Host(source) => {
            source
                .symlink_metadata()
                .with_context(|| format!("cannot copy {}", source.display()))?;
            if path.ends_with('/') && !is_directory {
                bail!("{path} is no directory in the container");
            }
            let at = arrival(&source, path, is_directory)?;
            (at.parent, tokio::spawn(pack(source, at.name, sender)))
        }
        _ => (path.to_owned(), tokio::spawn(relay_stdin(sender))),
    };
    // -o: the files are root's, as with Docker.
    let (mut reader, writer) = remote.execute(&["tar", "-C", &into, "-xof", "-"], true).await?;
    let mut feeding = pin!(feed(writer, receiver));
    let mut hearing = pin!(heard(&mut reader, async |_| Ok(())));
    let mut is_fed = false;
    let heard = loop {
        tokio::select! {
            heard = &mut hearing => break heard?,
            // Where tar takes no more, it says why.
            _ = &mut feeding, if !is_fed => is_fed = true,
        }
    };
    if is_fed {
        packing.await.context("packing failed")??;
    }
    heard.check()
}

async fn pack(source: PathBuf, name: String, sender: mpsc::Sender<Vec<u8>>) -> Result<()> {
    let pack = move || archive::pack(PieceWriter::new(sender), Path::new(&source), &name);
    tokio::task::spawn_blocking(pack).await.context("packing failed")?
}

async fn relay_stdin(sender: mpsc::Sender<Vec<u8>>) -> Result<()> {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; PIECE_LEN];
    loop {
        let len = stdin.read(&mut buffer).await.context("cannot read standard input")?;
        if len == 0 || sender.send(buffer[..len].to_vec()).await.is_err() {
            return Ok(());
        }
    }
}

/// Sends an archive to its end.
async fn feed(mut writer: AttachedWriter, mut receiver: mpsc::Receiver<Vec<u8>>) -> Result<()> {
    while let Some(piece) = receiver.recv().await {
        writer.send(&Frame::Stdin(piece)).await?;
    }
    writer.send(&Frame::StdinEnd).await?;
    Ok(())
}
