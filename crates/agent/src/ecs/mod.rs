//! The operations of Amazon ECS, on the store and the tasks' core.
//!
//! [`call`] checks a request against the tables of [`api::ecs::members`], and gives it to its operation: [`clusters`], [`definitions`], [`tasks`],
//! [`execute`], [`tags`], [`account`]; [`services`] leads to those on services. [`catalogue`] finds what requests name, [`ports`] is what is needed of others. [`definition`] is pure: what is registered, and
//! the plans made of it. [`access`] says which role may call what.

pub mod access;
mod account;
mod call;
mod catalogue;
mod clusters;
pub mod definition;
mod definitions;
mod execute;
#[cfg(test)]
pub mod fake;
pub mod ports;
mod services;
mod tags;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::ecs::error::EcsError;
use api::identity::Role;

use crate::sentence::sentence;
use crate::store::{Store, StoreError};
use definition::HostPaths;
use ports::{CommandSessions, ServiceOperations, TaskCore};

pub use catalogue::Catalogue;
pub use services::{CatalogueServices, ServiceTasks};
pub use tasks::{ServiceTask, describe, new_task_for_service};

/// The region of ARNs where a request has none: on the unix socket.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The region that the request was signed for.
    pub region: String,
    /// What the caller may do.
    pub role: Role,
}

impl Caller {
    /// Who has the unix socket may do everything.
    #[must_use]
    pub fn local() -> Self {
        Self {
            region: DEFAULT_REGION.to_owned(),
            role: Role::Admin,
        }
    }
}

/// The operations of Amazon ECS.
pub struct Ecs {
    store: Store,
    catalogue: Catalogue,
    core: Arc<dyn TaskCore>,
    sessions: Arc<dyn CommandSessions>,
    services: Arc<dyn ServiceOperations>,
    paths: HostPaths,
    runs: tasks::Runs,
}

impl Ecs {
    /// The operations on these; definitions may name files of the host below `paths`.
    ///
    /// # Errors
    /// Where the store cannot be written: the cluster `default` is made.
    pub fn new(
        store: Store,
        core: Arc<dyn TaskCore>,
        sessions: Arc<dyn CommandSessions>,
        services: Arc<dyn ServiceOperations>,
        paths: HostPaths,
    ) -> Result<Arc<Self>, StoreError> {
        clusters::make_default(&store)?;
        Ok(Arc::new(Self {
            catalogue: Catalogue::new(store.clone()),
            store,
            core,
            sessions,
            services,
            paths,
            runs: tasks::Runs::default(),
        }))
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

/// The store's failure, in the words of ECS.
fn failed(error: StoreError) -> EcsError {
    tracing::error!(error = sentence(&error), "the store failed");
    EcsError::server(sentence(&error))
}
