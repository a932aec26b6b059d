//! The operations of ECS on services and their deployments.
//!
//! [`create`] and [`change`] turn requests into what the planner knows, [`describe`] and [`list`] tell of services, [`deployments`] of what became of each
//! deployment; [`answer`] puts a service into ECS's words.

mod answer;
mod change;
mod configuration;
mod create;
mod deployments;
mod describe;
mod list;

#[cfg(test)]
mod tests;

use api::ecs::arn;
use api::ecs::error::{EcsError, ErrorKind};

use super::request::RequestError;
use super::{ServiceError, Services};

pub use change::{delete, update};
pub use create::create;
pub use deployments::{describe_deployments, list_deployments, stop_deployment};
pub use describe::describe;
pub use list::list;

/// What the operations need to know of other resources.
pub trait Catalogue: Send + Sync {
    /// The name of the active cluster that a request means; `default` where it names none.
    ///
    /// # Errors
    /// ECS's own, where there is none.
    fn cluster(&self, reference: Option<&str>) -> Result<String, EcsError>;

    /// `family:revision` of the active definition that a request means.
    ///
    /// # Errors
    /// ECS's own, where there is none.
    fn definition(&self, reference: &str) -> Result<String, EcsError>;

    /// The tags of a service.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn tags(&self, cluster: &str, service: &str) -> Result<Vec<(String, String)>, EcsError>;

    /// Replaces all tags of a service.
    ///
    /// # Errors
    /// Where they are too many, not of the form of tags, or cannot be written.
    fn set_tags(&self, cluster: &str, service: &str, tags: &[(String, String)]) -> Result<(), EcsError>;
}

/// What every operation is given.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The services.
    pub services: &'a Services,
    /// Everything else that there is.
    pub catalogue: &'a dyn Catalogue,
    /// The region of the request, for ARNs.
    pub region: &'a str,
}

impl From<ServiceError> for EcsError {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        let kind = match error {
            ServiceError::NotFound => ErrorKind::ServiceNotFound,
            ServiceError::NotIdempotent | ServiceError::StillDraining => ErrorKind::InvalidParameter,
            ServiceError::Refused(RequestError::NotActive) => ErrorKind::ServiceNotActive,
            ServiceError::Refused(RequestError::NotInProgress) => ErrorKind::Conflict,
            ServiceError::Refused(
                RequestError::ScaledAboveZero | RequestError::NothingToReturnTo | RequestError::NoSuchTask,
            ) => ErrorKind::InvalidParameter,
            ServiceError::Store(_) => ErrorKind::Server,
        };
        Self::new(kind, message)
    }
}

fn not_found() -> EcsError {
    ServiceError::NotFound.into()
}

/// The cluster and the name of the service that a request means.
fn meant(context: Context<'_>, cluster: Option<&str>, service: &str) -> Result<(String, String), EcsError> {
    if service.is_empty() {
        return Err(EcsError::invalid("Service cannot be empty."));
    }
    let cluster = context.catalogue.cluster(cluster)?;
    let name = arn::service(service, &cluster)?.ok_or_else(not_found)?;
    Ok((cluster, name))
}
