//! Events through restarts: lines of JSON in two files, of which the older one goes when the newer one is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use api::event::Event;

use super::KEPT_MAX;

/// The longest line that is read back.
const LINE_LEN_MAX: usize = 64 * 1024;

/// Where events are written to.
#[derive(Debug)]
pub struct EventFile {
    directory: PathBuf,
    current: File,
    lines: usize,
    has_failed: bool,
}

impl EventFile {
    /// Opens the files in `directory`, and the last events that are in them. What cannot be read, such as a line that was cut off, is left out.
    ///
    /// # Errors
    /// Where nothing can be written there.
    pub fn open(directory: &Path) -> io::Result<(Self, Vec<Event>)> {
        let mut events = read(&older(directory));
        let newer = read(&newer(directory));
        let lines = newer.len();
        events.extend(newer);
        events.drain(..events.len().saturating_sub(KEPT_MAX));
        let mut current = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self::newer(directory))?;
        // Behind a line that was cut off.
        if current.metadata()?.len() > 0 {
            current.write_all(b"\n")?;
        }
        let file = Self {
            directory: directory.to_owned(),
            current,
            lines,
            has_failed: false,
        };
        Ok((file, events))
    }

    /// Writes one more. A disk that is full costs events and nothing else.
    pub fn append(&mut self, event: &Event) {
        match self.try_append(event) {
            Ok(()) => self.has_failed = false,
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                tracing::warn!(%error, "cannot write events to {}", self.directory.display());
            }
            Err(_) => {}
        }
    }

    fn try_append(&mut self, event: &Event) -> io::Result<()> {
        if self.lines >= KEPT_MAX {
            fs::rename(newer(&self.directory), older(&self.directory))?;
            self.current = OpenOptions::new()
                .create(true)
                .append(true)
                .open(newer(&self.directory))?;
            self.lines = 0;
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.current.write_all(&line)?;
        self.lines += 1;
        Ok(())
    }
}

fn newer(directory: &Path) -> PathBuf {
    directory.join("events.jsonl")
}

fn older(directory: &Path) -> PathBuf {
    directory.join("events.old.jsonl")
}

fn read(path: &Path) -> Vec<Event> {
    let Ok(file) = File::open(path) else {
        return Vec::new();
    };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    lines
        .filter(|line| line.len() <= LINE_LEN_MAX)
        .filter_map(|line| serde_json::from_slice(&line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use api::event::EventSubject;

    use super::*;
    use crate::events::event;

    #[test]
    fn events_survive_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, events) = EventFile::open(directory.path()).unwrap();
        assert_eq!(events, []);
        for number in 0..=KEPT_MAX * 2 {
            file.append(&event(EventSubject::Task, "running", &number.to_string()));
        }
        fs::OpenOptions::new()
            .append(true)
            .open(newer(directory.path()))
            .unwrap()
            .write_all(b"{\"time_ms\":1,")
            .unwrap();
        let (mut file, events) = EventFile::open(directory.path()).unwrap();
        assert_eq!(events.len(), KEPT_MAX);
        assert_eq!(events.last().unwrap().id, (KEPT_MAX * 2).to_string());
        file.append(&event(EventSubject::Task, "running", "after"));
        let (_, events) = EventFile::open(directory.path()).unwrap();
        assert_eq!(events.last().unwrap().id, "after");
    }
}
