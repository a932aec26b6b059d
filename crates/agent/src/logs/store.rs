//! The logs of all containers: opens them for writing, finds them for reading, removes them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::frame::Piece;
use protocol::guest::{Received, Stream};
use tokio::sync::watch;

use super::entry::Source;
use super::groups::Groups;
use super::segment::{self, Origin, directories};
use super::writer::{Limits, Output, Writer};
use crate::clock;
use crate::ports::{Sink, Sinks};
use crate::record::{Logging, TaskRecord};

/// How much of a container's output is kept unless configured otherwise, in bytes.
pub const BYTES_MAX: u64 = 64 << 20;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The log group of containers that name none.
pub const GROUP: &str = "/mote";

/// The output of containers, below one directory. Clones are the same.
#[derive(Clone, Debug)]
pub struct Logs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    limits: Limits,
    // Shared by those who write and those who follow; locked for moments.
    followed: Mutex<HashMap<Key, Arc<Journal>>>,
    groups: Groups,
}

/// A container of a task, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The task's id.
    pub task: String,
    /// The container's name.
    pub container: String,
}

/// What those who write a log and those who follow it share.
#[derive(Debug, Default)]
struct Journal {
    progress: watch::Sender<Progress>,
}

/// How far a log is; it is also sent when there is more of it.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Whose it is, while it is written.
    origin: Option<Arc<Origin>>,
}

