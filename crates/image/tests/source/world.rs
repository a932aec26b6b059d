//! A store in a directory of its own, and what is asked of it in most tests.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::registry::Patience;
use image::{Event, Image, ImportError, Progress, PullOptions, Source, Store, StoreOptions};

/// A store that retries soon and waits long, so that no test is decided by the computer's speed.
pub struct World {
    directory: tempfile::TempDir,
    pub store: Store,
    pub options: PullOptions,
    events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(store_options())
    }

    pub fn with(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), options).unwrap();
        Self {
            directory,
            store,
            options: PullOptions::default(),
            events: Arc::default(),
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn progress(&self) -> Progress {
        let events = self.events.clone();
        Progress::new(move |event| events.lock().unwrap().push(event))
    }

    /// What was told since last asked.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    pub async fn pull(&self, source: &str) -> Result<Image, ImportError> {
        self.store
            .pull(&Source::parse(source).unwrap(), &self.options, &self.progress())
            .await
    }

    pub async fn load(&self, archive: &[u8]) -> Result<Vec<Image>, ImportError> {
        self.store.load(archive, &self.options, &self.progress()).await
    }

    /// Its directory, for another process's store.
    pub fn into_directory(self) -> tempfile::TempDir {
        self.directory
    }

    /// Names of the images.
    pub fn names(&self) -> Vec<Vec<String>> {
        self.store
            .list()
            .unwrap()
            .into_iter()
            .map(|image| image.names)
            .collect()
    }

    /// Every file and directory of the store with its length.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        files(self.path())
    }

    /// Pulls something that must fail, with this in its sentence, and must leave no trace.
    pub async fn check_refused(&self, source: &str, sentence: &str) {
        let before = self.files();
        let error = self.pull(source).await.unwrap_err();
        assert!(
            chain(&error).contains(sentence),
            "{} should tell {sentence:?}",
            chain(&error)
        );
        assert_eq!(self.files(), before);
        self.events();
    }

    /// Loads something that must fail, with this in its sentence, and must leave no trace.
    pub async fn check_load_refused(&self, archive: &[u8], sentence: &str) {
        let before = self.files();
        let error = self.load(archive).await.unwrap_err();
        assert!(
            chain(&error).contains(sentence),
            "{} should tell {sentence:?}",
            chain(&error)
        );
        assert_eq!(self.files(), before);
    }
}

pub fn store_options() -> StoreOptions {
    let patience = Patience {
        retry_pause: Duration::from_millis(1),
        retries_max: 2,
        ..Patience::default()
    };
    StoreOptions {
        patience,
        ..StoreOptions::default()
    }
}

/// Every file and directory below `path` with its length. What just goes may be among them or not.
pub fn files(path: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.push((path, 0));
        } else if let Ok(metadata) = path.metadata() {
            found.push((path, metadata.len()));
        }
    }
    found.sort();
    found
}

/// An error as a user sees it: with its causes.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
