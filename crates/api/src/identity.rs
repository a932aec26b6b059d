//! Access keys and secrets. These routes are answered on the unix socket alone.

use serde::{Deserialize, Serialize};

/// The answer to a `GET` of [`crate::route::CREDENTIALS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyList {
    /// The oldest first, which the host agent made itself.
    pub credentials: Vec<AccessKey>,
    /// Where clients of Amazon ECS reach the host agent, as a URL; absent where it listens on no TCP port.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region that they are to name.
    pub region: String,
}

/// An access key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its public half, which names it.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// What it allows.
    pub role: Role,
    /// What it is for, in the words of who made it.
    #[serde(default)]
    pub description: Option<String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
}

/// The body of a `POST` to [`crate::route::CREDENTIALS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateAccessKey {
    /// What it allows.
    pub role: Role,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
}

/// What the holder of an access key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything that is not for the unix socket alone.
    Admin,
    /// See everything; run, stop and enter tasks; change services.
    Run,
    /// See everything.
    ReadOnly,
}

impl Role {
    /// Its name, as documents have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Run => "run",
            Self::ReadOnly => "read-only",
        }
    }
}

/// The answer to a `GET` of [`crate::route::SECRETS`]: everything but the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretList {
    /// By name.
    pub secrets: Vec<SecretSummary>,
}

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSummary {
    /// Its name.
    pub name: String,
    /// When it got its first value, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// When it got its present value.
    pub changed_unix_ms: u64,
}

/// The body of a `POST` to [`crate::route::SECRETS`]; the answer is the [`SecretSummary`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// Its name: `[a-zA-Z0-9/_+=.@-]`, at most 512 characters.
    pub name: String,
    /// Its value, at most 64 KiB.
    pub value: String,
    /// Whether it replaces the value of a secret that is there already.
    #[serde(default)]
    pub replace: bool,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its secret half belongs into no log.
        let mut text = formatter.debug_struct("AccessKey");
        text.field("access_key_id", &self.access_key_id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PutSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PutSecret")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