impl Logs {
    /// Keeps logs in `directory`, which is made with the first output, and of each container about `bytes_max`.
    #[must_use]
    pub fn new(directory: PathBuf, bytes_max: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                groups: Groups::new(directory.join("groups.json")),
                directory,
                limits: Limits::of(bytes_max),
                followed: Mutex::default(),
            }),
        }
    }

    /// Opens the log of a container for writing; makes nothing on the disk.
    ///
    /// # Errors
    /// Where what there is cannot be read, or is being written already.
    pub fn open_sink(&self, key: Key, logging: &Logging) -> io::Result<FileSink> {
        check_name(&key.task)?;
        check_name(&key.container)?;
        let origin = origin(&key, logging, clock::wall_ms());
        let handle = self.handle(key);
        let is_taken = !handle.journal.progress.send_if_modified(|progress| {
            let is_free = progress.origin.is_none();
            if is_free {
                progress.origin = Some(Arc::new(origin.clone()));
            }
            is_free
        });
        if is_taken {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("the log of {} is being written already", handle.key.container),
            ));
        }
        let open = Open { handle };
        let writer = Writer::open(self.directory(&open.handle.key), origin, self.shared.limits)?;
        // It may have been begun by an earlier host agent.
        let origin = Arc::new(writer.origin().clone());
        open.handle
            .journal
            .progress
            .send_modify(|progress| progress.origin = Some(origin));
        Ok(FileSink {
            writer: Mutex::new(writer),
            open,
        })
    }

    /// Follows the log of a container, also before it is opened.
    #[must_use]
    pub fn follow(&self, key: Key) -> Follower {
        let handle = self.handle(key);
        let progress = handle.journal.progress.subscribe();
        Follower {
            progress,
            _handle: handle,
        }
    }

    /// Whether something may be written to the log still.
    #[must_use]
    pub fn is_open(&self, key: &Key) -> bool {
        let followed = self.shared.lock();
        followed
            .get(key)
            .is_some_and(|journal| journal.progress.borrow().origin.is_some())
    }

    /// The logs that are being written.
    #[must_use]
    pub fn open_origins(&self) -> Vec<Arc<Origin>> {
        let followed = self.shared.lock();
        let origin = |journal: &Arc<Journal>| journal.progress.borrow().origin.clone();
        followed.values().filter_map(origin).collect()
    }

    /// Where the files of a container's log are.
    #[must_use]
    pub fn directory(&self, key: &Key) -> PathBuf {
        self.shared.directory.join(&key.task).join(&key.container)
    }

    /// Where all logs are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.directory
    }

    /// What is known of groups.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// Removes what no task has any more, and what is older than its group keeps it.
    ///
    /// # Errors
    /// The first thing that cannot be looked at; what can be removed is.
    pub fn sweep(&self, now_ms: u64, is_known: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let mut failed = Ok(());
        for task in directories(&self.shared.directory)? {
            let swept = self.sweep_task(&task, now_ms, is_known(&task));
            failed = failed.and(swept);
        }
        failed
    }

    fn sweep_task(&self, task: &str, now_ms: u64, is_known: bool) -> io::Result<()> {
        let task_directory = self.shared.directory.join(task);
        for container in directories(&task_directory)? {
            let key = Key {
                task: task.to_owned(),
                container,
            };
            if self.is_open(&key) {
                continue;
            }
            let directory = self.directory(&key);
            let days = match segment::first_heading(&directory)? {
                Some(heading) => self.shared.groups.retention_days(&heading.origin.group)?,
                None => None,
            };
            let written_ms = segment::written_ms(&directory)?.unwrap_or(0);
            let is_over = match days {
                Some(days) => written_ms.saturating_add(u64::from(days) * DAY_MS) <= now_ms,
                None => !is_known,
            };
            if is_over {
                fs::remove_dir_all(&directory)?;
            }
        }
        // It may not be empty, and nothing is lost where it stays.
        let _ = fs::remove_dir(&task_directory);
        Ok(())
    }

    /// Whether a group of the task's containers keeps logs longer than tasks are remembered.
    fn is_kept(&self, task: &TaskRecord) -> io::Result<bool> {
        for container in &task.plan.containers {
            let group = container.logging.group.as_deref().unwrap_or(GROUP);
            if self.shared.groups.retention_days(group)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn handle(&self, key: Key) -> Handle {
        let journal = self.shared.lock().entry(key.clone()).or_default().clone();
        let shared = self.shared.clone();
        Handle { shared, key, journal }
    }
}

impl Sinks for Logs {
    fn open(&self, task: &TaskRecord, container: usize) -> io::Result<Box<dyn Sink>> {
        let plan = task.plan.containers.get(container);
        let plan = plan.ok_or_else(|| io::Error::other("the task has no such container"))?;
        let key = Key {
            task: task.id.clone(),
            container: plan.name.clone(),
        };
        Ok(Box::new(self.open_sink(key, &plan.logging)?))
    }

    fn forget(&self, task: &TaskRecord) {
        let removed = match self.is_kept(task) {
            // Each container's group decides.
            Ok(true) => self.sweep_task(&task.id, clock::wall_ms(), false),
            Ok(false) => fs::remove_dir_all(self.shared.directory.join(&task.id)),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(task = task.id, %error, "cannot remove the logs");
            }
            _ => {}
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Journal>>> {
        // Nothing that holds the lock leaves a change half-done.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a journal among those that are followed.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    key: Key,
    journal: Arc<Journal>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut followed = self.shared.lock();
        // The map's and this one.
        if Arc::strong_count(&self.journal) == 2 {
            followed.remove(&self.key);
        }
    }
}

/// A log that is being written, until this is dropped.
#[derive(Debug)]
struct Open {
    handle: Handle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.handle
            .journal
            .progress
            .send_modify(|progress| progress.origin = None);
    }
}

/// Where the output of one container is written.
#[derive(Debug)]
pub struct FileSink {
    // Locked while a piece is written: pieces of one container come from one session.
    writer: Mutex<Writer>,
    open: Open,
}

impl FileSink {
    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A writer changes what it knows after it wrote.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for FileSink {
    fn write(&self, piece: &Piece<'_>) -> io::Result<()> {
        let source = Source::of(piece.stream).ok_or_else(|| io::Error::other("standard input is no output"))?;
        let output = Output {
            process: piece.process,
            source,
            offset: piece.offset,
            content: piece.content,
        };
        if self.lock().write(clock::wall_ms(), output)? {
            self.open.handle.journal.progress.send_modify(|_| {});
        }
        Ok(())
    }

    fn received(&self) -> Vec<Received> {
        self.lock().positions().received()
    }

    fn ended(&self) -> Vec<(u32, Stream)> {
        self.lock().positions().ended()
    }
}

/// Tells when there is more of a log.
#[derive(Debug)]
pub struct Follower {
    progress: watch::Receiver<Progress>,
    _handle: Handle,
}

impl Follower {
    /// Whether something may be written still. What is written from now on is told by [`Self::changed`]: ask first, then read, then wait.
    pub fn is_open(&mut self) -> bool {
        self.progress.borrow_and_update().origin.is_some()
    }

    /// Waits until there is more, or the log was opened or closed.
    pub async fn changed(&mut self) {
        // The sender lives as long as the handle.
        let _ = self.progress.changed().await;
    }
}

/// Whose a log is.
fn origin(key: &Key, logging: &Logging, created_ms: u64) -> Origin {
    let Key { task, container } = key;
    let stream = match &logging.stream_prefix {
        Some(prefix) => format!("{prefix}/{container}/{task}"),
        None => format!("{container}/{task}"),
    };
    Origin {
        task: task.clone(),
        container: container.clone(),
        group: logging.group.clone().unwrap_or_else(|| GROUP.to_owned()),
        stream,
        created_ms,
    }
}

/// A name becomes a directory.
fn check_name(name: &str) -> io::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= 255 && name.bytes().all(is_plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{name:?} cannot be the name of a directory"),
    ))
}
