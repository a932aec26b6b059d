//! Which streams there are, by group: those on the disk, and those that are open and have no output yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::segment::{self, Origin, directories};
use super::store::{GROUP, Key, Logs};

/// The streams of a group, by name.
pub type Streams = BTreeMap<String, Arc<Origin>>;

/// Finds streams.
#[derive(Debug)]
pub struct Catalogue {
    logs: Logs,
    // Shared by requests; locked while the directories are looked through. Tasks that write nothing any more are looked at once.
    closed: Mutex<HashMap<String, Vec<Arc<Origin>>>>,
}

impl Catalogue {
    /// A catalogue of these logs.
    #[must_use]
    pub fn new(logs: Logs) -> Self {
        let closed = Mutex::default();
        Self { logs, closed }
    }

    /// All groups that have streams or were made, with their streams. [`GROUP`] is always there.
    ///
    /// # Errors
    /// Where the directories cannot be read.
    pub fn groups(&self) -> io::Result<BTreeMap<String, Streams>> {
        let mut groups = BTreeMap::from([(GROUP.to_owned(), Streams::new())]);
        groups.extend(self.logs.groups().all()?.into_keys().map(|name| (name, Streams::new())));
        for origin in self.streams()? {
            let streams = groups.entry(origin.group.clone()).or_default();
            streams.insert(origin.stream.clone(), origin);
        }
        Ok(groups)
    }

    /// Looks at a task again, of whose streams one was removed.
    pub fn forget(&self, task: &str) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }

    fn streams(&self) -> io::Result<Vec<Arc<Origin>>> {
        // First, or one that is closed meanwhile would be missed.
        let open = self.logs.open_origins();
        let open_tasks: HashSet<&str> = open.iter().map(|origin| origin.task.as_str()).collect();
        let tasks = directories(self.logs.root())?;
        // Nothing that holds the lock leaves a change half-done.
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let known: HashSet<&str> = tasks.iter().map(String::as_str).collect();
        closed.retain(|task, _| known.contains(task.as_str()) && !open_tasks.contains(task.as_str()));
        let mut streams = open.clone();
        for task in &tasks {
            if let Some(known) = closed.get(task) {
                streams.extend_from_slice(known);
                continue;
            }
            let is_open = |container: &str| {
                open.iter()
                    .any(|origin| origin.task == *task && origin.container == container)
            };
            let found = self.read_task(task, &is_open)?;
            streams.extend_from_slice(&found);
            if !open_tasks.contains(task.as_str()) {
                closed.insert(task.clone(), found);
            }
        }
        Ok(streams)
    }

    /// The streams of a task that have output, but for those that are known.
    fn read_task(&self, task: &str, is_known: &dyn Fn(&str) -> bool) -> io::Result<Vec<Arc<Origin>>> {
        let mut found = vec![];
        for container in directories(&self.logs.root().join(task))? {
            if is_known(&container) {
                continue;
            }
            let key = Key {
                task: task.to_owned(),
                container,
            };
            let heading = segment::first_heading(&self.logs.directory(&key))?;
            found.extend(heading.map(|heading| Arc::new(heading.origin)));
        }
        Ok(found)
    }
}

/// The log that a stream is.
#[must_use]
pub fn key(origin: &Origin) -> Key {
    Key {
        task: origin.task.clone(),
        container: origin.container.clone(),
    }
}
