//! Templates: what microVMs are cloned from, and the pool of clones that wait.

use serde::{Deserialize, Serialize};

/// The body of a `POST` to [`crate::route::TEMPLATES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildRequest {
    /// Whether a template that is there already is replaced by a new one.
    #[serde(default)]
    pub force: bool,
}

/// The answer to a `GET` of [`crate::route::TEMPLATES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateList {
    /// Every template that is there or being made, the one in use first.
    pub templates: Vec<Template>,
    /// The pool of clones.
    pub pool: Pool,
}

/// A template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What it is for: a digest over everything that it depends on, in hexadecimal digits.
    pub key: String,
    /// Whether it can be used.
    pub state: TemplateState,
    /// Why it cannot be used, in a sentence, where it cannot.
    pub reason: Option<String>,
    /// Memory that it takes, in bytes; nothing while it is made.
    pub size_bytes: u64,
    /// When it was made, in milliseconds since the Unix epoch, once it was.
    pub created_unix_ms: Option<u64>,
    /// MicroVMs that were cloned from it since the host agent started, those of the pool included.
    pub clones: u64,
    /// Tasks that were to be clones of it and got a full boot, since the host agent started.
    pub fallbacks: u64,
}

/// Whether a template can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateState {
    /// It is being made.
    Building,
    /// MicroVMs are cloned from it.
    Ready,
    /// Something that it depends on has changed: nothing is cloned from it any more.
    Stale,
    /// It could not be made or used: microVMs boot in full.
    Failed,
}

/// Clones that wait for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// How many are to wait.
    pub size: u32,
    /// How many wait.
    pub waiting: u32,
}
