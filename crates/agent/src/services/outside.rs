//! What services need of the rest of the host agent.

use futures_util::future::BoxFuture;

use super::journal::Random;
use super::service::{Service, TaskOptions};

/// A task that a service wants.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedTask {
    /// The name of its cluster.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// The deployment's id.
    pub deployment: String,
    /// `family:revision`.
    pub definition: String,
    /// What it is given beside its definition.
    pub options: TaskOptions,
    /// What the service's request asked for that is only told again.
    pub echoed: serde_json::Map<String, serde_json::Value>,
}

/// What starts and stops tasks.
pub trait Tasks: Send + Sync + 'static {
    /// Submits a task: its id, once it is certain that it is not forgotten. Before that, [`super::Services::saw`] may have been told of it.
    ///
    /// # Errors
    /// Why there can be none, in a sentence for the service's events.
    fn start<'a>(&'a self, wanted: &'a WantedTask) -> BoxFuture<'a, Result<String, String>>;

    /// Asks a task to stop; it may have stopped, or be unknown.
    fn stop<'a>(&'a self, task: &'a str, reason: &'a str) -> BoxFuture<'a, ()>;
}

/// Where services are stored.
pub trait Records: Send + Sync + 'static {
    /// Writes a service in place of an earlier one with its name. Survives everything afterwards. Waits for the disk.
    ///
    /// # Errors
    /// Why not, in a sentence.
    fn put(&self, service: &Service) -> Result<(), String>;

    /// The service of this cluster and name, whatever its status.
    ///
    /// # Errors
    /// Why it cannot be read, in a sentence.
    fn get(&self, cluster: &str, name: &str) -> Result<Option<Service>, String>;

    /// All services that are not inactive.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn unfinished(&self) -> Result<Vec<Service>, String>;
}

impl Records for crate::store::Store {
    fn put(&self, service: &Service) -> Result<(), String> {
        let row = crate::store::ServiceRow {
            cluster: &service.cluster,
            name: &service.name,
            is_active: service.status != super::service::ServiceStatus::Inactive,
            record: service,
        };
        // A service's deployments are in its own record.
        self.put_service::<_, ()>(&row, &[])
            .map_err(|error| crate::sentence::sentence(&error))
    }

    fn get(&self, cluster: &str, name: &str) -> Result<Option<Service>, String> {
        self.service(cluster, name)
            .map_err(|error| crate::sentence::sentence(&error))
    }

    fn unfinished(&self) -> Result<Vec<Service>, String> {
        self.active_services()
            .map_err(|error| crate::sentence::sentence(&error))
    }
}

/// The kernel's random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelRandom;

impl Random for KernelRandom {
    fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        // Cannot fail for so few bytes once the host has booted (getrandom(2)).
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        bytes
    }
}
