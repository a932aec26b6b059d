//! The task metadata endpoint, version 4: what a container can ask about itself and its task, at an address that every guest reaches.
//!
//! Who asks is known by the address from which it asks: the network lets no guest use another's. [`document`] and [`usage`] are the answers, as
//! pure functions; [`server`] hears the questions.

mod document;
mod server;
mod usage;

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::guest::Usage;

use crate::ports::Failure;
use crate::record::TaskRecord;

pub use document::Surroundings;
pub use server::serve;

/// Where containers ask; Amazon ECS's address.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// The port there.
pub const PORT: u16 = 80;

/// The tasks, as the endpoint knows them.
pub trait Tasks: Send + Sync + 'static {
    /// The task that has this address now.
    fn at(&self, address: Ipv4Addr) -> Option<Arc<TaskRecord>>;

    /// What the containers of the task with this id use.
    ///
    /// # Errors
    /// Where its guest does not answer.
    fn measure<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<Usage>, Failure>>;
}

/// What is added to the environment of the container with this `runtimeId`, `NAME=value`, where its task has a network.
#[must_use]
pub fn variables(runtime_id: &str) -> [String; 2] {
    [
        format!("ECS_CONTAINER_METADATA_URI_V4=http://{ADDRESS}/v4/{runtime_id}"),
        format!("ECS_AGENT_URI=http://{ADDRESS}/api/{runtime_id}"),
    ]
}

#[cfg(test)]
mod tests;
