//! A template: a guest that was booted once and stopped at its doorbell, as files that clones begin from.
//!
//! A directory with two files: `memory`, sparse, as long as base memory; and `state`, everything else. [`state`] is the format, [`save`]
//! writes, [`Template::open`] reads. A clone maps the memory privately: no clone ever writes to a template.

pub mod save;
pub mod state;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use state::{State, StateError};

/// The name of the file with the guest's memory.
const MEMORY: &str = "memory";

/// The name of the file with everything else.
const STATE: &str = "state";

/// A template, ready to be cloned.
pub struct Template {
    /// The guest's memory.
    pub memory: File,
    /// Everything else.
    pub state: State,
}

/// Why a template cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file.
    #[error("cannot {attempted} the template's {}", path.display())]
    File {
        /// `open`, `read`, `write`.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The state is damaged, or another version's.
    #[error("the template's {} cannot be used", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StateError,
    },
}

impl Template {
    /// Opens the template in `directory`.
    ///
    /// # Errors
    /// Where a file is missing or damaged.
    pub fn open(directory: &Path) -> Result<Self, TemplateError> {
        let failed = |attempted, path: &Path| {
            let path = path.to_owned();
            move |source| TemplateError::File {
                attempted,
                path,
                source,
            }
        };
        let path = directory.join(STATE);
        let bytes = std::fs::read(&path).map_err(failed("read", &path))?;
        let state = State::parse(&bytes).map_err(|source| TemplateError::State { path, source })?;
        let path = directory.join(MEMORY);
        let memory = File::open(&path).map_err(failed("open", &path))?;
        Ok(Self { memory, state })
    }
}
