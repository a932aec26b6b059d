//! What happens on the host, as it happens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The query of a `GET` of [`crate::route::EVENTS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Nothing that happened before this, in milliseconds since the Unix epoch; where absent, nothing that happened before the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Nothing that happened at this time or later; the answer ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Whether the answer goes on with what happens later.
    #[serde(default)]
    pub follow: bool,
}

/// One line of the answer to a `GET` of [`crate::route::EVENTS`]: a JSON object on a line of its own, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// What it happened to.
    pub subject: EventSubject,
    /// What happened: a task's or container's new status in lower case, `health`, `pulled`, `removed`, `created`, `updated`, `deployment-failed` and so on.
    pub action: String,
    /// The subject's id: a task's, an image's digest, a service's name.
    pub id: String,
    /// The subject's name, where it has one beside its id.
    #[serde(default)]
    pub name: Option<String>,
    /// What else is known: `container`, `exit_code`, `stop_code`, `reason`, `cluster`, `service`.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What something happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSubject {
    /// A task.
    Task,
    /// A container of a task; the id is the task's.
    Container,
    /// An image.
    Image,
    /// A service.
    Service,
    /// A deployment of a service.
    Deployment,
    /// A cluster.
    Cluster,
    /// A task definition.
    Definition,
    /// A template.
    Template,
    /// The host agent itself.
    Agent,
}

impl EventSubject {
    /// Its name, as documents have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Container => "container",
            Self::Image => "image",
            Self::Service => "service",
            Self::Deployment => "deployment",
            Self::Cluster => "cluster",
            Self::Definition => "definition",
            Self::Template => "template",
            Self::Agent => "agent",
        }
    }
}
